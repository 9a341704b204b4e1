#!/bin/sh
# run.sh DIRECTORY PROGRAM... runs each program of the directory against the server named by URL.
# Says which failed, and exits with 1 if any did.

directory=$1
shift
failed=

# What the programs write, the downloaded file for one, goes to a place of its own.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

for program in "$@"; do
  echo "== $program"
  case $program in
    many) set -- -v "$URL/get" "$URL/delay/1" "$URL/bytes/1000" ;;
    timing) set -- -v "$URL/redirect-to?url=/get" ;;
    *) set -- "$URL" ;;
  esac
  # Only the local server has tokens that expire, checks signatures, says what it is asked to, is busy for ten hosts, and
  # breaks off ten times.
  case $program in
    oauth | sigv4 | events | polite | download)
      if [ -n "${OTHER_SERVER:-}" ]; then
        echo "skipped: $program (it needs the local server)"
        continue
      fi
      ;;
  esac
  "$directory/$program" "$@" || failed="$failed $program"
done

if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
