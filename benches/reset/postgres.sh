#!/bin/sh
# A PostgreSQL server for the benches: postgres.sh BIN PORT. It says "ready"
# when it takes connections; it ends, and leaves nothing behind, when its
# standard input does. Commits are durable.
set -eu
trap '' HUP INT TERM
bin=$1
port=$2
as=
if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || {
        echo "PostgreSQL does not run as root, and there is no user postgres to run it as" >&2
        exit 1
    }
    as='runuser -u postgres --'
fi
folder=$(mktemp -d "${TMPDIR:-/tmp}/resetd-bench.XXXXXX")
[ -z "$as" ] || chown -R postgres "$folder"
end() {
    $as "$bin/pg_ctl" stop -s -m immediate -D "$folder/data" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
fail() {
    cat "$folder/log" >&2 2>/dev/null || true
    end
    exit 1
}
cd "$folder"
touch "$folder/log" && chmod 666 "$folder/log"
$as "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
    >"$folder/log" 2>&1 || fail
cat >>"$folder/data/postgresql.conf" <<TEXT
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 200
shared_buffers = 512MB
work_mem = 32MB
maintenance_work_mem = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
TEXT
$as "$bin/pg_ctl" start -s -w -D "$folder/data" -l "$folder/log" </dev/null >/dev/null 2>&1 || fail
echo ready
cat >/dev/null
end
