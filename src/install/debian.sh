#!/bin/sh
# debian.sh    makes packages for this Debian in $DEBIAN: librequests-futures0, librequests-futures-dev and, where make nats
#              and make doc have made them, librequests-futures-nats0 and librequests-futures-doc
#
# The Makefile calls it, with its variables in the environment. What it needs is in Debian's dpkg-dev.
set -eu
umask 022
parts=$(dirname "$0")
root=$parts/../..
for command in dpkg dpkg-deb dpkg-shlibdeps dpkg-gensymbols; do
  command -v $command >/dev/null || { echo "make deb: there is no $command (Debian's package dpkg-dev)" >&2; exit 1; }
done

library=librequests-futures$SERIES
headers=librequests-futures-dev
nats=librequests-futures-nats$SERIES
reference=librequests-futures-doc
architecture=$(dpkg --print-architecture)
multiarch=$($CC -print-multiarch)
if [ "$multiarch" != "$(dpkg-architecture -qDEB_HOST_MULTIARCH)" ]; then
  echo "make deb: packages are made for the machine that it runs on, and $CC is for $multiarch" >&2
  exit 1
fi
revision=$VERSION-1
LIBDIR=/usr/lib/$multiarch
export PREFIX=/usr INCLUDEDIR=/usr/include LIBDIR
maintainer="${DEBFULLNAME:-The requests-futures-c authors} <${DEBEMAIL:-requests-futures-c@localhost}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
DESTDIR=$work/$headers "$parts/install.sh" install >/dev/null
cd "$work"

# The one has what programs run with, the other what they are built with.
mkdir -p "$library$LIBDIR" "$library/usr/share/doc/$library" "$library/DEBIAN" "$headers/DEBIAN" debian
mv "$headers$LIBDIR/$SHARED" "$headers$LIBDIR/$SONAME" "$library$LIBDIR/"
mv "$headers/usr/libexec" "$library/usr/"
strip --strip-unneeded "$library$LIBDIR/$SHARED" "$library/usr/libexec/requests-futures/$WORKER"
if [ -e "$headers$LIBDIR/$NATS_SHARED" ]; then
  mkdir -p "$nats$LIBDIR" "$nats/usr/share/doc/$nats" "$nats/DEBIAN"
  mv "$headers$LIBDIR/$NATS_SHARED" "$headers$LIBDIR/$NATS_LINK.$SERIES" "$nats$LIBDIR/"
  mv "$headers/usr/bin" "$nats/usr/"
  mv "$headers/usr/share/doc/requests_futures/nats-server.conf" \
    "$headers/usr/share/doc/requests_futures/THIRD-PARTY-NATS.txt" "$nats/usr/share/doc/$nats/"
  strip --strip-unneeded "$nats$LIBDIR/$NATS_SHARED" "$nats/usr/bin/$NATS_WORKER"
fi
if [ -d "$headers/usr/share/doc/requests_futures/html" ]; then
  mkdir -p "$reference/usr/share/doc/$reference" "$reference/DEBIAN"
  mv "$headers/usr/share/doc/requests_futures/html" "$reference/usr/share/doc/$reference/"
  mv "$headers/usr/share/man" "$reference/usr/share/"
  find "$reference/usr/share/man" -type f -exec gzip -9 -n {} +
fi
mv "$headers/usr/share/doc/requests_futures" "$headers/usr/share/doc/$headers"
cd "$headers/usr/share/doc/$headers"
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n'
  printf 'Copyright: 2026 the requests-futures-c authors\nLicense: Apache-2.0\n'
  printf ' The text is in /usr/share/common-licenses/Apache-2.0.\n\n'
  cat THIRD-PARTY.txt
} >copyright
gzip -9 -n -c "$root/CHANGELOG.md" >changelog.gz
printf 'requests-futures (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$revision" "$maintainer" \
  "$(date -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9 -n >changelog.Debian.gz
rm LICENSE THIRD-PARTY.txt
cp copyright changelog.gz changelog.Debian.gz "$work/$library/usr/share/doc/$library/"
[ ! -d "$work/$nats" ] || cp copyright changelog.gz changelog.Debian.gz "$work/$nats/usr/share/doc/$nats/"
[ ! -d "$work/$reference" ] || cp copyright changelog.gz changelog.Debian.gz "$work/$reference/usr/share/doc/$reference/"
cd "$work"

