"""Find the parts of a large log that can say something of a memory map."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from e820pool.sources.log_text import Piece, encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

__all__ = ("chunks_of", "log_windows")

_CHUNK_BYTES = 4 << 20

# Every headline, every entry of a BIOS map and every later edit has one of these, and
# so has the banner of a boot. A plain search for three words runs through a log about
# as fast as it can be read.
_ANCHORS = (b"e820", b"RAM map", b"Linux version ")
# So much around an anchor is kept: before it, the start of a line that was broken;
# behind it, the command line after a banner, the map after a headline, and the lines
# after the map up to last_pfn, which older kernels print without "e820".
_BEFORE = 1 << 10
_AFTER = 4 << 10
# More than a line of any logger: a line that is longer is no line.
_LINE_LIMIT = 16 << 20


def chunks_of(stream: IO[bytes], head: bytes = b"") -> Iterator[bytes]:
    """Yield a text in UTF-8, whatever encoding it is in, some megabytes at a time.

    Args:
        stream: what is left of it.
        head: its start, if that was read already.
    """
    raw = _raw_chunks(stream, head)
    first = next(raw, b"")
    encoding = encoding_of(first)
    if encoding == "utf-8-sig":
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from raw
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).encode()
    for chunk in raw:
        yield decoder.decode(chunk).encode()


def _raw_chunks(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    for at in range(0, len(head), _CHUNK_BYTES):
        yield head[at : at + _CHUNK_BYTES]
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def log_windows(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Yield the parts of a log around what names a memory map, with their line numbers.

    What is kept in memory does not grow with the log: some chunks at most.
    """
    number, wanted = 1, 0
    tail = Piece(1, "")  # the end of the block before, if it was not yielded
    for block in _blocks(chunks):
        spans = _spans(block, wanted)
        wanted = max((end for _, end in spans), default=0) - len(block)
        if spans and spans[0][0] < 0 and tail.text:
            yield tail
        done = 0
        for since, until in spans:
            start = _line_start(block, max(since, done))
            end = _line_end(block, until)
            number += block.count(b"\n", done, start)
            if start < end:
                yield Piece(number, _text(block[start:end]))
                number += block.count(b"\n", start, end)
            done = max(done, end)
        start = _line_start(block, max(len(block) - _BEFORE, done))
        number += block.count(b"\n", done, start)
        tail = Piece(number, _text(block[start:]))
        number += block.count(b"\n", start)


# Whole lines, some megabytes of them; a line without end is cut somewhere.
def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    kept = b""
    for chunk in chunks:
        data = kept + chunk
        end = data.rfind(b"\n", len(kept)) + 1
        if not end and len(data) > _LINE_LIMIT:
            end = len(data)
        if end:
            yield data[:end]
        kept = data[end:]
    if kept:
        yield kept


# What is wanted of a block, in order and disjoint; a part may lie before or behind it.
def _spans(block: bytes, wanted: int) -> list[tuple[int, int]]:
    found = [(0, wanted)] if wanted > 0 else []
    for word in _ANCHORS:
        at = block.find(word)
        while at >= 0:
            found.append((at - _BEFORE, at + 2 * _AFTER))
            at = block.find(word, at + _AFTER)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _line_start(block: bytes, at: int) -> int:
    return block.rfind(b"\n", 0, at) + 1 if at < len(block) else len(block)


def _line_end(block: bytes, at: int) -> int:
    return block.find(b"\n", at) + 1 or len(block)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
