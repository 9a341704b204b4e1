#!/bin/sh
# install.sh install     copies what `make` has built to where PREFIX, LIBDIR, INCLUDEDIR and DESTDIR say: all or nothing
# install.sh uninstall   removes it
#
# The Makefile calls it, with its variables in the environment.
set -u
umask 022
parts=$(dirname "$0")
root=$parts/../..

# What a package is made of, in lines: mode (or "link"), source (or where the link leads), place. Fields are divided by
# tabs.
table() {
  row() { printf '%s\t%s\t%s\n' "$@"; }
  row 644 "$OUT/$SHARED" "$LIBDIR/$SHARED"
  row link "$SHARED" "$LIBDIR/$SONAME"
  row link "$SONAME" "$LIBDIR/$LINK"
  row 644 "$OUT/$STATIC" "$LIBDIR/$STATIC"
  row 755 "$LIB/$WORKER" "$PREFIX/libexec/requests-futures/$WORKER"
  for file in requests_futures.h requests_futures.hpp; do
    row 644 "$root/include/$file" "$INCLUDEDIR/$file"
  done
  row 644 "$filled/requests_futures.pc" "$LIBDIR/pkgconfig/requests_futures.pc"
  for file in requests_futures-config.cmake requests_futures-config-version.cmake; do
    row 644 "$filled/$file" "$LIBDIR/cmake/requests_futures/$file"
  done
  for file in LICENSE src/install/THIRD-PARTY.txt; do
    row 644 "$root/$file" "$PREFIX/share/doc/requests_futures/${file##*/}"
  done
  beyond_nats
  reference
}

# The executor beyond NATS: what `make nats` has made or, to be removed, what is installed.
beyond_nats() {
  if [ "$action" = install ]; then made=$OUT/$NATS_SHARED; else made=$DESTDIR$LIBDIR/$NATS_SHARED; fi
  [ -e "$made" ] || return 0
  row 644 "$OUT/$NATS_SHARED" "$LIBDIR/$NATS_SHARED"
  row link "$NATS_SHARED" "$LIBDIR/$NATS_LINK.$SERIES"
  row link "$NATS_LINK.$SERIES" "$LIBDIR/$NATS_LINK"
  row 755 "$OUT/$NATS_WORKER" "$PREFIX/bin/$NATS_WORKER"
  row 644 "$root/include/requests_futures_nats.h" "$INCLUDEDIR/requests_futures_nats.h"
  row 644 "$filled/requests_futures_nats.pc" "$LIBDIR/pkgconfig/requests_futures_nats.pc"
  row 644 "$root/src/nats/nats-server.conf" "$PREFIX/share/doc/requests_futures/nats-server.conf"
  row 644 "$root/src/nats/THIRD-PARTY.txt" "$PREFIX/share/doc/requests_futures/THIRD-PARTY-NATS.txt"
}

# The pages of the reference: those that `make doc` has made or, to be removed, those that are installed.
reference() {
  if [ "$action" = install ]; then
    html=$REFERENCE/html man=$REFERENCE/man
  else
    html=$DESTDIR$PREFIX/share/doc/requests_futures/html man=$DESTDIR$PREFIX/share/man/man3
  fi
  if [ -e "$html/index.html" ]; then
    (cd "$html" && find . -type f ! -name '.*') | sed 's|^\./||' | while IFS= read -r page; do
      row 644 "$html/$page" "$PREFIX/share/doc/requests_futures/html/$page"
    done
  fi
  for page in "$man"/requests_futures.3 "$man"/rf_*.3; do
    [ ! -e "$page" ] || row 644 "$page" "$PREFIX/share/man/man3/${page##*/}"
  done
}

fail() {
  echo "make $action: $*" >&2
  exit 1
}

