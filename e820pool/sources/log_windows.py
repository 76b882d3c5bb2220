"""Find the parts of a large log that can say something of a memory map."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import numpy as np

from e820pool.sources.log_text import Piece, encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO

    from e820pool.range_lists import StartEnd

__all__ = ("ANCHORS", "chunks_of", "log_windows")

# So small that a chunk stays in a processor's cache while it is searched and counted.
_CHUNK_BYTES = 1 << 17

# Every BIOS map, every headline since 3.5, every later edit and every last_pfn since
# 3.5 has this word: a plain search for it runs through a log nearly as fast as it can
# be read.
_ANCHOR = b"e820"
#: What names a memory map of any other kind, for a text that is held in memory.
ANCHORS = (
    *(
        _ANCHOR,
        b"RAM map",
        b"memory map:",
        b"E820 memmap",
        b"MEMORY RANGES",
        b"System RAM",
    ),
    *(b"SMAP type", b"base_addr", b"coreboot table", b"efi: mem0", b"conv-mem"),
    *(b"# Pages", b"MemoryMap,", b"/start", b"LGUEST: "),
)
# So much around an anchor is kept: before it, the banner of the boot, its command line
# and a map whose own lines lack the word (Xen's guests); behind it, the other maps of
# the boot, and last_pfn, which older kernels print without the word.
_BEFORE = 24 << 10
_AFTER = 4 << 10
# More than a line of any logger: a line that is longer is no line.
_LINE_LIMIT = 16 << 20
_NEWLINE = 10
# Room for a chunk and the line that the one before it began.
_IS_END = np.empty(_CHUNK_BYTES + (4 << 10), bool)


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


def log_windows(
    chunks: Iterable[bytes], anchors: Sequence[bytes] = (_ANCHOR,)
) -> Iterator[Piece]:
    """Yield the parts of a log around what names a memory map, with their line numbers.

    What is kept in memory does not grow with the log: some chunks at most.
    """
    number, ahead = 1, 0
    tail = b""  # the end of the block before, if it was not yielded
    for block, size in _blocks(chunks):
        spans = _spans(block, size, ahead, anchors)
        ahead = max((end for _, end in spans), default=0) - size
        if spans and spans[0][0] < 0 and tail:
            yield Piece(number - _count_lines(tail, 0, len(tail)), _text(tail))
        done = 0
        for since, until in spans:
            start = _line_start(block, max(since, done), size)
            end = _line_end(block, until, size)
            number += _count_lines(block, done, start)
            if start < end:
                yield Piece(number, _text(block[start:end]))
                number += _count_lines(block, start, end)
            done = max(done, end)
        number += _count_lines(block, done, size)
        tail = block[_line_start(block, max(size - _BEFORE, done), size) : size]


# Whole lines, about a chunk of them, and how many bytes they are; a line without end is
# cut somewhere.
def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    kept: list[bytes] = []
    size = 0
    for chunk in chunks:
        kept.append(chunk)
        size += len(chunk)
        if b"\n" not in chunk and size <= _LINE_LIMIT:
            continue
        data = b"".join(kept)
        end = data.rfind(b"\n") + 1 or len(data)
        yield data, end
        kept = [data[end:]]
        size -= end
    if size:
        yield b"".join(kept), size


# Several times faster than bytes.count(), if what it writes stays in the cache.
def _count_lines(block: bytes, start: int, end: int) -> int:
    count = 0
    for at in range(start, end, _IS_END.size):
        size = min(_IS_END.size, end - at)
        part = np.frombuffer(block, np.uint8, count=size, offset=at)
        count += int(np.count_nonzero(np.equal(part, _NEWLINE, out=_IS_END[:size])))
    return count


# What is wanted of a block, in order and disjoint; a part may lie before or behind it.
def _spans(
    block: bytes, size: int, ahead: int, anchors: Sequence[bytes]
) -> list[StartEnd]:
    spans = [(0, ahead)] if ahead > 0 else []
    for at in sorted(at for anchor in anchors for at in _places(block, size, anchor)):
        start, end = at - _BEFORE, at + 2 * _AFTER
        if spans and start <= spans[-1][1]:
            spans[-1] = (min(start, spans[-1][0]), max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _places(block: bytes, size: int, anchor: bytes) -> Iterator[int]:
    at = block.find(anchor, 0, size)
    while at >= 0:
        yield at
        at = block.find(anchor, at + _AFTER, size)


def _line_start(block: bytes, at: int, size: int) -> int:
    return block.rfind(b"\n", 0, at) + 1 if at < size else size


def _line_end(block: bytes, at: int, size: int) -> int:
    return block.find(b"\n", at, size) + 1 or size


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
