#!/bin/sh
# nats.sh MANY WORKER CONFIGURATION: starts a NATS server and two workers, has them fetch 300 URLs of the server that URL names,
# kills one of them in the middle, and says whether every line has arrived.
set -eu
many=$1 worker=$2 configuration=$3 count=300

NATS_STORE=$(mktemp -d)
export NATS_STORE
server= first= second=
end() {
  for process in $first $second $server; do kill -9 "$process" 2>/dev/null || true; done
  rm -rf "$NATS_STORE"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

# until_so COMMAND...: waits, at most a minute, until it succeeds.
until_so() {
  tries=600
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { echo "nats.sh: still not after a minute: $*" >&2; cat "$NATS_STORE"/*.log >&2; exit 1; }
    sleep 0.1
  done
}
says() { grep -q "$1" "$2" 2>/dev/null; }
has_lines() { [ "$(wc -l <"$2")" -ge "$1" ]; }

nats-server -c "$configuration" >"$NATS_STORE/server.log" 2>&1 &
server=$!
until_so says 'nats://' "$NATS_STORE/nats-server_$server.ports"
address=$(sed 's/.*"\(nats:[^"]*\)".*/\1/; q' "$NATS_STORE/nats-server_$server.ports")
echo "nats-server listens on $address"

# All URLs are of one host, so any worker is to take any of them: --partitions 1.
for name in first second; do
  "$worker" --server "$address" --slots 4 --partitions 1 --lease-ms 2000 2>"$NATS_STORE/$name.log" &
  eval "$name=$!"
  until_so says ready "$NATS_STORE/$name.log"
done

number=0
while [ $number -lt $count ]; do
  echo "$URL/delay/0.02?number=$number"
  number=$((number + 1))
done >"$NATS_STORE/urls"
"$many" -n "$address" -f "$NATS_STORE/urls" >"$NATS_STORE/lines" &
program=$!
until_so has_lines $((count / 3)) "$NATS_STORE/lines"
echo "$(wc -l <"$NATS_STORE/lines") of $count have arrived: one of the two workers is killed"
kill -9 "$first"
wait "$program"

arrived=$(grep '^200 ' "$NATS_STORE/lines" | sed 's/.*number=//' | sort -nu | wc -l)
echo "$arrived of $count have arrived"
tail -n 1 "$NATS_STORE/lines"
[ "$arrived" = $count ]
