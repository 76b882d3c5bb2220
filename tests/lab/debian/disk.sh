#!/bin/sh
# In the machine's folder, as root: an EFI system partition, in /tmp/esp, and the table of
# partitions of /tmp/table, which is an empty file of the disk's size.
set -eux
cd /tmp
cat >early.cfg <<END
search --no-floppy --label lab-boot --set=root
set prefix=(\$root)/grub
configfile \$prefix/grub.cfg
END
grub-mkimage -O x86_64-efi -c early.cfg -o boot.efi -p /grub \
    part_gpt fat ext2 normal configfile search search_label search_fs_uuid linux serial \
    terminal echo test boot minicmd sleep gzio loadenv all_video
truncate -s "$1M" esp
mkfs.vfat -n LAB-ESP esp
mmd -i esp ::/EFI ::/EFI/BOOT
mcopy -i esp boot.efi ::/EFI/BOOT/BOOTX64.EFI
sfdisk table <<END
label: gpt
size=$1M, type=U
size=$2M, type=L
type=L
END
