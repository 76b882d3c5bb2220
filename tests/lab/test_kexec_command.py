"""`e820pool kexec` as a user runs it: inside the machine, as root, with real kexecs.

The guest has a Python of its own and no help from the host but the disk that it lacks
(what was kept on it is put back after each kexec) and the hypervisor's memory of what
was touched. Two hops, 6.1 to 5.10 to 6.1, one by each loader; from a machine like the
lab's and from one with an EFI firmware.
"""

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
from efimachine import OVMF, efi_machine
from labbench import LOW, MIB, PATIENT
from pythonguest import python_entries

from e820pool.deposits import DepositLedger
from e820pool.errors import MachineError
from e820pool.extents import ExtentSet
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.lab.chain_port import ChainPort, deliver, runs_of
from e820pool.lab.depositor import guest_program
from e820pool.lab.guest import (
    _SEND,
    CHAIN_END,
    LAB_CMDLINE,
    build_chain_initramfs,
    find_busybox,
    init_script,
)
from e820pool.lab.guest_ram import GuestRam, RamLayout, layout_for
from e820pool.lab.guest_report import has_mark, parse_guest_report
from e820pool.lab.initramfs import (
    device_entry,
    directory,
    encode_newc,
    kexec_tools_entries,
    regular,
)
from e820pool.lab.qemu import VmSpec
from e820pool.lab.started_vm import started_vm
from e820pool.loading.bind import backed_pages, bind_kernel
from e820pool.loading.kexec_loaders import find_kexec
from e820pool.loading.multiboot_stub import STUB_READY, STUB_RESUME
from e820pool.memory_map import MemoryMap
from e820pool.sources.elf_core import dumped_ranges

pytestmark = [pytest.mark.lab, pytest.mark.slow]

# The libraries of Python alone are 100 MiB, there up to four times at once.
MACHINE = MemoryMap.of((*LOW, (MIB, 1023 * MIB, 1)))

# NumPy is built for x86-64-v2, which QEMU's default processor is not.
CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"
SECONDS = 300
STATE = "/var/lib/e820pool/handoff.json"

# Stock kexec, but for the moment before it jumps: then the host makes holes of the
# deposited pages, so that whatever fills them again is the next kernel.
KEXEC = r"""#!/bin/busybox sh
if [ "$1" = -e ]; then
    exec 3<>/dev/ttyS1
    send plan /plan.json
    send kept /var/lib/e820pool/handoff.json
    echo "mark going" >&3
    read -r word <&3
fi
exec /bin/kexec.real "$@"
"""
FOLDERS = ("bin", "dev", "fill", "proc", "sys", "tmp", "var", "var/lib")


