#!/bin/sh
# A PostgreSQL server of its own for the dialect suite: server.sh BIN PORT.
# It says "ready SMALL" when it takes connections, where SMALL is a folder on
# a very small file system, or "-" where none can be mounted; it ends, and
# leaves nothing behind, when its standard input does.
set -eu
trap '' HUP INT TERM
bin=$1
port=$2

if [ "$(id -u)" = 0 ]; then
    # What is mounted in a namespace of our own goes away with it.
    if [ "${3-}" != inside ] && unshare --mount true 2>/dev/null; then
        exec unshare --mount sh "$0" "$bin" "$port" inside
    fi
    id postgres >/dev/null 2>&1 || {
        echo "PostgreSQL does not run as root, and there is no user postgres to run it as" >&2
        exit 1
    }
    as='runuser -u postgres --'
else
    as=
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/resetd-postgres.XXXXXX")
small=-
mkdir "$folder/small"
if [ "${3-}" = inside ] && mount -t tmpfs -o size=8m,mode=700 resetd "$folder/small" 2>/dev/null; then
    small=$folder/small
fi
[ -z "$as" ] || chown -R postgres "$folder"
end() {
    $as "$bin/pg_ctl" stop -s -m immediate -D "$folder/data" >/dev/null 2>&1 || true
    [ "$small" = - ] || umount "$folder/small" || true
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
# synchronous_commit is off, so that whoever needs it has to ask for it; a
# deadlock is noticed at once.
cat >>"$folder/data/postgresql.conf" <<TEXT
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum_naptime = 5s
jit = off
wal_level = minimal
max_wal_senders = 0
deadlock_timeout = 50ms
TEXT
$as "$bin/pg_ctl" start -s -w -D "$folder/data" -l "$folder/log" </dev/null >/dev/null 2>&1 || fail
echo "ready $small"
cat >/dev/null
end
