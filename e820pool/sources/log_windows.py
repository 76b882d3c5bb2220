"""Find the parts of a large log that can say something of a memory map."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import numpy as np

from e820pool.sources.log_text import Piece, encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

__all__ = ("chunks_of", "log_windows")

_CHUNK_BYTES = 1 << 20

# Every BIOS map, every headline since 3.5, every later edit and every last_pfn since
# 3.5 has this word: a plain search for it runs through a log nearly as fast as it can
# be read.
_ANCHOR = b"e820"
# So much around an anchor is kept: before it, the banner of the boot, its command line
# and a map whose own lines lack the word (Xen's guests); behind it, the other maps of
# the boot, and last_pfn, which older kernels print without the word.
_BEFORE = 24 << 10
_AFTER = 4 << 10
# More than a line of any logger: a line that is longer is no line.
_LINE_LIMIT = 16 << 20
_NEWLINE = 10


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
    tail, tail_number = b"", 1  # the end of the block before, if it was not yielded
    for block, size in _blocks(chunks):
        spans = _spans(block, size, wanted)
        wanted = max((end for _, end in spans), default=0) - size
        if spans and spans[0][0] < 0 and tail:
            yield Piece(tail_number, _text(tail))
        done = 0
        for since, until in spans:
            start = _line_start(block, max(since, done), size)
            end = _line_end(block, until, size)
            number += _count_lines(block, done, start)
            if start < end:
                yield Piece(number, _text(block[start:end]))
                number += _count_lines(block, start, end)
            done = max(done, end)
        start = _line_start(block, max(size - _BEFORE, done), size)
        number += _count_lines(block, done, start)
        tail, tail_number = block[start:size], number
        number += _count_lines(block, start, size)


# Whole lines, some megabytes of them, and how many bytes they are; a line without end
# is cut somewhere.
def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    kept = b""
    for chunk in chunks:
        data = kept + chunk
        end = data.rfind(b"\n", len(kept)) + 1
        if not end and len(data) > _LINE_LIMIT:
            end = len(data)
        if end:
            yield data, end
        kept = data[end:]
    if kept:
        yield kept, len(kept)


# Several times faster than bytes.count().
def _count_lines(block: bytes, start: int, end: int) -> int:
    if start >= end:
        return 0
    part = np.frombuffer(block, np.uint8, count=end - start, offset=start)
    return int(np.count_nonzero(part == _NEWLINE))


# What is wanted of a block, in order and disjoint; a part may lie before or behind it.
def _spans(block: bytes, size: int, wanted: int) -> list[tuple[int, int]]:
    spans = [(0, wanted)] if wanted > 0 else []
    at = block.find(_ANCHOR, 0, size)
    while at >= 0:
        start, end = at - _BEFORE, at + 2 * _AFTER
        if spans and start <= spans[-1][1]:
            spans[-1] = (min(start, spans[-1][0]), max(end, spans[-1][1]))
        else:
            spans.append((start, end))
        at = block.find(_ANCHOR, at + _AFTER, size)
    return spans


def _line_start(block: bytes, at: int, size: int) -> int:
    return block.rfind(b"\n", 0, at) + 1 if at < size else size


def _line_end(block: bytes, at: int, size: int) -> int:
    return block.find(b"\n", at, size) + 1 or size


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
