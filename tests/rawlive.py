"""Write the files in which a running kernel shows itself, with nothing of e820pool."""

import hashlib
from dataclasses import dataclass, field

import rawbytes
from rawhandoff import GIB, MIB, RECORD_TYPE, with_reserved

NAMES = {1: "System RAM", 2: "Reserved", 3: "ACPI Tables"}
# A machine of 4 GiB.
FIRMWARE = (
    (0x0, 0x9F000, 1),
    (0x9F000, 0x61000, 2),
    (MIB, 3 * GIB - MIB, 1),
    (0xFEC00000, 0x1400000, 2),
    (4 * GIB, GIB, 1),
)


def digest(rows):
    """Return what names a map: SHA-256 of its sorted, disjoint rows, 16 bytes."""
    return hashlib.sha256(rawbytes.e820_table(rows)).digest()[:16]


@dataclass(frozen=True)
class RawAcpi:
    """What sysfs shows of ACPI: the SRAT, and the memory blocks of each device."""

    srat: bytes | None = None
    devices: tuple = ()
    block_bytes: int = 128 * MIB

    def write(self, root):
        tables = root / "sys/firmware/acpi/tables"
        bus = root / "sys/bus/acpi/devices"
        memory = root / "sys/devices/system/memory"
        for folder in (tables / "data", bus / "PNP0A08:00", memory):
            folder.mkdir(parents=True)
        (tables / "FACP").write_bytes(b"FACP")
        if self.srat is not None:
            (tables / "SRAT").write_bytes(self.srat)
        (memory / "block_size_bytes").write_text(f"{self.block_bytes:x}\n")
        for at, blocks in enumerate(self.devices):
            real = root / f"sys/devices/LNXSYSTM:00/PNP0C80:{at:02x}"
            real.mkdir(parents=True)
            (real / "status").write_text("15\n" if blocks else "0\n")
            for number, block in enumerate(blocks):
                link = real / f"physical_node{number or ''}"
                link.symlink_to(f"../../../system/memory/memory{block}")
            (bus / real.name).symlink_to(f"../../../devices/LNXSYSTM:00/{real.name}")


@dataclass(frozen=True)
class RawLive:
    """A running kernel in the making; `deposits` are what it was booted with."""

    firmware: tuple = FIRMWARE
    deposits: tuple = ()
    record: bytes | None = None
    cmdline: str = "BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 quiet"
    release: str = "6.1.0-52-cloud-amd64"
    boot_id: str = "8f6d-boot"
    page: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    acpi: RawAcpi | None = None

    @property
    def rows(self):
        return with_reserved(self.firmware, [(p, n) for p, n, *_ in self.deposits])

    def own_record(self, generation=1, firmware=None):
        """Return the record that a loader of ours would have given it."""
        extents = [(base, count, owner, 1) for base, count, owner in self.deposits]
        named = digest(self.firmware if firmware is None else firmware)
        return rawbytes.pool_record(extents, generation=generation, digest=named)

    def write(self, root):
        """Write the tree and return `root`."""
        texts = {
            "proc/cmdline": self.cmdline + "\n",
            "proc/iomem": self._iomem(),
            "proc/sys/kernel/osrelease": self.release + "\n",
            "proc/sys/kernel/random/boot_id": self.boot_id + "\n",
            "proc/sys/kernel/kexec_load_disabled": "0\n",
            "sys/kernel/kexec_loaded": "0\n",
        }
        for at, (addr, size, kind) in enumerate(self.rows):
            entry = f"sys/firmware/memmap/{at}"
            texts[f"{entry}/start"] = f"{addr:#x}\n"
            texts[f"{entry}/end"] = f"{addr + size - 1:#x}\n"
            texts[f"{entry}/type"] = f"{NAMES[kind]}\n"
        chain = 0x102000 if self.record is not None else 0
        page = rawbytes.zero_page(self.rows, setup_data=chain, patches=self.page)
        files = {"sys/kernel/boot_params/data": page}
        if self.record is not None:
            node = "sys/kernel/boot_params/setup_data/0"
            texts[f"{node}/type"] = f"{RECORD_TYPE:#x}\n"
            files[f"{node}/data"] = self.record
        files |= {name: text.encode() for name, text in texts.items()}
        for name, data in (files | self.files).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if self.acpi is not None:
            self.acpi.write(root)
        return root

    def _iomem(self):
        lines = []
        for addr, size, kind in self.rows:
            lines.append(f"{addr:08x}-{addr + size - 1:08x} : {NAMES[kind]}")
            if addr == MIB:
                lines.append("  01000000-02ffffff : Kernel code")
                lines.append("  30000000-37ffffff : Crash kernel")
        return "\n".join(lines) + "\n"
