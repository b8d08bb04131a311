"""The pipe to the program that runs a library: 64-bit words, little-endian.

``tdxfuzz/targets/runner/runner.c`` has the other end.
"""

from __future__ import annotations

import os
import select
import struct
from enum import IntEnum

from tdxfuzz.abi import status
from tdxfuzz.targets.guest import COMPARED as OF_GUEST
from tdxfuzz.targets.guest import Leave, Tdcall, Told, Touch, told_text
from tdxfuzz.targets.recording import COMPARED, RecordedCall
from tdxfuzz.targets.world import TSC_AT_START, AtReset

MAX_LPS, MAX_CMRS = 64, 32
_WORLD = struct.Struct(f"<Q{MAX_LPS}Q9Q{2 * MAX_CMRS}Q")
_CALL = struct.Struct(f"<5Q{len(COMPARED)}Q")
STEP = struct.Struct(f"<{2 + len(OF_GUEST)}Q")
_TOUCH, _TDCALL, _EXIT = range(3)
RESULT = struct.Struct(f"<qQ{len(COMPARED)}Q")


class Command(IntEnum):
    """What the other process is asked."""

    HELLO = 1
    RESET = 2
    WRITE = 3
    CALL = 4
    SNAPSHOT = 5
    PROGRAMS = 6
    CALL_CLOSELY = 7
    READ = 8
    DATA = 9


class Answer(IntEnum):
    """How it begins its answer."""

    OK = 1
    REFUSED = 2
    CRASHED = 3
    HANGS = 4


def read_words(hpa: int, size: int) -> bytes:
    """Memory to be read, within a page."""
    return word(Command.READ) + word(hpa) + word(size)


class EndOfAnswers(Exception):
    """No more answers come: the process has ended, or was silent for too long (``silent``)."""

    def __init__(self, silent: bool) -> None:
        super().__init__()
        self.silent = silent


def word(number: int) -> bytes:
    """One word."""
    return number.to_bytes(8, "little")


def world_words(world: AtReset) -> bytes:
    """``struct tdxt_world``."""
    platform = world.platform
    bits = platform.key_bits
    packages = [*world.packages, *[0] * (MAX_LPS - len(world.packages))]
    cmrs = [number for cmr in platform.cmrs for number in cmr]
    return _WORLD.pack(
        len(world.packages),
        *packages,
        platform.max_pa,
        bits.start,
        bits.width,
        platform.private_hkid_min,
        platform.private_hkid_max,
        platform.cache_sub_blocks,
        platform.tsc_frequency,
        TSC_AT_START,
        len(platform.cmrs),
        *cmrs,
        *[0] * (2 * MAX_CMRS - len(cmrs)),
    )


def call_words(call: RecordedCall) -> bytes:
    """A call, without its command."""
    registers = [call.inputs.get(name, 0) for name in COMPARED]
    rax = call.leaf | call.version << 16
    steps = () if call.guest is None else call.guest.operations
    has_tsc = call.tsc is not None
    fixed = _CALL.pack(call.cpu, call.interrupted, has_tsc, call.tsc or 0, rax, *registers)
    return fixed + word(len(steps)) + b"".join(map(_step_words, steps))


def _step_words(step: Touch | Tdcall | Leave) -> bytes:
    """``struct tdxt_step``."""
    match step:
        case Touch():
            numbers = [_TOUCH, step.write, step.gpa]
        case Tdcall():
            registers = [step.inputs.get(name, 0) for name in OF_GUEST]
            numbers = [_TDCALL, step.leaf | step.version << 16, *registers]
        case Leave():
            numbers = [_EXIT, step.reason]
    return STEP.pack(*numbers, *[0] * (2 + len(OF_GUEST) - len(numbers)))


def told_of(data: bytes) -> Told:
    """What a guest was told of a step."""
    kind, rax, *registers = STEP.unpack(data)
    if kind == _TDCALL:
        return told_text(status(rax), dict(zip(OF_GUEST, registers, strict=True)))
    return "ve" if rax else "ok"


def write_words(hpa: int, content: bytes) -> bytes:
    """Memory to be written, within a page."""
    padded = content + bytes(-len(content) % 8)
    return word(Command.WRITE) + word(hpa) + word(len(content)) + padded


class Answers:
    """Reads answers from a pipe."""

    def __init__(self, pipe: int, patience: float) -> None:
        self._pipe = pipe
        self._patience = patience
        self._data = bytearray()

    def take(self, size: int) -> bytes:
        """So many bytes.

        Raises:
            EndOfAnswers: they do not come.
        """
        while len(self._data) < size:
            if not select.select([self._pipe], [], [], self._patience)[0]:
                raise EndOfAnswers(silent=True)
            more = os.read(self._pipe, 1 << 16)
            if not more:
                raise EndOfAnswers(silent=False)
            self._data += more
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def number(self) -> int:
        """One word."""
        return int.from_bytes(self.take(8), "little")

    def data(self) -> bytes:
        """Bytes with their number before them."""
        size = self.number()
        return self.take(size + -size % 8)[:size]

    def text(self) -> str:
        """The same as a text."""
        return self.data().decode(errors="replace")
