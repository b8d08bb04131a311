"""Whether a file can be a library for this machine: the loader's own words do not always say."""

from __future__ import annotations

import platform
import struct
from pathlib import Path

from tdxfuzz.targets.library.errors import LibraryError

_HEADER = struct.Struct("<4sBB10xHH")
_64_BITS, _LITTLE_ENDIAN, _SHARED_OBJECT = 2, 1, 3
_MACHINES = {3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390", 40: "arm", 62: "x86_64"}
_MACHINES |= {183: "aarch64", 243: "riscv", 258: "loongarch"}


def check_library(path: Path) -> None:
    """Look at the beginning of a file.

    Raises:
        LibraryError: it is no shared library of 64 bits for this machine.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_HEADER.size)
    except OSError as error:
        raise LibraryError(f"{path}: {error.strerror}") from None
    if len(data) < _HEADER.size or not data.startswith(b"\x7fELF"):
        raise LibraryError(
            f"{path.name}: it is no shared library: it does not begin as ELF files do"
        )
    _, bits, order, kind, number = _HEADER.unpack(data)
    if bits != _64_BITS or order != _LITTLE_ENDIAN:
        raise LibraryError(f"{path.name}: it is not a library of 64 bits, little-endian")
    machine, here = _MACHINES.get(number, f"machine {number}"), platform.machine()
    if machine in _MACHINES.values() and machine != here:
        raise LibraryError(f"{path.name}: it is for {machine}, and this machine is {here}")
    if kind != _SHARED_OBJECT:
        raise LibraryError(f"{path.name}: it is not linked as a shared library (-shared)")
