"""Cases of the conformance corpus: what a command line does to a table."""

from corpus_tables import (
    CORE,
    LOW,
    NOKASLR,
    PLAIN,
    TOP,
    WORDS,
    G,
    K,
    M,
    ext_node,
    rng_of,
)


def words_of(text):
    return text.split(" ")


LINES = {
    "mem": words_of(
        "mem=300M mem=0x10000000 mem=262144K mem=300000000 mem=0 mem=junk mem= mem "
        "mem=nopentium mem=1T mem=20E mem=300M,200M mem=300Mjunk mem=-1 mem=0x "
        "mem=02254000000 mem=300m mem=2000000001"
    ),
    "mem-several": (
        "mem=400M mem=300M",
        "mem=300M mem=400M",
        "mem=0 mem=300M",
        "mem mem=300M",
        "mem=300M memmap=16M@320M",
        "memmap=16M@320M mem=300M",
        'mem="300M"',
        '"mem=300M"',
        "-- mem=300M",
        "mem=300M -- mem=200M",
        "xmem=300M mem.x=300M -mem=300M",
        "MEM=300M Mem=300M",
        "mem=\t300M mem=310M",
    ),
    "memmap": words_of(
        "memmap=16M$300M memmap=16M#300M memmap=16M!300M memmap=16M@416M memmap=300M "
        "memmap=0x1001$0x12c00001 memmap=1M$0x12C00000 memmap=0$300M memmap=16M$0 "
        "memmap=4K$ memmap=16M@ memmap=@16M memmap=$300M memmap= memmap memmap=junk "
        "memmap=16M$300Mjunk memmap=300Mjunk memmap=300M16M memmap=16M$junk "
        "memmap=1G$1G memmap=1T$1T memmap=1P$1P memmap=1E$1E memmap=16M$16E "
        "memmap=K$300M memmap=M memmap=32E$300M memmap=16M$18446744073709551616 "
        "memmap=-1M$300M memmap=16m$300m memmap=1k$307200k "
        "memmap=010000000$02254000000 memmap=08M$300M "
        "memmap=300M=16M memmap=nopentium memmap=4G$3G"
    ),
    "memmap-list": (
        "memmap=1M$300M,1M$302M,1M#304M",
        "memmap=1M$300M,junk,1M$302M",
        "memmap=1M$300M,,1M$302M",
        "memmap=,1M$300M",
        "memmap=1M$300M,",
        "memmap=1M$300M,400M,1M@420M",
        "memmap=1M$300M,1M$302M,1M$304M,1M$306M",
        "memmap=1M$300M,1M$302M,1M$304M,1M$306M,1M$308M",
        "memmap=1M$300M memmap=1M$302M memmap=1M$304M memmap=1M$306M memmap=1M$308M",
        "memmap=1M$300M memmap=1M!300M memmap=1M#300M memmap=4M@299M",
        'memmap="1M$300M,1M$302M"',
        "memmap=1M$300M;1M$302M",
        "memmap=1M!300M,1M!301M,1M$302M,1M!303M",
    ),
    "memmap-exact": (
        "memmap=exactmap memmap=640K@0 memmap=399M@1M",
        "memmap=exactmap,636K@0,300M@1M,16M$320M",
        "memmap=636K@0,300M@1M,exactmap,636K@0,310M@1M",
        "memmap=exactmapjunk memmap=636K@0 memmap=300M@1M",
        "memmap=exact memmap=exactma memmap=1M$300M",
        "memmap=16M$300M memmap=exactmap memmap=636K@0 memmap=300M@1M memmap=1M#310M",
        "memmap=exactmap memmap=416M@0",
        "memmap=exactmap",
        "memmap=exactmap memmap=416M@0 memmap=0$0",
        "memmap=exactmap mem=300M memmap=636K@0 memmap=400M@1M",
    ),
    "memmap-retype": (
        "memmap=16M%300M-1+2",
        "memmap=16M%300M-1+13",
        "memmap=16M%300M-2+1",
        "memmap=16M%300M+3",
        "memmap=16M%300M-1",
        "memmap=16M%300M",
        "memmap=16M%300M-1+2junk",
        "memmap=16M%300M-0x1+0x5",
        "memmap=16M%300M-1+0",
        "memmap=16M%300M-0+2",
        "memmap=16M%300M+2-1",
        "memmap=16M%-1+2",
        "memmap=1M%310M-2+1,1M%312M-1+2,1M%314M-1+0xefffffff",
        "memmap=0x800%0x12c00400-1+2",
        "memmap=400M%200M-1+2 mem=220M",
        "memmap=16M%300M-1+0x100000002",
        "memmap=16M%300M-1+128",
        "memmap=16E%300M-1+2",
        "memmap=140M%300M-1+2",
        "memmap=16M%300M-1+1",
        "memmap=16M%300M-",
        "memmap=16M%300M-+7",
    ),
}
# These end a boot, but not before memory is set up.
DEADLY = {
    *("memmap=16M$0", "memmap=16M$junk", "memmap=M", "memmap=08M$300M"),
    *("memmap=16M$18446744073709551616", "memmap=16M%-1+2"),
    "memmap=exact memmap=exactma memmap=1M$300M",
}
# Something of other types where the lines above look.
BASE = [
    *CORE,
    [128 * M, 168 * M, 1],
    [296 * M, 8 * M, 1],
    [304 * M, 8 * M, 2],
    [312 * M, 4 * M, 3],
    [316 * M, 100 * M, 1],
]
HUGE = [*PLAIN, [4 * G, 3 * G, 1]]


