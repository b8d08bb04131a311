"""What has to be known of a shared library: where its parts lie, and its symbols."""

from __future__ import annotations

import struct
from pathlib import Path

from attrs import frozen

_LOAD, _RELRO = 1, 0x6474E552
_WRITABLE = 2
_SYMBOLS = 2
_FUNCTION, _OBJECT = 2, 1
PAGE = 4096


@frozen
class Symbol:
    """A function or a variable: its address before loading and its size, in bytes."""

    name: str
    address: int
    size: int


@frozen
class Elf:
    """``end`` is one past the last byte; ``data`` from where to where it is written to, in whole
    pages. All are addresses before loading. ``wanted`` names what it has from elsewhere.
    """

    end: int
    data: tuple[int, int]
    symbols: tuple[Symbol, ...]
    wanted: frozenset[str]


def read(path: Path) -> Elf:
    """The parts of a 64-bit little-endian library.

    Raises:
        ValueError: it is something else.
    """
    image = path.read_bytes()
    if image[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is no 64-bit little-endian ELF file")
    segments_at, sections_at = struct.unpack_from("<QQ", image, 32)
    segment_size, segments, section_size, sections = struct.unpack_from("<HHHH", image, 54)
    end = low = high = relro = 0
    for i in range(segments):
        at = segments_at + i * segment_size
        kind, flags, _, address, _, _, size, _ = struct.unpack_from("<IIQQQQQQ", image, at)
        if kind == _LOAD:
            end = max(end, address + size)
            if flags & _WRITABLE:
                low, high = address, address + size
        elif kind == _RELRO:
            relro = address + size
    start = max(low, relro) // PAGE * PAGE
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", image, sections_at + i * section_size)
        for i in range(sections)
    ]
    symbols: list[Symbol] = []
    wanted: set[str] = set()
    for _, kind, _, _, offset, size, link, _, _, entry in headers:
        if kind == _SYMBOLS:
            names = headers[link][4]
            for at in range(offset, offset + size, entry):
                name, info, _, section, address, length = struct.unpack_from("<IBBHQQ", image, at)
                text = _text(image, names + name)
                if not section:
                    wanted.add(text)
                elif info & 15 in (_FUNCTION, _OBJECT):
                    symbols.append(Symbol(text, address, length))
    return Elf(end, (start, -(-high // PAGE) * PAGE), tuple(symbols), frozenset(wanted))


def _text(image: bytes, start: int) -> str:
    return image[start : image.index(b"\0", start)].decode(errors="replace")
