"""Text from elsewhere, made harmless where it is shown: no character of it moves a cursor."""

from __future__ import annotations

MOST = 1_000
"""Characters of a problem that are shown."""


def visible(text: str, keep: str = "") -> str:
    """The text with each character escaped that cannot be seen: controls, marks of direction, what
    is no character, and ends of lines; not those of ``keep``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def shortened(text: str) -> str:
    """A problem that quotes what a file says, which may be a megabyte."""
    return text if len(text) <= MOST else f"{text[:MOST]}… ({len(text)} characters)"


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte of a file name that is not UTF-8
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
