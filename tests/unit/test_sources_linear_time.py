"""Reading takes time in proportion to the input, however it is made."""

import io
import time
from contextlib import suppress

import printers
import pytest
from rawbytes import e820_table, setup_data, zero_page

from e820pool.errors import E820PoolError
from e820pool.sources.handoff_dir import read_handoff
from e820pool.sources.recognise import read_map

UNIT = 1 << 15
ENTRY = b"BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff] usable\n"

TEXTS = {
    "entries": ENTRY,
    "one line of entries": ENTRY.rstrip(),
    "names without ranges": b"BIOS-e820: ",
    "soft breaks": b"BIOS-e820: [mem=\n",
    "entries without types": b"BIOS-e820: [mem 0x1000-0x1fff]\n",
    "blanks": b" " * 60,
    "quote marks": b">" * 60,
    "headlines": b"BIOS-provided physical RAM map:\n" + ENTRY,
    "colour codes that do not end": b"\x1b[0;0;0;0",
    "iomem": b"00001000-00001fff : System RAM\n",
    "iomem nested": b"00000000-ffffffffffff : Reserved\n",
    "iomem dashes": b"1-2-3-4-5-6-7-8 : ",
    "hex digits": b"0123456789abcdef",
    "open brackets": b"[",
    "short lines": b"line\n",
    "xen's headline": b"(XEN) Xen-e820 RAM map:\n",
    "xen's entry without its type": b"(XEN)  [0000000000000000, 000000000009fbff]\n",
    "xen's entry cut": b"(XEN)  [0000000000000000,\n",
    "kexec's headline": b"E820 memmap:\n",
    "kexec's range cut": b"0000000000000000-\n",
    "memmap's value": b"0/start:0x0\n",
    "memmap's name": b"==> 0/start <==\n",
    "memmap's key": b"/0/type:",
    "grub's beginning": b"base_addr = ",
    "efi's number": b"efi: mem00: [",
    "digits": b"0000000000000000-0000000000000fff ",
    "a dump": b"00000000: 0000 0000 0000 0000  ....\n",
    "a star of a dump": b"*\n",
    **{
        f"printed: {name}": write(rows).encode()
        for name, (write, rows) in printers.FORMS.items()
    },
}


def taken(data):
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        with suppress(E820PoolError):
            read_map("-", stdin=io.BytesIO(data))
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("name", TEXTS)
def test_eight_times_the_text_takes_about_eight_times_as_long(name):
    piece = b"BIOS-e820: [mem 0x0-0xfff] usable\n" * (not name.startswith("iomem"))
    once = piece + TEXTS[name] * (UNIT // len(TEXTS[name]))
    more = piece + TEXTS[name] * (8 * UNIT // len(TEXTS[name]))
    # Quadratic would be 64 times. Processor time, the best of five and a floor keep
    # the noise of a busy machine out.
    assert taken(more) < 40 * max(taken(once), 0.001)


def test_json_rows_take_linear_time():
    def rows(count):
        inner = ", ".join(f"[{n * 4096}, 4096, 1]" for n in range(count))
        return b'{"schema": 1, "entries": [%s]}' % inner.encode()

    assert taken(rows(16_000)) < 40 * max(taken(rows(2_000)), 0.001)


def test_a_long_chain_is_read_in_linear_time(tmp_path):
    def chain(name, count):
        path = tmp_path / name
        path.mkdir()
        page = zero_page([(0, 0x9F000, 1), (1 << 20, 1 << 30, 1)], setup_data=0x100000)
        (path / "boot_params.bin").write_bytes(page)
        for n in range(count):
            after = 0x100000 + (n + 1) * 64 if n + 1 < count else 0
            node = setup_data(1, e820_table([(n << 32, 4096, 2)]), after)
            (path / f"setup_data-{n}.bin").write_bytes(node)
        return path

    def seconds(path):
        # The least of five: what the disk and a search for cycles add is not ours.
        costs = []
        for _ in range(5):
            start = time.process_time()
            assert read_handoff(path).nodes
            costs.append(time.process_time() - start)
        return min(costs)

    short, long = chain("short", 100), chain("long", 800)
    assert seconds(long) < 40 * max(seconds(short), 0.001)