# relative FOLDER NAME: a folder below PREFIX, with NAME in the place of PREFIX; any other as it is.
relative() {
  case $1 in
    "$PREFIX") printf '%s' "$2" ;;
    "$PREFIX"/*) printf '%s' "$2${1#"$PREFIX"}" ;;
    *) printf '%s' "$1" ;;
  esac
}

# fill NAME: the template of that name, with what it leaves open.
fill() {
  case $LIBDIR in
    # As many steps up as LIBDIR is below PREFIX.
    "$PREFIX"/*) prefix=\${_requests_futures_lib}$(printf '%s' "${LIBDIR#"$PREFIX"}" | sed 's|/[^/]*|/..|g') ;;
    *) prefix=$PREFIX ;;
  esac
  pointer=$(echo __SIZEOF_POINTER__ | $CC -E -P - 2>/dev/null | tail -n 1)
  set -- "$1" \
    VERSION "$VERSION" SERIES "$SERIES" SHARED "$SHARED" SONAME "$SONAME" POINTER_SIZE "${pointer:-8}" \
    PREFIX "$PREFIX" LIBDIR "$(relative "$LIBDIR" "\${prefix}")" INCLUDEDIR "$(relative "$INCLUDEDIR" "\${prefix}")" \
    CMAKE_PREFIX "$prefix" CMAKE_INCLUDEDIR "$(relative "$INCLUDEDIR" "\${_requests_futures_prefix}")" \
    LIBS_PRIVATE "$LIBS_PRIVATE" CMAKE_LIBS_PRIVATE "$(printf '%s' "$LIBS_PRIVATE" | sed 's/-l//g; s/ /;/g')"
  name=$1
  shift
  while [ $# -gt 0 ]; do
    printf 's|@%s@|%s|g\n' "$1" "$(printf '%s' "$2" | sed 's/[&|\\]/\\&/g')"
    shift 2
  done >"$filled/script"
  sed -f "$filled/script" "$parts/$name.in" >"$filled/$name" || fail "no $name could be made"
}

# each COMMAND: calls it with mode, source and place of each file; ends with the first that fails.
each() {
  table | while IFS="$tab" read -r mode source place; do
    "$1" "$mode" "$source" "$DESTDIR$place" || exit 1
  done
}

# Whether a file can be written is known before any is.
check() {
  [ "$1" = link ] || [ -r "$2" ] || fail "there is no $2 to be read: run make first"
  [ ! -d "$3" ] || fail "$3 is in the way: it is a directory"
  folder=${3%/*}
  while [ ! -e "${folder:-/}" ] && [ ! -L "$folder" ]; do folder=${folder%/*}; done
  folder=${folder:-/}
  [ -d "$folder" ] || fail "$folder is in the way: it is not a directory"
  [ -w "$folder" ] && [ -x "$folder" ] || fail "no permission to write to $folder"
}

# Each file arrives under a name of its own beside its place.
copy() {
  make_folder "${3%/*}" || return
  if [ "$1" = link ]; then
    ln -s "$2" "$3$new"
  else
    cp "$2" "$3$new" && chmod "$1" "$3$new"
  fi
}

make_folder() {
  if [ -z "$1" ] || [ -d "$1" ]; then return; fi
  make_folder "${1%/*}" || return
  # Another one may be installing at the same time.
  if mkdir "$1" 2>/dev/null; then
    printf '%s\n' "$1" >>"$filled/made"
  else
    [ -d "$1" ] || fail "$1 cannot be made"
  fi
}

# Nobody has to be there to read what is said: a file takes its place all the same.
show() {
  mv -f "$3$new" "$3" || return
  printf '%s\n' "$3" 2>/dev/null || true
}

drop() { rm -f "$3$new"; }

undo() {
  each drop
  [ ! -e "$filled/made" ] || sed '1!G;h;$!d' "$filled/made" | while IFS= read -r folder; do rmdir "$folder" 2>/dev/null; done
}

# A link that leads elsewhere by now is another version's.
remove() {
  if [ "$1" = link ] && [ "$(readlink "$3")" != "$2" ]; then return; fi
  if [ -e "$3" ] || [ -L "$3" ]; then
    rm -f "$3" || return
    printf '%s\n' "$3" 2>/dev/null || true
  fi
}

tab=$(printf '\t')
new=.new-$$
action=$1

# plain PATH: without slashes that say nothing; empty for the root.
plain() { printf '%s' "$1" | sed 's|/\{2,\}|/|g; s|/$||'; }

case $PREFIX in /*) PREFIX=$(plain "$PREFIX") ;; *) fail "PREFIX is to begin with a slash, and is $PREFIX" ;; esac
# Folders may be given as they stand below PREFIX.
case $LIBDIR in /*) ;; *) LIBDIR=$PREFIX/$LIBDIR ;; esac
case $INCLUDEDIR in /*) ;; *) INCLUDEDIR=$PREFIX/$INCLUDEDIR ;; esac
LIBDIR=$(plain "$LIBDIR")
INCLUDEDIR=$(plain "$INCLUDEDIR")
case $DESTDIR in "" | /*) ;; *) DESTDIR=$PWD/$DESTDIR ;; esac
DESTDIR=$(plain "$DESTDIR")
for folder in "$PREFIX" "$LIBDIR" "$INCLUDEDIR"; do
  case $folder/ in
    */./* | */../*) fail "\"$folder\" holds . or .., which a package cannot name" ;;
    *[\"\#\$\;\\\`]*) fail "\"$folder\" holds one of \" # \$ ; \\ \`, which pkg-config and CMake cannot name" ;;
  esac
done

filled=$(mktemp -d) || exit 1
trap 'rm -rf "$filled"' EXIT
trap 'exit 1' HUP INT TERM
# A reader of what is said that goes away is no reason to stop.
trap '' PIPE

case $action in
  install)
    for name in requests_futures.pc requests_futures_nats.pc requests_futures-config.cmake \
      requests_futures-config-version.cmake; do
      fill $name
    done
    each check || { echo "make install: nothing was installed" >&2; exit 1; }
    trap 'undo; exit 1' HUP INT TERM
    if ! each copy; then
      undo
      fail "not everything could be written; nothing was installed"
    fi
    trap '' HUP INT TERM
    if ! each show; then
      undo
      fail "not every file could take its place"
    fi
    # Where the library looks for it.
    case $PREFIX in
      "${LIBDIR%/*}") ;;
      "${LIBDIR%/lib/*}") ;;
      *) echo "make install: the library will find $PREFIX/libexec/requests-futures/$WORKER only by the variable \
REQUESTS_FUTURES_WORKER: it looks in libexec beside its own lib" >&2 ;;
    esac
    # Where the loader keeps a list of what it knows, this is for it. Only root can write that.
    if [ -z "$DESTDIR" ]; then ldconfig 2>/dev/null || true; fi
    ;;
  uninstall)
    each remove || fail "not everything could be removed"
    # Folders that nobody else has anything in.
    find "$DESTDIR$PREFIX/share/doc/requests_futures/html" -depth -type d -exec rmdir {} + 2>/dev/null
    for folder in "$PREFIX/share/man/man3" "$PREFIX/share/man" "$LIBDIR/cmake/requests_futures" "$LIBDIR/cmake" "$LIBDIR/pkgconfig" "$PREFIX/libexec/requests-futures" \
      "$PREFIX/libexec" "$PREFIX/share/doc/requests_futures" "$PREFIX/share/doc"; do
      rmdir "$DESTDIR$folder" 2>/dev/null
    done
    if [ -z "$DESTDIR" ]; then ldconfig 2>/dev/null || true; fi
    ;;
  *)
    fail "unknown" ;;
esac
exit 0
