"""The other end of ``bridge.c``: the Python model, each LP's call in a greenlet of its own.

Before each event a call stops, so that the runner can go on with another LP.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import Any

from greenlet import getcurrent, greenlet

from tdxfuzz.abi import KeyIdBits, Registers
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.snapshot import snapshot
from tdxfuzz.module.td_exit import EXTERNAL_INTERRUPT
from tdxfuzz.sim import EVENT, Simulator
from tdxfuzz.targets import world
from tdxfuzz.targets.guest import COMPARED as OF_GUEST
from tdxfuzz.targets.library.names import KINDS, MODES, OPS
from tdxfuzz.targets.library.wire import MAX_CMRS, MAX_LPS
from tdxfuzz.targets.recording import COMPARED
from tdxfuzz.targets.world import AtReset, ModelUnderTest

CAPS, RESET, CALL, GO, WRITE, READ, INTERRUPT, TSC, SNAPSHOT, GUEST = range(1, 11)
DONE, BEFORE, AFTER = range(1, 4)
ALL_FLAGS = 31
ACCEPT = 6
ERROR = os.environ.get("BRIDGE_ERROR")
"""A deliberate error: "guest" (ACCEPT leaves something in R8)."""
NAMES = [name for name, _ in KINDS]

Words = tuple[int, ...]


def read(size: int) -> bytes:
    data = sys.stdin.buffer.read(size)
    if len(data) < size:
        sys.exit()
    return data


def words(number: int) -> Words:
    return struct.unpack(f"<{number}Q", read(8 * number))


def put(*numbers: int) -> None:
    sys.stdout.buffer.write(struct.pack(f"<{len(numbers)}Q", *numbers))


def event_words(lp: int, event: tuple[str, str, str, bool]) -> Words:
    """``struct tdxt_event`` of an event that has happened."""
    op, mode, what, ok = event
    name, _, inside = what.partition("[")
    indices = [int(text, 0) for text in inside.rstrip("]").split(",") if text]
    delta = int(mode) & (1 << 64) - 1 if op == "xadd" else 0
    number = 0 if op == "xadd" else MODES.index(mode)
    padded = (*indices, 0, 0, 0)[:3]
    return (lp, OPS.index(op), number, delta, NAMES.index(name), *padded, 1, int(ok))


class StoppingSimulator(Simulator):
    """Stops before each event."""

    def step(self, cell: Any, access: int) -> None:
        if access & EVENT:
            SERVER.main.switch((BEFORE, *[0] * 10))


class RunningGuest:
    """The steps of a ``struct tdxt_script``; ``told`` are those that came back."""

    def __init__(self, steps: list[Words]) -> None:
        self.steps = steps
        self.told: list[Words] = []

    def __call__(self, guest: Guest) -> int:
        for kind, rax, *values in self.steps:
            if kind == 2:
                return rax
            if kind == 0:
                failed = not guest.access(values[0], bool(rax))
                self.told.append((kind, int(failed), *values))
                continue
            regs = Registers.of(dict(zip(OF_GUEST, values, strict=True)))
            word = guest.tdcall(rax & 0xFFFF, regs, rax >> 16)
            if ERROR == "guest" and rax == ACCEPT and word == 0:
                regs.r8 = 1
            self.told.append((kind, int(word), *(getattr(regs, name) for name in OF_GUEST)))
        return EXTERNAL_INTERRUPT


class Server:
    """One machine."""

    def __init__(self) -> None:
        self.bench: ModelUnderTest
        self.calls: dict[int, greenlet] = {}
        self.guests: dict[int, RunningGuest] = {}
        self.main = getcurrent()

    def reset(self, numbers: Words) -> None:
        lps, packages = numbers[0], numbers[1 : 1 + MAX_LPS]
        max_pa, low, width, first, last, blocks, hz, _, cmrs = numbers[1 + MAX_LPS : 10 + MAX_LPS]
        areas = numbers[10 + MAX_LPS :]
        platform = Platform(
            max_pa=max_pa,
            key_bits=KeyIdBits(low, width),
            private_hkid_min=first,
            private_hkid_max=last,
            packages=max(packages[:lps]) + 1,
            cache_sub_blocks=blocks,
            cmrs=tuple(zip(areas[: 2 * cmrs : 2], areas[1 : 2 * cmrs : 2], strict=True)),
            tsc_frequency=hz,
        )
        self.bench = AtReset(platform, packages[:lps], ()).build(lps)
        self.calls.clear()
        self.bench.sim.log = self.log

    def log(self, *event: Any) -> None:
        lp = next(number for number, each in self.calls.items() if each is getcurrent())
        self.main.switch((AFTER, *event_words(lp, event)))

    def call(self, lp: int, rax: int, *registers: int) -> Words:
        module = self.bench.module
        regs = Registers.of(dict(zip(COMPARED, registers, strict=True)))
        guest = self.guests.pop(lp)
        self.bench.lps[lp].guest = guest
        word = module.seamcall(self.bench.lps[lp], rax & 0xFFFF, regs, rax >> 16)
        fatal = 0 if module.dead is None else module.dead.fatal_id
        told = [number for step in guest.told for number in step]
        outputs = (getattr(regs, name) for name in COMPARED)
        return (DONE, fatal, int(word), *outputs, len(guest.told), *told)

    def serve(self) -> None:
        while True:
            (what,) = words(1)
            if what == CAPS:
                bits = sum(1 << number for number in HANDLERS)
                put(ALL_FLAGS, *(bits >> 64 * i & (1 << 64) - 1 for i in range(4)))
            elif what == RESET:
                self.reset(words(10 + MAX_LPS + 2 * MAX_CMRS))
            elif what == CALL:
                lp, *rest = words(2 + len(COMPARED))
                self.calls[lp] = greenlet(self.call)
                put(*self.calls[lp].switch(lp, *rest))
            elif what == GO:
                put(*self.calls[words(1)[0]].switch())
            elif what == WRITE:
                hpa, size = words(2)
                self.bench.module.memory.write(hpa, read(size))
            elif what == READ:
                sys.stdout.buffer.write(self.bench.module.memory.read(*words(2)))
            elif what == INTERRUPT:
                lp, on = words(2)
                self.bench.lps[lp].interrupt_pending = bool(on)
            elif what == GUEST:
                lp, number = words(2)
                self.guests[lp] = RunningGuest([words(10) for _ in range(number)])
            elif what == TSC:
                lp, value = words(2)
                if ERROR != "tsc" or value > self.bench.lps[lp].tsc:
                    self.bench.lps[lp].tsc = value
            elif what == SNAPSHOT:
                text = json.dumps(snapshot(self.bench.module)).encode()
                put(len(text))
                sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()


SERVER = Server()

if __name__ == "__main__":
    setattr(world, "Simulator", StoppingSimulator)  # noqa: B010
    SERVER.serve()