@pytest.fixture(scope="module")
def initrd(tmp_path_factory):
    try:
        find_kexec()
    except MachineError as error:
        pytest.skip(str(error))
    tools = [
        one if one.name != "bin/kexec" else regular("bin/kexec.real", one.content)
        for one in kexec_tools_entries()
    ]
    return encode_newc(
        (
            *(directory(name) for name in FOLDERS),
            device_entry("dev/console", 5, 1),
            regular("bin/busybox", find_busybox().read_bytes()),
            *(
                regular(
                    f"bin/{name}",
                    f'#!/bin/busybox sh\nexec busybox {name} "$@"\n'.encode(),
                )
                for name in ("cat", "mount", "unshare")
            ),
            regular("bin/sh", b'#!/bin/busybox sh\nexec busybox sh "$@"\n'),
            regular("bin/agent", guest_program("agent")),
            regular("bin/send", _SEND.encode()),
            regular("bin/kexec", KEXEC.encode()),
            *tools,
            *python_entries(tmp_path_factory.mktemp("pyc")),
            regular("init", init_script(end=CHAIN_END).encode()),
        )
    )


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One kernel of the way: what it was given, what it touched, what it rebuilt."""

    given: ExtentSet
    touched: ExtentSet
    used_again: int
    pool: dict
    plan: dict
    traces: list
    has_efi: bool
    console: str


class Guest:
    """A running machine, asked and told as by its administrator."""

    def __init__(self, stack, vm, ram):
        self.ram = ram
        self.port = stack.enter_context(closing(ChainPort(vm)))

    def wait_until_up(self):
        for mark in ("hello", "reported", "done"):
            self.port.wait_for_mark(mark, SECONDS)

    def run(self, command):
        """Return the status of a shell command."""
        said = self.port.command(f"run {command}", SECONDS)
        return int(said[-1].split()[1])

    def read(self, name, path):
        """Return a file's bytes."""
        assert self.run(f"send {name} {path}") == 0
        return parse_guest_report(self.port.report).frames[name]

    def write(self, files):
        """Put files into the guest."""
        deliver(self.port, self.ram, b"".join(files.values()))
        at = 0
        for path, data in files.items():
            self.port.command(f"save {at} {len(data)} {path}", SECONDS)
            at += len(data)
        self.port.command("buffer 4096", SECONDS)

    def deposit(self, nr_pages, nr_huge):
        """Return what the guest's own process has deposited."""
        lines = self.port.command(f"pages {nr_pages} 5", SECONDS)
        return lines + self.port.command(f"huge {nr_huge}", SECONDS)

    def _is_going_or_has_failed(self):
        report = self.port.report
        return has_mark(report, "going") or b"\nstatus " in report

    def crash(self, deposits):
        """Crash the kernel; the deposits become holes just before."""
        self.port.cut()
        self.port.send(b"crash\n")
        self.port.wait_for_mark("going", SECONDS)
        self.port.cut()
        self.ram.clear(deposits)
        self.port.send(b"!\n")

    def kexec(self, words, cleared):
        """Give the command that does it all; return plan and kept file of that moment.

        ``cleared`` says which pages become holes, from the plan.
        """
        self.port.cut()
        self.port.send(f"run {words} >/plan.json 2>/errors; cat /errors >&3\n".encode())
        self.port.wait_for("kexec", SECONDS, self._is_going_or_has_failed)
        assert has_mark(self.port.report, "going"), self.port.report.decode()
        frames = parse_guest_report(self.port.report).frames
        plan = json.loads(frames["plan"])
        self.port.cut()
        self.ram.clear(cleared(plan))
        self.port.send(b"!\n")
        return plan, frames["kept"]


def extents_of(pairs):
    return ExtentSet((base, base + count) for base, count in pairs)


def deposits_json(runs, owner, withdrawn=()):
    return json.dumps(
        {
            "schema": 1,
            "kind": "deposits",
            "deposits": [
                {"base_pfn": s, "nr_pages": e - s, "owner": owner} for s, e in runs
            ],
            "withdrawn": [list(pair) for pair in withdrawn],
        }
    ).encode()


@dataclass(frozen=True, kw_only=True)
class Way:
    """Two hops: of what firmware, by which loaders, where they led."""

    firmware: str
    loaders: tuple[str, str]
    stops: list


WAYS = (
    ("bios", ("ours", "kexec-load")),
    ("efi", ("ours", "kexec-load")),
    ("efi", ("kexec-load", "ours")),
)


@pytest.fixture(
    scope="module", params=WAYS, ids=lambda way: "-".join((way[0], *way[1]))
)
def way(request, initrd, image_of, tmp_path_factory):
    """Go 6.1, 5.10, 6.1 by the command alone; tell of the stops after the first."""
    firmware, loaders = request.param
    if firmware == "efi" and not OVMF.exists():
        pytest.skip("OVMF is not installed: install ovmf")
    first, old = (image_of(release) for release in ("6.1", "5.10"))
    stops = []
    with ExitStack() as stack:
        start = with_efi if firmware == "efi" else without_efi
        guest = start(stack, first, initrd, tmp_path_factory.mktemp("machine"))
        guest.wait_until_up()
        runs = runs_of(guest.deposit(24, 1))
        stops.append(hop(guest, old, initrd, deposits_json(runs, 7), loaders[0]))
        pool = stops[0].pool["deposits"]
        gone = [(one["base_pfn"], 1) for one in pool[:6]]
        runs = runs_of(guest.deposit(20, 1))
        stops.append(
            hop(guest, first, initrd, deposits_json(runs, 9, gone), loaders[1])
        )
    return Way(firmware=firmware, loaders=loaders, stops=stops)


