#!/usr/bin/env bash
# Makes a Debian package of a program that was built: the program, the units of guard, join and WAL, the
# manual pages and what shells complete.
#
#   packaging/deb.sh PROGRAM ARCHITECTURE PAGES OUT
#
# ARCHITECTURE is Debian's name, amd64 or arm64. PAGES is a folder with man/ and completions/, which a
# program that runs on this machine wrote. COMPRESSION is xz, or none, which is quick. The same input gives
# the same bytes. No service is enabled: a unit's name has the app in it, which the operator knows.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly PROGRAM=${1:?program} ARCHITECTURE=${2:?amd64 or arm64} PAGES=${3:?folder of pages} OUT=${4:?folder}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
umask 022

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
install -D -m755 "$PROGRAM" "$root/usr/bin/lifeboat"
units=(packaging/systemd/*.service)
install -D -m644 -t "$root/usr/lib/systemd/system" "${units[@]}"
install -D -m644 -t "$root/usr/share/man/man1" "$PAGES"/man/*.1
gzip -9n "$root"/usr/share/man/man1/*.1
install -D -m644 "$PAGES/completions/lifeboat.bash" "$root/usr/share/bash-completion/completions/lifeboat"
install -D -m644 "$PAGES/completions/_lifeboat" "$root/usr/share/zsh/vendor-completions/_lifeboat"
install -D -m644 "$PAGES/completions/lifeboat.fish" "$root/usr/share/fish/vendor_completions.d/lifeboat.fish"
doc=$root/usr/share/doc/lifeboat
install -D -m644 packaging/systemd/app.env.example "$doc/examples/app.env.example"
install -D -m644 CHANGELOG.md "$doc/changelog"
gzip -9n "$doc/changelog"
cat >"$doc/copyright" <<COPYRIGHT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: lifeboat

Files: *
Copyright: the authors of Lifeboat
License: Apache-2.0
 On Debian systems the text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0.
COPYRIGHT
chmod 644 "$doc/copyright"

mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: lifeboat
Version: $version
Architecture: $ARCHITECTURE
Maintainer: Lifeboat maintainers <maintainers@lifeboat.invalid>
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
Recommends: ca-certificates
Suggests: postgresql-client
Section: admin
Priority: optional
Description: disaster recovery of a web system that lives in one AWS region
 The operator's command (plans, recoveries, backups and restores) and, for the
 hosts of a site, the units that keep the write permit, join a site at boot and
 archive WAL. The program is static and needs no library of the system.
CONTROL
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$OUT"
dpkg-deb --root-owner-group --uniform-compression "-Z${COMPRESSION:-xz}" --build "$root" \
    "$OUT/lifeboat_${version}_$ARCHITECTURE.deb" >/dev/null
echo "$OUT/lifeboat_${version}_$ARCHITECTURE.deb"
