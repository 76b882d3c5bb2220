"""Debian 12 as it is installed: firmware, GRUB, systemd, kdump-tools, and our package.

One machine goes the whole way: started by its EFI firmware, five times on by
`systemctl kexec`, once by a machine that runs without systemd, at the end it crashes.
The units load; the reference agent deposits pages of its own, some of them scattered by
memory that was filled before, and withdraws some that were inherited. Each kernel fills
its memory. The host sees who touches a watched page, from the deposit on.

    .venv/bin/pytest -m lab tests/lab/test_debian_machine.py
"""

import json
import logging
import time
from dataclasses import dataclass

import pytest
from debianmachine import debian_machine
from debiansystem import built_package, debian_disk
from efimachine import OVMF

from e820pool.extents import ExtentSet

pytestmark = pytest.mark.slow

LOG = logging.getLogger(__name__)

MIB = 1 << 20
SETTINGS = "/etc/default/e820pool-kexec"
LINE = "root=LABEL=lab-root ro console=ttyS0,115200"
SYSV = f"{LINE} init=/opt/sysvinit/sbin/init"
SOCKET = "/run/e820pool/agent.sock"
# What kdump-config would load, by us: with the deposits of now.
CAPTURE = (
    "e820pool kexec --panic --kernel /var/lib/kdump/vmlinuz "
    "--initrd /var/lib/kdump/initrd.img "
    f"--append '{LINE} reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 "
    f"irqpoll usbcore.nousb' --agent {SOCKET} --load"
)
CARRIERS = {"ours": "setup_data", "kexec-load": "file"}
UNITS = "e820pool-agent e820pool-kexec-check e820pool-kexec"
# All but 120 MiB of what is free, from one end to the other.
FILL = (
    "mkdir -p /run/fill && mount -t tmpfs -o size=100% fill /run/fill && "
    "dd if=/dev/zero of=/run/fill/all bs=1M status=none "
    "count=$(awk '/MemAvailable/ {print int($2 / 1024) - 120}' /proc/meminfo); "
    "umount /run/fill"
)


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A `systemctl kexec`: to what kernel, how, and what is deposited before it.

    ``cmdline`` as the settings have it: "" for the running kernel's, `own` for GRUB's.
    ``scattered`` deposits late, when memory was filled and is in pieces; else it is
    done when the kernel has just come up.
    """

    kernel: str
    loader: str
    nr_pages: int
    cmdline: str = ""
    scattered: bool = False


# By kexec-tools twice only: their purgatory adds up 75 MB before it jumps, which takes
# its time where it is emulated. They take 2048 entries: 1000 single pages.
HOPS = (
    Hop(kernel="5.10", loader="kexec-load", nr_pages=1900),
    Hop(kernel="newest", loader="ours", nr_pages=300, cmdline="own", scattered=True),
    Hop(kernel="6.1", loader="ours", nr_pages=900),
    Hop(kernel="5.10", loader="kexec-load", nr_pages=150, scattered=True),
    Hop(kernel="newest", loader="ours", nr_pages=700),
)
AS_ASKED = {"newest": "6.12"}


@dataclass(kw_only=True)
class Stop:
    """What was seen after a jump.

    ``used_again`` are pages that had been withdrawn before it and were touched since.
    """

    release: str
    seconds: float
    given: ExtentSet
    owners: dict
    withdrawn: ExtentSet
    touched: ExtentSet
    used_again: ExtentSet
    pool: dict
    failed: str
    kdump: str
    cmdline: str
    has_efi: bool
    init: str

    def __str__(self):
        return (
            f"{self.release}: up after {self.seconds:.0f} s, {self.given.nr_pages} "
            f"pages in {len(self.given)} extents watched, "
            f"{self.touched.nr_pages} touched, "
            f"{self.used_again.nr_pages} of {self.withdrawn.nr_pages} withdrawn in use"
        )


class Administrator:
    """Who gives the commands, and keeps account of what should be deposited."""

    def __init__(self, machine):
        self.machine = machine
        self.owners = {}
        self.inherited = {}
        self.withdrawn = ExtentSet()
        listed = machine.run("linux-version list").split()
        self.versions = {".".join(one.split(".")[:2]): one for one in listed}

    @property
    def given(self):
        return ExtentSet((pfn, pfn + 1) for pfn in self.owners)

    def prepare(self):
        """Enable what was installed and is not enabled; GRUB writes its own menu."""
        enabled, _ = self.machine.ask(f"systemctl is-enabled {UNITS}")
        assert enabled == 1
        self.machine.run("systemctl start e820pool-agent")
        self.deposit(HOPS[0].nr_pages, 7)
        self.machine.run("update-grub")
        self.set("6.1", "ours", "")
        self.machine.run(f"systemctl enable --now {UNITS}")
        # It has checked; at each boot it would cost a minute.
        self.machine.run("systemctl disable e820pool-kexec-check")

    def set(self, kernel, loader, cmdline):
        """Edit the units' settings."""
        kernel = self.versions.get(kernel, kernel)
        changes = f"s|^KERNEL=.*|KERNEL={kernel}|; s|^LOADER=.*|LOADER={loader}|; "
        changes += f's|^#*CMDLINE=.*|CMDLINE="{cmdline}"|'
        self.machine.run(f"sed -i '{changes}' {SETTINGS}")

    def _ask_agent(self, *requests):
        words = " ".join(f"'{one}'" for one in requests)
        wait = f"until [ -S {SOCKET} ]; do sleep 1; done"
        answers = self.machine.run(f"{wait}; /usr/local/sbin/lab-agent {words}")
        told = [json.loads(line) for line in answers.splitlines()]
        assert not [one for one in told if "error" in one], told
        return told

    def withdraw(self, step):
        """Withdraw single pages of those that were inherited."""
        pages = sorted(self.inherited)[::step]
        self._ask_agent(*(f"withdraw {pfn:#x} 1" for pfn in pages))
        for pfn in pages:
            del self.owners[pfn]
        self.withdrawn = ExtentSet((pfn, pfn + 1) for pfn in pages)

    def deposit(self, nr_pages, owner):
        """Let the agent lock pages; from now on nobody may touch them."""
        (done,) = self._ask_agent(f"lock {nr_pages} {owner}")
        pages = [base + n for base, count in done["pages"] for n in range(count)]
        assert len(pages) == nr_pages
        self.owners |= dict.fromkeys(pages, owner)
        self.machine.watch(self.given | self.withdrawn)

    def load(self):
        """Let the unit load what the settings say."""
        status, _ = self.machine.ask("systemctl reload e820pool-kexec")
        _, said = self.machine.ask("journalctl -b -u e820pool-kexec -o cat --no-pager")
        assert status == 0, said
        assert self.machine.run("cat /sys/kernel/kexec_loaded") == "1\n"

    def jump(self, command, early=0):
        """Go to the next kernel, let it fill its memory, and tell what is there.

        ``early`` pages are deposited there at once.
        """
        machine = self.machine
        start = time.monotonic()
        machine.send(command)
        release = machine.wait_until_up()
        seconds = time.monotonic() - start
        machine.ask("systemctl is-system-running --wait")
        self.inherited = dict(self.owners)
        _, pool = machine.ask("e820pool rebuild live --format json")
        if early:
            self.deposit(early, 7 + len(set(self.owners.values())))
        machine.run(FILL)
        touched = machine.touched()
        stop = Stop(
            release=release,
            seconds=seconds,
            given=ExtentSet((pfn, pfn + 1) for pfn in self.inherited),
            owners=self.inherited,
            withdrawn=self.withdrawn,
            touched=touched & self.given,
            used_again=touched & self.withdrawn,
            pool=json.loads(pool),
            failed=machine.ask("systemctl --failed --no-legend --plain")[1],
            kdump=machine.ask("kdump-config status")[1],
            cmdline=machine.run("cat /proc/cmdline"),
            has_efi=machine.ask("test -d /sys/firmware/efi")[0] == 0,
            init=machine.run("cat /proc/1/comm").strip(),
        )
        LOG.info("%s", stop)
        self.withdrawn = ExtentSet()
        machine.watch(self.given)
        return stop