def without_efi(stack, image, initrd, _folder, more=""):
    bound = bound_for(image, initrd, more)
    spec = VmSpec(
        ram=layout_for(backed_pages(bound)),
        parts=bound.parts,
        entry=bound.entry,
        stub_addr=bound.stub_addr,
        accelerator="tcg",
        cpu=CPU,
    )
    ram = stack.enter_context(GuestRam(spec.ram, None))
    guest = Guest(stack, stack.enter_context(started_vm(spec, ram)), ram)
    guest.port.wait_for_bytes("boot stub", STUB_READY, PATIENT.firmware)
    guest.port.cut()
    guest.port.send(STUB_RESUME)
    return guest


def with_efi(stack, image, initrd, folder):
    ram = stack.enter_context(
        GuestRam(RamLayout(low_bytes=1024 * MIB, high_bytes=0), None)
    )
    vm = stack.enter_context(
        efi_machine(folder, ram, image.read(), initrd, LAB_CMDLINE, cpu=CPU)
    )
    return Guest(stack, vm, ram)


def bound_for(image, initrd, more):
    handoff = build_handoff(MACHINE, DepositLedger(), BuildOptions(carrier="none"))
    data = image.read()
    line = f"{LAB_CMDLINE} {more}".strip()
    return bind_kernel(handoff, data, initrd=initrd, extra_cmdline=line)


def hop(guest, image, initrd, deposits, loader):
    guest.write(
        {
            "/vmlinuz": image.read(),
            "/config": image.read_config().encode(),
            "/initrd": initrd,
            "/deposits.json": deposits,
        }
    )
    words = (
        "e820pool kexec --kernel /vmlinuz --initrd /initrd --reuse-cmdline "
        f"--agent 'cat /deposits.json' --loader {loader} --format json"
    )
    traces = loaded_only(guest, words)
    gone = extents_of(json.loads(deposits)["withdrawn"])
    plan, kept = guest.kexec(
        f"{words} --execute", lambda plan: extents_of(plan["extents"]) | gone
    )
    guest.wait_until_up()
    console = guest.port.cut()[0].decode("latin-1")
    given = extents_of(plan["extents"])
    seen = guest.ram.touched()
    guest.run("busybox mkdir -p /var/lib/e820pool")
    guest.write({STATE: kept})
    status = guest.run("e820pool rebuild live --format json >/pool.json 2>/errors")
    assert status in {0, 1}, guest.read("errors", "/errors")
    return Stop(
        given=given,
        touched=seen & given,
        used_again=(seen & gone).nr_pages,
        pool=json.loads(guest.read("pool", "/pool.json")),
        plan=plan,
        traces=traces,
        has_efi=guest.run("test -d /sys/firmware/efi") == 0,
        console=console,
    )


# Loaded, not started: what a load leaves behind for everybody else to see.
def loaded_only(guest, words):
    assert guest.run(f"{words} --load >/plan.json 2>/errors") == 0
    look = (
        "{ cat /sys/kernel/kexec_loaded; busybox grep -c firmware/memmap /proc/mounts; "
        "busybox ls /run/e820pool; } >/traces 2>/dev/null; true"
    )
    guest.run(look)
    return guest.read("traces", "/traces").decode().split()


def test_a_load_leaves_a_loaded_kernel_and_no_mount_and_no_tree(way):
    assert [stop.traces for stop in way.stops] == [["1", "0"], ["1", "0"]]


def test_no_deposited_page_is_touched_after_either_loader(way):
    assert [stop.touched.nr_pages for stop in way.stops] == [0, 0]
    pages = [stop.given.nr_pages for stop in way.stops]
    assert pages == [24 + 512, 24 + 512 - 6 + 20 + 512]


