"""Say struct boot_params in Kaitai's language, from the construct definitions."""

from __future__ import annotations

import json
import re
from inspect import getdoc
from typing import TYPE_CHECKING, Any

from construct import Array, Bytes, Construct, FormatField, Renamed, Struct

from e820pool.abi.binding import BoundField, bound_fields
from e820pool.abi.boot_params import BootParams
from e820pool.abi.setup_data import NODE_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("boot_params_ksy",)

_HEAD = """\
# Generated from e820pool's own definitions by tools/boot_params_ksy.py.
meta:
  id: boot_params
  title: Linux x86 boot_params, the zero page
  license: MIT
  ks-version: '0.9'
  endian: le
doc: |
  What a boot loader hands to an x86 Linux kernel: 4096 bytes, exported by a running
  kernel as /sys/kernel/boot_params/data. Of e820_table only the first e820_entries
  count. hdr.setup_data is the physical address of the first setup_data node, whose
  type stands here too, for those who have the memory that it points to.
doc-ref: arch/x86/include/uapi/asm/bootparam.h of Linux 6.1 to 7.3
"""
# Structures that are given by a construct and not by a dataclass.
_ENTRY_TYPE = "e820_entry"
_ENTRY_DOC = "struct boot_e820_entry: addr and size in bytes; 20 bytes."
_NODE_TYPE = "setup_data"
_NODE_DOC = "struct setup_data with its payload; next is 0 in the last node."
_ENDIAN = {"<": "le", ">": "be"}


def boot_params_ksy() -> str:
    """Return the text of ``boot_params.ksy``: every field with its offset."""
    types: dict[str, list[str]] = {}
    seq = list(_seq(BootParams, types))
    node = [*_struct_seq(NODE_HEADER, types), "- id: data", "  size: len"]
    types[_NODE_TYPE] = [f"doc: {_quoted(_NODE_DOC)}", "seq:", *_indented(node)]
    lines = ["seq:", *_indented(seq), "types:"]
    for name, body in types.items():
        lines += _indented([f"{name}:", *_indented(body)])
    return _HEAD + "\n".join(lines) + "\n"


# What JSON quotes YAML reads as it is.
def _quoted(text: str) -> str:
    return json.dumps(text)


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _seq(cls: type, types: dict[str, list[str]]) -> Iterator[str]:
    for field in bound_fields(cls):
        yield from _field(field, types)


def _field(field: BoundField, types: dict[str, list[str]]) -> Iterator[str]:
    ident = field.name.lstrip("_").lower()
    yield f"- id: {ident}  # {field.offset:#x}"
    if ident != field.name:
        yield f"  -orig-id: {field.name}"
    yield from (f"  {line}" for line in _shape(field.of, types))
    if field.count:
        yield from _repeat(field.count)
    if field.protocol:
        major, minor = divmod(field.protocol, 0x100)
        yield f"  doc: since boot protocol {major}.{minor:02}"


# What a field is: the lines that say it; the types that it needs are added.
def _shape(of: Any, types: dict[str, list[str]]) -> list[str]:
    match of:
        case Renamed():
            return _shape(of.subcon, types)
        case FormatField():
            order, letter = of.fmtstr
            sign = "u" if letter.isupper() else "s"
            # The file's own order needs no word.
            end = "" if order == "<" or of.length == 1 else _ENDIAN[order]
            return [f"type: {sign}{of.length}{end}"]
        case Bytes():
            return [f"size: {of.length}"]
        case Array():
            return [*_shape(of.subcon, types), *_repeat_lines(of.count)]
        case Struct():
            body = [f"doc: {_quoted(_ENTRY_DOC)}", "seq:"]
            types[_ENTRY_TYPE] = body + _indented(list(_struct_seq(of, types)))
            return [f"type: {_ENTRY_TYPE}"]
        case type():
            return [f"type: {_bound_type(of, types)}"]
    raise TypeError(f"{of!r} has no equivalent in Kaitai's language")


def _bound_type(cls: type, types: dict[str, list[str]]) -> str:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
    if name not in types:
        types[name] = []
        doc = (getdoc(cls) or "").partition("\n")[0]
        seq = _indented(list(_seq(cls, types)))
        types[name] = [f"doc: {_quoted(doc)}", "seq:", *seq]
    return name


def _struct_seq(struct: Construct, types: dict[str, list[str]]) -> Iterator[str]:
    for member in struct.subcons:
        yield f"- id: {member.name}"
        yield from (f"  {line}" for line in _shape(member.subcon, types))


def _repeat(count: int) -> Iterator[str]:
    yield from (f"  {line}" for line in _repeat_lines(count))


def _repeat_lines(count: int) -> list[str]:
    return ["repeat: expr", f"repeat-expr: {count}"]