@dataclass(frozen=True, kw_only=True)
class Way:
    """All that the machine went through.

    Attributes:
        stops: after each of the five hops.
        sysv, back: a boot whose init is not systemd, and the one that it started.
        crashed: pages watched while the capture kernel and its tools ran, those that
            they touched, what they wrote, and what the next boot says is deposited.
    """

    initrds: list
    stops: list
    sysv: Stop
    back: Stop
    crashed: dict


@pytest.fixture(scope="module")
def way(tmp_path_factory):
    if not OVMF.exists():
        pytest.skip("OVMF is not installed: install ovmf")
    folder = tmp_path_factory.mktemp("debian")
    disk = debian_disk(built_package(), folder)
    with debian_machine(disk, folder) as machine:
        assert machine.wait_until_up().startswith("6.1.")
        machine.run("systemctl is-system-running --wait")
        root = Administrator(machine)
        root.prepare()
        initrds = machine.run("stat -c %s /boot/initrd.img-*").split()
        early = [0 if hop.scattered else hop.nr_pages for hop in HOPS[1:]]
        stops = [hop(root, *pair) for pair in zip(HOPS, [*early, 0], strict=True)]
        root.withdraw(40)
        root.set("6.1", "ours", SYSV)
        root.load()
        sysv = root.jump("systemctl kexec", early=300)
        words = f"--kernel {root.versions['6.1']} --append '{LINE} crashkernel=256M'"
        words += f" --agent {SOCKET} --execute"
        back = root.jump(f"sync; e820pool kexec {words} 2>&1", early=400)
        crashed = crash(root)
    return Way(
        initrds=list(map(int, initrds)),
        stops=stops,
        sysv=sysv,
        back=back,
        crashed=crashed,
    )


