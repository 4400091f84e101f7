#!/usr/bin/env bash
# Writes the root filesystem of the container image as a tar archive: the host, the libraries that it is linked with, certificate
# authorities and an unprivileged user; no shell, no package manager. The Dockerfile and the tests use this one script, so that
# what is tested is what is shipped. From the same files comes the same archive, to the last byte. Debian only.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 BINARY OUT.tar" >&2
    exit 2
fi
binary=$1 archive=$2
# The number that distroless images have for their user `nonroot`.
readonly user=65532

root=$(mktemp --directory)
trap 'rm --recursive --force "$root"' EXIT
umask 022
chmod 755 "$root"

# An application may be mounted at `app`. The host writes to `var/lib/bodega`.
mkdir --parents "$root"/{app,dev,proc,sys,tmp} "$root"/etc/{bodega/gateway,ssl/certs} "$root"/usr/{bin,lib,lib64}
mkdir --parents "$root"/var/lib/{bodega,dpkg/status.d}
chmod 1777 "$root/tmp"
# As Debian has it.
ln --symbolic usr/lib "$root/lib"
ln --symbolic usr/lib64 "$root/lib64"

# Line tables are four fifths of it; the names of functions stay, for backtraces.
strip --strip-debug -o "$root/usr/bin/bodega" "$binary"
chmod 755 "$root/usr/bin/bodega"

packages=(ca-certificates)
while read -r library; do
    file=$(realpath "$library")
    # Under the name by which the program asks for it.
    install -D --mode=755 "$file" "$root/$(realpath --no-symlinks "$library" | sed 's,^/lib,/usr/lib,')"
    owner=$(dpkg --search "$file" 2>/dev/null || dpkg --search "$library")
    packages+=("${owner%%:*}")
done < <(ldd "$binary" | grep --only-matching '/[^ ]*')

install --mode=644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
install --mode=644 /etc/os-release "$root/etc/"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
printf '%s\n' "root:x:0:0:root:/:/sbin/nologin" "bodega:x:$user:$user:bodega:/var/lib/bodega:/sbin/nologin" > "$root/etc/passwd"
printf '%s\n' "root:x:0:" "bodega:x:$user:" > "$root/etc/group"
# Where scanners look for the versions of Debian's packages.
for package in $(printf '%s\n' "${packages[@]}" | sort --unique); do
    dpkg --status "$package" > "$root/var/lib/dpkg/status.d/$package"
done

# All belongs to root, whoever runs this, except for the folder of the state.
pack() {
    tar --file="$archive" --directory="$root" --format=gnu --sort=name --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" "$@"
}
pack --create --owner=0 --group=0 --exclude=./var/lib/bodega .
pack --append --owner=$user --group=$user ./var/lib/bodega
