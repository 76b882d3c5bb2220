#!/bin/sh
# Install what the lab, the gcc tests, the browser test and those of completions need from Debian's
# packages, where that is possible; otherwise say what is missing and how to get it. Never fails the build:
# the tests that need a missing program say so, and in CI that is a failure.
set -u
# program or file it brings | package
needs='
/usr/bin/qemu-system-x86_64 qemu-system-x86
/bin/busybox busybox-static
/usr/bin/gcc gcc
/usr/include/x86_64-linux-gnu/asm/bootparam.h linux-libc-dev
/usr/include/x86_64-linux-gnu/gnu/stubs-64.h libc6-dev
/usr/bin/xz xz-utils
/usr/bin/setpriv util-linux
/usr/bin/readelf binutils
/usr/bin/cpio cpio
/usr/bin/pgrep procps
/usr/share/ovmf/OVMF.fd ovmf
/usr/sbin/debootstrap debootstrap
/usr/sbin/kexec kexec-tools
/usr/bin/make make
/usr/bin/flex flex
/usr/bin/bison bison
/usr/bin/bc bc
/usr/bin/patch patch
/usr/bin/git git
/usr/include/gelf.h libelf-dev
/usr/bin/chromium chromium
/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
/usr/bin/zsh zsh
/usr/bin/tcsh tcsh
/usr/bin/fish fish
'
missing=$(echo "$needs" | while read -r file package; do
    [ -z "$file" ] || [ -e "$file" ] || echo "$package"
done)
# busybox-static and busybox both own /bin/busybox: only the static one boots alone.
if [ -e /bin/busybox ] && ! dpkg -s busybox-static >/dev/null 2>&1; then
    missing="$missing busybox-static"
fi
missing=$(echo $missing)
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || {
    echo "missing: $missing (no apt-get here: install their counterparts by hand)" >&2
    exit 0
}
if [ "$(id -u)" != 0 ]; then
    echo "missing: $missing; get them with: sudo apt-get install $missing" >&2
    exit 0
fi
echo "installing: $missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null 2>&1
# Unless it is told otherwise the package turns this machine's reboots into kexecs.
case " $missing " in
*" kexec-tools "*)
    command -v debconf-set-selections >/dev/null &&
        echo kexec-tools kexec-tools/load_kexec boolean false | debconf-set-selections
    ;;
esac
apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "could not install: $missing" >&2
exit 0