printf 'Source: requests-futures\n\nPackage: %s\nArchitecture: any\n' "$library" >debian/control
dpkg-gensymbols -q -p"$library" -v"$VERSION" -P"$library" -e"$library$LIBDIR/$SHARED" -O"$library/DEBIAN/symbols"
depends=$(dpkg-shlibdeps -O -S"$library" "$library$LIBDIR/$SHARED" "$library/usr/libexec/requests-futures/$WORKER" 2>/dev/null |
  sed -n 's/^shlibs:Depends=//p')
printf '%s %s %s (>= %s)\n' "${LINK%.so}" "$SERIES" "$library" "$VERSION" >"$library/DEBIAN/shlibs"
printf 'activate-noawait ldconfig\n' >"$library/DEBIAN/triggers"
needed=
if [ -d "$nats" ]; then
  cat "$nats/usr/share/doc/$nats/THIRD-PARTY-NATS.txt" >>"$nats/usr/share/doc/$nats/copyright"
  rm "$nats/usr/share/doc/$nats/THIRD-PARTY-NATS.txt"
  needed=", $nats (= $revision)"
  printf '\nPackage: %s\nArchitecture: any\n' "$nats" >>debian/control
  nats_depends=$(dpkg-shlibdeps -O -S"$library" -l"$library$LIBDIR" "$nats$LIBDIR/$NATS_SHARED" "$nats/usr/bin/$NATS_WORKER" 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
  case $nats_depends in *"$library"*) ;; *) echo "make deb: dpkg-shlibdeps finds no $library for $nats" >&2; exit 1 ;; esac
  printf '%s %s %s (>= %s)\n' "${NATS_LINK%.so}" "$SERIES" "$nats" "$VERSION" >"$nats/DEBIAN/shlibs"
  printf 'activate-noawait ldconfig\n' >"$nats/DEBIAN/triggers"
fi

# control NAME SECTION DEPENDS ONE-LINE-DESCRIPTION: with the rest of the description on the standard input.
control() {
  {
    printf 'Package: %s\nSource: requests-futures\nVersion: %s\nArchitecture: %s\n' "$1" "$revision" "$architecture"
    printf 'Maintainer: %s\nInstalled-Size: %s\n' "$maintainer" "$(du -k -s --exclude=DEBIAN "$1" | cut -f 1)"
    printf 'Section: %s\nPriority: optional\n' "$2"
    [ -z "$3" ] || printf 'Depends: %s\n' "$3"
    [ "$1" != "$library" ] || printf 'Recommends: ca-certificates\n'
    printf 'Description: %s\n' "$4"
    sed 's/^/ /'
  } >"$1/DEBIAN/control"
  (cd "$1" && find usr -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
  find "$1" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$1" "$DEBIAN/$1_${revision}_$architecture.deb" >/dev/null
  echo "$DEBIAN/$1_${revision}_$architecture.deb"
}

mkdir -p "$DEBIAN"
control "$library" libs "$depends" "asynchronous HTTP requests that return futures" <<T
A session's call returns a future at once, and a pool of threads, or of worker
processes, carries the request out. It has what users of Python's requests and
requests-futures know: redirects, cookies, authentication, hooks, streaming.
T
control "$headers" libdevel "$library (= $revision)$needed, libc6-dev | libc-dev" \
  "asynchronous HTTP requests that return futures (development)" <<T
The headers for C and C++, the static library, and what pkg-config and CMake
need to build programs that use requests-futures.
T
if [ -d "$nats" ]; then
  control "$nats" libs "$nats_depends" "requests-futures beyond one machine, by way of NATS" <<T
An executor that has the requests of a program carried out by workers on
other machines, and the program of these workers. Between them is a NATS
server (nats-server).
T
fi
if [ -d "$reference" ]; then
  architecture=all
  control "$reference" doc "" "asynchronous HTTP requests that return futures (reference)" <<T
The reference of requests-futures as HTML, which can be searched, and as man
pages.
T
else
  echo "make deb: no $reference: make doc makes the reference" >&2
fi
