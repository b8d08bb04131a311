"""Values of a JSON document, each of the type that it has to be, or a TypeError or ValueError."""

from __future__ import annotations


def sequence(data: object) -> list[object]:
    """A JSON array."""
    if not isinstance(data, list):
        raise TypeError(f"must be an array, not {data!r}")
    return data


def mapping(data: object) -> dict[str, object]:
    """A JSON object."""
    if not isinstance(data, dict):
        raise TypeError(f"must be an object, not {data!r}")
    return data


def hex_of(value: object) -> int:
    """A number written as a hex string."""
    if not isinstance(value, str):
        raise TypeError(f"must be a hex string, not {value!r}")
    return int(value, 16)


def bytes_of(value: object) -> bytes:
    """Bytes written as a hex string."""
    if not isinstance(value, str):
        raise TypeError(f"must be a hex string, not {value!r}")
    return bytes.fromhex(value)


def number(value: object, name: str, least: int, most: int) -> int:
    """A JSON integer between two bounds; ``name`` is for the error."""
    if not isinstance(value, int):
        raise TypeError(f"{name!r} must be a number, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name!r} must be {least}..{most}, not {value}")
    return value
