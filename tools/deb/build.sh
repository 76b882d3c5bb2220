#!/bin/sh
# Build build/deb/e820pool_VERSION_amd64.deb: a wheel of this tree and its dependencies,
# locked by hash, in /usr/lib/e820pool. It installs on Debian 12 (Python 3.11) and 13 (3.13).
#
# Why not depend on Debian's python3-numpy and the rest: those of bookworm are older than what
# the package is tested with. Why not dh-virtualenv: a virtual environment belongs to one
# Python, so that each Debian would need a package of its own, built on that Debian. What is
# used here is dpkg-deb and pip; no root, no chroot.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
versions="3.11 3.13"
place=build/deb
root=$place/root
lib=$root/usr/lib/e820pool
rm -rf "$place"
umask 022
mkdir -p "$lib" "$root/DEBIAN"

"$python" -m build --wheel --no-isolation --outdir "$place" . >/dev/null
wheel=$(echo "$place"/*.whl)
version=$(basename "$wheel" | cut -d- -f2)

# Pure packages once, in lib; NumPy, MarkupSafe and msgspec for each Python, in lib-3.N.
for one in $versions; do
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
        --require-hashes --only-binary=:all: --python-version "$one" --implementation cp \
        --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 \
        --platform manylinux2014_x86_64 --platform any \
        --target "$lib/lib-$one" -r tools/deb/requirements.txt
done
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
    --target "$lib/lib" "$wheel"
for one in $versions; do
    for path in "$lib/lib-$one"/*; do
        name=$(basename "$path")
        case $name in
        bin) rm -rf "$path" ;;
        numpy* | markupsafe* | msgspec*) ;;
        *) rm -rf "${lib:?}/lib/$name" && mv "$path" "$lib/lib/" ;;
        esac
    done
done
rm -rf "$lib/lib/bin"
find "$lib" -type d \( -name tests -o -name __pycache__ -o -name include \) -prune -exec rm -rf {} +
find "$lib" -name '*.pyi' -delete

for name in e820pool python; do
    sed "s/@VERSIONS@/$versions/" "tools/deb/$name.in" >"$lib/$name"
    chmod 755 "$lib/$name"
done
install -D -m 755 contrib/systemd/e820pool-unit "$lib/e820pool-unit"
install -D -m 644 contrib/agent/e820pool_agent.py "$lib/e820pool_agent.py"
mkdir -p "$root/usr/bin" "$root/usr/lib/systemd/system" "$root/usr/share/man/man1"
ln -s ../lib/e820pool/e820pool "$root/usr/bin/e820pool"
install -m 644 contrib/systemd/*.service contrib/agent/*.service "$root/usr/lib/systemd/system"
install -D -m 644 contrib/systemd/e820pool-kexec.default "$root/etc/default/e820pool-kexec"

# From the parser of this very tree.
"$python" -m sphinx -c docs -q -b man -d build/doctrees . "$place/man"
gzip -9nc "$place/man/e820pool.1" >"$root/usr/share/man/man1/e820pool.1.gz"
complete() {
    mkdir -p "$root/usr/share/$(dirname "$2")"
    "$python" -m e820pool completion "$1" >"$root/usr/share/$2"
}
complete bash bash-completion/completions/e820pool
complete zsh zsh/vendor-completions/_e820pool
complete fish fish/vendor_completions.d/e820pool.fish
doc=$root/usr/share/doc/e820pool
mkdir -p "$doc"
cp specs/kexec.md README.md "$doc"
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
{
    echo "e820pool:"
    cat LICENSE
    for one in "$lib"/lib*/*.dist-info; do
        echo "---- $(basename "$one" .dist-info)"
        find "$one" -iname 'licen[sc]e*' -type f | sort | xargs -r cat
    done
} >"$doc/copyright"

echo /etc/default/e820pool-kexec >"$root/DEBIAN/conffiles"
for name in postinst prerm postrm; do
    install -m 755 "tools/deb/$name" "$root/DEBIAN/$name"
done
cat >"$root/DEBIAN/control" <<END
Package: e820pool
Version: $version
Architecture: amd64
Maintainer: e820pool maintainers <e820pool@localhost>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: python3 (>= 3.11), python3 (<< 3.14), libstdc++6, libgcc-s1
Recommends: kexec-tools, util-linux
Description: Hand deposited memory to the next kernel as E820_TYPE_RESERVED
 Memory that a kernel deposited to a hypervisor must be left alone by the kernel that is
 started next. This says which kernels do, builds what they are to be given, loads the
 next kernel of this machine by kexec, and rebuilds the pool afterwards.
END
cd "$root"
find usr etc -type f -exec md5sum {} + >DEBIAN/md5sums
cd - >/dev/null
dpkg-deb --root-owner-group -Zxz -z2 -b "$root" "$place" >/dev/null
rm -rf "$root"
ls "$place"/*.deb
