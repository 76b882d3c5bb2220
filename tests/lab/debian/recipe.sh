#!/bin/sh
# In a clean bookworm, as root: make it a machine. The archive's name is the argument.
set -eux
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
archive=$1

# Nothing is to be started here.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
for suite in bookworm bookworm-backports bullseye; do
    echo "deb $archive $suite main"
done >/etc/apt/sources.list
apt-get -qq update
install() { apt-get -qq -y --no-install-recommends install "$@"; }
install systemd systemd-sysv udev dbus kmod procps iproute2 util-linux e2fsprogs fdisk \
    dosfstools mtools grub-efi-amd64-bin grub2-common initramfs-tools zstd busybox
install kexec-tools makedumpfile kdump-tools

# The kernels that linux-image-cloud-amd64 of each suite is: 5.10, 6.1 and 6.12.
install $(apt-cache show linux-image-cloud-amd64 |
    sed -n 's/^Depends: \(linux-image-[^ ]*\) .*/\1/p')

# An init that is not systemd, beside the one that is.
cd /tmp
apt-get -qq download sysvinit-core
mkdir -p /opt/sysvinit
dpkg-deb -x sysvinit-core_*.deb /opt/sysvinit

# Its own kexec at every reboot would start a kernel with the running one's table.
sed -i 's/^LOAD_KEXEC=.*/LOAD_KEXEC=false/' /etc/default/kexec

# Every page but zeros is dumped, so every page is read. Without the copy of its settings
# kdump-tools would make each initrd once more at the first boot, for minutes.
echo 'MAKEDUMP_ARGS="-l -d 1"' >>/etc/default/kdump-tools
for version in $(linux-version list); do
    cp /etc/kdump/sysctl.conf "/var/lib/kdump/latest_sysctls-$version"
done

# What GRUB's own grub-mkconfig writes once the machine runs; this is for the first start.
first=$(linux-version list | grep '^6\.1\.')
line='root=LABEL=lab-root ro console=ttyS0,115200 crashkernel=256M'
mkdir -p /boot/grub
cat >/boot/grub/grub.cfg <<END
serial --unit=0 --speed=115200
terminal_output serial
search --no-floppy --label lab-boot --set=root
linux /vmlinuz-$first $line
initrd /initrd.img-$first
boot
END
cat >/etc/default/grub <<END
GRUB_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_CMDLINE_LINUX_DEFAULT=
GRUB_CMDLINE_LINUX='console=ttyS0,115200 crashkernel=256M'
GRUB_DISABLE_OS_PROBER=true
END
rm -f /etc/default/grub.d/kdump-tools.cfg

systemctl enable lab-port.service
systemctl mask getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyS1.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service systemd-timesyncd.service
rm -f /etc/machine-id
systemd-machine-id-setup
apt-get clean
rm -rf /var/lib/apt/lists/* /tmp/*