def hop(root, hop, early):
    if root.inherited:
        root.withdraw(40)
    if hop.scattered:
        root.deposit(hop.nr_pages, 7 + len(set(root.owners.values())))
    root.set(hop.kernel, hop.loader, hop.cmdline)
    root.load()
    return root.jump("systemctl kexec", early)


def crash(root):
    """Crash with kdump-tools' capture kernel, loaded by us with what is deposited."""
    machine = root.machine
    machine.run("systemctl is-active kdump-tools")
    machine.run(CAPTURE)
    kdump = machine.run("kdump-config status")
    machine.send("sync; echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger")
    machine.wait_for_words("saved vmcore in /var/crash/", 1200)
    touched = machine.touched()
    # Its reboot goes through the firmware: a hypervisor has cleared everything then.
    release = machine.wait_until_up()
    machine.ask("systemctl is-system-running --wait")
    dump = machine.run("cd /var/crash/*/; head -c 12 dump.*; stat -c ' %s' dump.*")
    told = machine.run("/usr/local/sbin/lab-agent deposits")
    LOG.info(
        "crash: %d pages watched, %d touched", root.given.nr_pages, touched.nr_pages
    )
    return {
        "kdump": kdump,
        "given": root.given,
        "touched": touched,
        "release": release,
        "dump": dump,
        "deposits": json.loads(told)["deposits"],
    }


def test_five_hops_under_systemd_touch_no_deposited_page(way):
    assert len(way.stops) == 5
    for stop, hop in zip(way.stops, HOPS, strict=True):
        assert stop.release.startswith(AS_ASKED.get(hop.kernel, hop.kernel) + ".")
        assert stop.init == "systemd"
        assert not stop.touched, stop
    assert way.stops[-1].given.nr_pages > 3500
    # Single pages, too many for the zero page.
    assert len(way.stops[-1].given) > 200


def test_every_pool_is_given_back_with_its_owners(way):
    for stop in (*way.stops, way.sysv, way.back):
        found = {
            one["base_pfn"] + n: one["owner"]
            for one in stop.pool["deposits"]
            for n in range(one["nr_pages"])
        }
        assert found == stop.owners, stop
    carriers = [stop.pool["carrier"] for stop in way.stops]
    assert carriers == [CARRIERS[hop.loader] for hop in HOPS]


def test_what_was_withdrawn_is_memory_again(way):
    for stop in (*way.stops[1:], way.sysv):
        assert stop.withdrawn
        assert 2 * stop.used_again.nr_pages > stop.withdrawn.nr_pages, stop


def test_nothing_of_the_system_fails_and_kdump_is_loaded_beside(way):
    for stop in way.stops:
        assert stop.failed == ""
        assert "ready to kdump" in stop.kdump.splitlines()[-1]


def test_a_kernel_comes_with_its_own_initrd_and_the_line_that_grub_has_for_it(way):
    assert min(way.initrds) > 59_000_000
    assert "root=LABEL=" in way.stops[0].cmdline
    assert "root=UUID=" in way.stops[1].cmdline


def test_efi_services_go_on_with_kexec_tools_until_our_loader_ends_them(way):
    assert [stop.has_efi for stop in way.stops] == [True, False, False, False, False]


def test_a_machine_without_systemd_goes_on_too(way):
    assert way.sysv.init == "init"
    assert way.back.init == "systemd"
    assert not way.sysv.touched
    assert not way.back.touched
    assert way.back.given.nr_pages > way.sysv.given.nr_pages


def test_kdump_tools_save_a_dump_without_the_deposits(way):
    assert "ready to kdump" in way.crashed["kdump"]
    assert way.crashed["given"].nr_pages > way.back.given.nr_pages
    assert not way.crashed["touched"]
    signature, size = way.crashed["dump"].split()
    assert signature == "makedumpfile"
    assert int(size) > 20 * MIB
    # Started by the firmware, the machine has no deposit and knows it.
    assert way.crashed["deposits"] == []