def test_it_was_loaded_because_the_model_says_safe(way):
    assert [stop.plan["verdict"] for stop in way.stops] == ["safe", "safe"]
    assert [stop.plan["done"] for stop in way.stops] == ["loaded", "loaded"]


CARRIERS = {"ours": "setup_data", "kexec-load": "file"}


def test_the_next_boots_rebuild_live_reads_the_record_with_its_owners(way):
    found = [stop.pool["carrier"] for stop in way.stops]
    assert found == [CARRIERS[loader] for loader in way.loaders]
    assert [stop.pool["generation"] for stop in way.stops] == [1, 2]
    for stop in way.stops:
        assert stop.pool["deposits"] == stop.plan["deposits"]
    assert {one["owner"] for one in way.stops[1].pool["deposits"]} == {7, 9}


def test_pages_that_were_withdrawn_are_ram_again_and_in_use(way):
    assert way.stops[1].used_again == 6


def test_the_table_has_no_entry_too_many(way):
    before = {"bios": 3, "efi": 20}[way.firmware]
    for stop in way.stops:
        assert len(stop.plan["table"]) <= before + 2 * len(stop.plan["deposits"])


def test_efi_services_go_on_by_kexec_tools_and_are_told_to_be_lost_by_ours(way):
    has_efi = way.firmware == "efi"
    for stop, loader in zip(way.stops, way.loaders, strict=True):
        told = "efi-services-lost" in {one["id"] for one in stop.plan["findings"]}
        assert told == (has_efi and loader == "ours")
        has_efi = has_efi and loader == "kexec-load"
        assert stop.has_efi == has_efi


def test_the_next_kernel_finds_acpi(way):
    """On an EFI machine there is nothing to find it by but what the loader passes."""
    for stop in way.stops:
        assert "ACPI: RSDP 0x" in stop.console
        assert "ACPI: Core revision" in stop.console


def test_a_capture_kernel_loaded_by_the_command_touches_no_deposit(initrd, image_of):
    """Loaded inside, as root, by the command alone; then the kernel crashes."""
    image = image_of("6.1")
    small = build_chain_initramfs(pressure=False, kexec_tools=False)
    with ExitStack() as stack:
        guest = without_efi(stack, image, initrd, None, "crashkernel=160M")
        guest.wait_until_up()
        runs = runs_of(guest.deposit(130, 1))
        guest.write(
            {
                "/vmlinuz": image.read(),
                "/config": image.read_config().encode(),
                "/initrd": small,
                "/deposits.json": deposits_json(runs, 7),
            }
        )
        words = (
            "e820pool kexec --panic --kernel /vmlinuz --initrd /initrd --format json "
            f"--append '{LAB_CMDLINE}' --agent 'cat /deposits.json' --load"
        )
        done = guest.run(f"{words} >/plan.json 2>/errors")
        assert done == 0, guest.read("errors", "/errors")
        plan = json.loads(guest.read("plan", "/plan.json"))
        guest.run(
            "{ cat /sys/kernel/kexec_crash_loaded; "
            "busybox grep -c -e iomem -e kcore -e memmap /proc/mounts; "
            "busybox ls /run/e820pool; } >/traces 2>/dev/null; true"
        )
        traces = guest.read("traces", "/traces").decode().split()
        given = extents_of(plan["extents"])
        guest.crash(given)
        guest.wait_until_up()
        frames = parse_guest_report(guest.port.report).frames
        touched = guest.ram.touched() & given
    assert (plan["done"], plan["verdict"]) == ("loaded", "safe")
    assert given == ExtentSet(runs)
    # A capture kernel is loaded; nothing is mounted, and no file of ours is left.
    assert traces == ["1", "0"]
    held = dumped_ranges(frames["vmcore_headers"]).pages_touched()
    assert held.nr_pages > (512 * MIB) >> 12
    assert int(frames["vmcore_size"]) > 512 * MIB
    assert not held & given
    assert not touched
