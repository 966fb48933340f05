#!/bin/sh
# A MariaDB server for the benches: mariadb.sh PORT. It says "ready" when it
# takes connections; it ends, and leaves nothing behind, when its standard
# input does. Commits are durable.
set -eu
PATH=$PATH:/usr/sbin
trap '' HUP INT TERM
port=$1
as=
if [ "$(id -u)" = 0 ]; then
    id mysql >/dev/null 2>&1 || {
        echo "MariaDB does not run as root, and there is no user mysql to run it as" >&2
        exit 1
    }
    as='runuser -u mysql --'
fi
folder=$(mktemp -d "${TMPDIR:-/tmp}/resetd-bench.XXXXXX")
[ -z "$as" ] || chown mysql "$folder"
server=
end() {
    if [ -n "$server" ]; then
        kill -9 "$(cat "$folder/pid")" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
fail() {
    cat "$folder/log" >&2 2>/dev/null || true
    end
    exit 1
}
cd "$folder"
# Servers that start take away what they find of others in a shared folder.
$as mkdir tmp
touch "$folder/log" && chmod 666 "$folder/log"
$as mariadb-install-db --no-defaults --datadir="$folder/data" --skip-test-db \
    --auth-root-authentication-method=normal --innodb-log-file-size=16M \
    --innodb-flush-log-at-trx-commit=0 >"$folder/log" 2>&1 || fail
$as mariadbd --no-defaults --datadir="$folder/data" --tmpdir="$folder/tmp" --port="$port" --bind-address=127.0.0.1 \
    --socket="$folder/socket" --pid-file="$folder/pid" --skip-name-resolve --skip-log-bin \
    --character-set-server=utf8mb4 --collation-server=utf8mb4_general_ci \
    --max-connections=300 --innodb-buffer-pool-size=1G --innodb-log-file-size=2G \
    --innodb-flush-log-at-trx-commit=1 --max-allowed-packet=64M --tmp-table-size=256M \
    --max-heap-table-size=256M --performance-schema=OFF </dev/null >>"$folder/log" 2>&1 &
server=$!
tries=0
until $as mariadb --no-defaults -u root -S "$folder/socket" -e 'SELECT 1' >/dev/null 2>&1; do
    tries=$((tries + 1))
    kill -0 "$server" 2>/dev/null && [ "$tries" -lt 300 ] || fail
    sleep 0.2
done
echo ready
cat >/dev/null
end