def cmdlines(seed):
    for family, lines in LINES.items():
        for n, line in enumerate(lines):
            # What a decompressor makes of it shows in where the kernel lands.
            still = f"{NOKASLR} " if n % 3 == 2 or "@" in line else ""
            more = {"whole": True} if line in DEADLY else {}
            yield family, f"{line!r}", {"e820": BASE, "cmdline": still + line, **more}
    yield from huge_pages()
    yield from quotes()
    yield from long_lines()
    yield from several(seed)


def huge_pages():
    for line in (
        "hugepagesz=1G hugepages=1",
        "hugepagesz=1G hugepages=2 memmap=64M$4G",
        "hugepagesz=2M hugepages=1 hugepagesz=1G",
        "hugepages=1 hugepagesz=1G hugepages=1 mem=6G",
    ):
        yield "hugepages", f"{line!r}", {"e820": HUGE, "cmdline": line}


def quotes():
    for line in (
        "nokaslrx",
        'foo="nokaslr"',
        "foo=nokaslr -- nokaslr",
        "\tnokaslr",
        'foo=" nokaslr "',
        "kaslr",
    ):
        yield "nokaslr", f"{line!r}", {"e820": BASE, "cmdline": line}


def long_lines():
    many = ",".join(f"64K${300 * M + n * 256 * K:#x}" for n in range(100))
    yield "long", "a list of 100 ranges", {"e820": BASE, "cmdline": f"memmap={many}"}
    apart = " ".join(f"memmap=4K${300 + n}M" for n in range(80))
    yield "long", "80 options", {"e820": BASE, "cmdline": f"{NOKASLR} {apart}"}
    said = f"{NOKASLR} memmap=1M$300M memmap=1M$302M memmap=16M#3000000000"
    # One digit too long for the 2047 characters that a kernel keeps.
    pad = "x" * (2048 - len(f"{WORDS}  {said}"))
    cut = f"{pad} {said} memmap=1M$304M"
    yield "long", "cut after 2047 bytes", {"e820": BASE, "cmdline": cut}


def several(seed, count=10):
    marks = "@$#!%"
    for n in range(count):
        rng = rng_of(seed, "several", n)
        parts = []
        for _ in range(rng.randint(2, 9)):
            size = rng.choice(("1M", "0x12345", "4K", "16M", "1", "0", "3000000"))
            at = rng.randrange(130 * M, 440 * M, rng.choice((1, 0x1000, M)))
            mark = rng.choice(marks)
            tail = rng.choice(("-1+2", "+7", "-2", "", "-1+5")) if mark == "%" else ""
            parts.append(f"{size}{mark}{at:#x}{tail}")
        joint = rng.choice((",", " memmap="))
        line = f"{NOKASLR} memmap={joint.join(parts)}"
        table = rng.choice((BASE, PLAIN, [*LOW, [M, TOP - M, 1], [200 * M, 99 * M, 7]]))
        more = {"nodes": [ext_node([[400 * M, M, 5]])]} if n % 4 == 0 else {}
        yield "several", "random options", {"e820": table, "cmdline": line, **more}
