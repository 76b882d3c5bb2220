"""The layouts against a C compiler's reading of the kernel's own headers."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from e820pool.abi import boot_params, setup_data, setup_header
from e820pool.abi.binding import struct_of
from e820pool.abi.boot_params import E820_ENTRY
from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE
from e820pool.abi.layout import fields_of

# C structure, and how a member of it that is no structure of its own is reached;
# then our layout of it.
LAYOUTS = {
    ("boot_params", ""): boot_params.BOOT_PARAMS,
    ("boot_e820_entry", ""): E820_ENTRY,
    ("setup_data", ""): setup_data.NODE_HEADER,
    ("setup_indirect", ""): struct_of(setup_data.SetupIndirect),
    ("kho_data", ""): struct_of(setup_data.KhoData),
}

# Members that are in a header and not in our layout, each with its reason.
SKIPPED = {
    ("setup_data", "data"): "a flexible array: the payload, SetupDataNode.data",
}


class KhoData(ctypes.Structure):
    """Of asm/setup_data.h, for machines whose headers are older."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("fdt_addr", "fdt_size", "scratch_addr", "scratch_size")
    )


# What the headers of an older kernel lack: how C asks, and the rules of C instead.
NEWER = {"kho_data": ("#ifdef SETUP_KEXEC_KHO", KhoData)}  # came with 6.16
NEWER_CONSTANTS = {"SETUP_KEXEC_KHO"}

CONSTANTS = {
    name: getattr(module, name)
    for module in (setup_data, setup_header)
    for name in module.__all__
    if re.match(r"SETUP_(?!HEADER)|XLF_|.*_(FLAG|HEAP|SEGMENTS|HIGH)$", name)
    and name != "BOOT_FLAG"  # a number of the protocol, in no header
} | {
    "E820_MAX_ENTRIES_ZEROPAGE": E820_MAX_ENTRIES_ZEROPAGE,
}

HEADERS = """
#include <asm/bootparam.h>
#if __has_include(<asm/setup_data.h>)
#include <asm/setup_data.h>
#endif
"""

pytestmark = pytest.mark.headers


def expressions(c_struct, member, layout):
    """Yield the C lines that print each field as the compiler lays it out."""
    dot = f"{member}." if member else ""
    base = f"offsetof(struct {c_struct}, {member})" if member else "0"
    whole = f"((struct {c_struct} *)0)"
    key = f"{c_struct}/{member}"
    for field in fields_of(layout):
        path = dot + field.name
        yield (
            f'printf("{key} {field.name} %zu %zu\\n",'
            f" offsetof(struct {c_struct}, {path}) - {base}, sizeof({whole}->{path}));"
        )
    of_whole = f"sizeof({whole}->{member})" if member else f"sizeof(struct {c_struct})"
    yield f'printf("{key} (whole) 0 %zu\\n", {of_whole});'


def program():
    lines = []
    for (c_struct, member), layout in LAYOUTS.items():
        body = list(expressions(c_struct, member, layout))
        if c_struct in NEWER:
            body = [NEWER[c_struct][0], *body, "#endif"]
        lines += body
    for name in CONSTANTS:
        show = f'printf("constant {name} 0 %lu\\n", (unsigned long)(__u32){name});'
        lines += [f"#ifdef {name}", show, "#endif"]
    return (
        f"#include <stddef.h>\n#include <stdio.h>\n{HEADERS}\n"
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    )


def gcc(*arguments, source):
    if shutil.which("gcc") is None:
        pytest.skip("install gcc")
    done = subprocess.run(
        ["gcc", "-x", "c", *arguments, "-"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    if "asm/bootparam.h: No such file" in done.stderr:
        pytest.skip("install linux-libc-dev (on x86)")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return `{structure: [(field, offset, size)]}` as the compiler sees them."""
    binary = tmp_path_factory.mktemp("headers") / "offsets"
    gcc("-o", str(binary), source=program())
    output = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in output.splitlines():
        key, name, offset, size = line.split()
        found.setdefault(key, []).append((name, int(offset), int(size)))
    return found


@pytest.mark.parametrize("place", LAYOUTS, ids="/".join)
def test_every_field_has_the_offset_and_size_that_the_header_gives(compiled, place):
    layout = LAYOUTS[place]
    theirs = compiled.get("/".join(place)) or laid_out(NEWER[place[0]][1])
    ours = [(field.name, field.offset, field.size) for field in fields_of(layout)]
    assert [*ours, ("(whole)", 0, layout.sizeof())] == theirs


def test_the_constants_are_those_of_the_header(compiled):
    theirs = {name: value for name, _, value in compiled["constant"]}
    missing = CONSTANTS.keys() - theirs.keys()
    assert missing <= NEWER_CONSTANTS
    assert theirs == {name: CONSTANTS[name] for name in theirs}


def test_the_header_offset_is_where_the_zero_page_has_it(compiled):
    places = {name: offset for name, offset, _ in compiled["boot_params/"]}
    assert places["hdr"] == setup_header.SETUP_HEADER_OFFSET


def laid_out(cls):
    fields = [(name, getattr(cls, name)) for name, *_ in cls._fields_]
    places = [(name, field.offset, field.size) for name, field in fields]
    return [*places, ("(whole)", 0, ctypes.sizeof(cls))]


def members(text, c_struct):
    """Return the names that a structure's body declares, as the text spells them."""
    start = text.index(f"struct {c_struct} {{") + len(f"struct {c_struct} {{")
    depth, declarations, current = 1, [], ""
    for letter in text[start:]:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            break
        if letter == ";" and depth == 1:
            declarations.append(current)
            current = ""
        elif depth == 1:
            current += letter
    names = []
    for declaration in declarations:
        plain = re.sub(r"__attribute__\s*\(\(.*?\)\)|\[[^]]*\]", "", declaration)
        names += [part.split()[-1].strip("}") for part in plain.split(",")]
    return names


@pytest.mark.parametrize(
    ("c_struct", "layout"),
    [
        ("efi_info", boot_params.EfiInfo),
        ("setup_header", boot_params.SetupHeader),
        ("boot_params", boot_params.BootParams),
        ("setup_data", setup_data.NODE_HEADER),
        ("setup_indirect", setup_data.SetupIndirect),
    ],
)
def test_no_member_of_the_header_is_left_out(c_struct, layout):
    text = gcc("-E", "-P", source=HEADERS)
    struct = layout if hasattr(layout, "subcons") else struct_of(layout)
    ours = [sub.name for sub in struct.subcons]
    skipped = [name for of, name in SKIPPED if of == c_struct]
    assert ours + skipped == members(text, c_struct)


def test_the_header_that_was_compared_is_the_systems():
    """A copy in this repository would prove nothing."""
    root = Path(__file__).parents[2]
    tracked = [path for path in root.rglob("bootparam*.h") if ".venv" not in path.parts]
    assert tracked == []
