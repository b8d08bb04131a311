"""Cases as bytes and back, for coverage-guided fuzzers.

Every byte string is some case (missing bytes read as 0), and ``decode(encode(case))``
is ``case`` (for cases to which all checks listen). The short encodings are dense: a few
bytes at random make a crowded world
with a page mapped, short programs and a preemption. What does not fit them is spelled
out behind the escape byte 255.
"""

from __future__ import annotations

from functools import cache

from tdxfuzz.host.case import (
    DEFAULT_STEPS,
    MAX_CPUS,
    MAX_OPERATIONS,
    MAX_RANGES,
    MAX_STEPS,
    Case,
    World,
)
from tdxfuzz.host.op import MAX_SLOTS, MAX_TDS, OPERATIONS, Op
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.search.programs import LAYOUTS
from tdxfuzz.sim import Fault, Schedule

ESCAPE = 255
SHORT_PROGRAM = 4
SHORT_SCHEDULE = 4
SHORT_STEP = 254
LONG_STEP = 254
"""A step below this is one byte; this byte is followed by two more, 255 by five."""

USUAL_TARGET = 192
"""Bytes below this mean the CPU whose turn it is: a switch to another one says so."""

FAULT_KINDS = ("alloc", "busy")
MAX_FAULTS = 16


@cache
def presets() -> tuple[tuple[World, tuple[Op, ...]], ...]:
    """Worlds of two CPUs with two TDs alive and 0 to 2 pages mapped."""
    create = (Op("create", (0,)), Op("create", (1,)))
    mapped = (
        (Op("map", (0, 0)),),
        (),
        (Op("map", (1, 0)),),
        (Op("map", (0, 0)), Op("map", (1, 0))),
    )
    return tuple(
        (World(2, 2, slots, guest, kernel), create + pages)
        for slots in (1, 2)
        for guest, kernel in LAYOUTS
        for pages in mapped
    )


class _Reader:
    """Bytes from the front; 0 behind the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def number(self, size: int) -> int:
        return int.from_bytes(bytes(self.byte() for _ in range(size)), "big")

    def count(self, short: int, most: int) -> int:
        """A count below ``short`` in one byte, or any up to ``most`` behind an escape."""
        first = self.byte()
        return self.byte() % (most + 1) if first == ESCAPE else first % short


class _Writer:
    """The reverse of :class:`_Reader`."""

    def __init__(self) -> None:
        self.data = bytearray()

    def byte(self, value: int) -> None:
        self.data.append(value)

    def number(self, value: int, size: int) -> None:
        self.data += value.to_bytes(size, "big")

    def count(self, value: int, short: int) -> None:
        if value < short:
            self.byte(value)
        else:
            self.byte(ESCAPE)
            self.byte(value)


def decode(data: bytes, design: str) -> Case:
    """The case that a byte string stands for."""
    reader = _Reader(data)
    first = reader.byte()
    if first == ESCAPE:
        world = _read_world(reader)
        menu = _Menu(world)
        count = reader.byte() % (MAX_OPERATIONS + 1)
        setup = tuple(menu.op(0, reader.byte()) for _ in range(count))
    else:
        known = presets()
        world, setup = known[first % len(known)]
    programs = []
    left = MAX_OPERATIONS
    menu = _Menu(world, setup)
    for cpu in range(world.cpus):
        length = min(reader.count(SHORT_PROGRAM, MAX_OPERATIONS), left)
        left -= length
        programs.append(tuple(menu.op(cpu, reader.byte()) for _ in range(length)))
    pairs = []
    cpu = 0
    for _ in range(reader.count(SHORT_SCHEDULE, 254)):
        step, target = _read_step(reader), reader.byte()
        cpu = (cpu + 1 + max(target - USUAL_TARGET, 0)) % world.cpus
        pairs.append((step, cpu))
    faults: tuple[Fault, ...] = ()
    steps = DEFAULT_STEPS
    if reader.byte() == ESCAPE:
        faults = tuple(
            Fault(FAULT_KINDS[reader.byte() % len(FAULT_KINDS)], reader.number(2))
            for _ in range(reader.byte() % (MAX_FAULTS + 1))
        )
        steps = reader.number(3) % (MAX_STEPS + 1) or DEFAULT_STEPS
    return Case(design, world, setup, tuple(programs), Schedule.of(pairs), faults, steps)


def encode(case: Case) -> bytes:
    """A byte string that :func:`decode` turns into the case again.

    Raises:
        ValueError: the case has too many switches or faults to be written.
    """
    if len(case.schedule) > 254 or len(case.faults) > MAX_FAULTS:
        raise ValueError("too many switches or faults")
    writer = _Writer()
    known = presets()
    if (case.world, case.setup) in known:
        writer.byte(known.index((case.world, case.setup)))
    else:
        writer.byte(ESCAPE)
        _write_world(writer, case.world)
        writer.byte(len(case.setup))
        menu = _Menu(case.world)
        for op in case.setup:
            writer.byte(menu.byte(0, op))
    menu = _Menu(case.world, case.setup)
    for cpu, program in enumerate(case.programs):
        writer.count(len(program), SHORT_PROGRAM)
        for op in program:
            writer.byte(menu.byte(cpu, op))
    writer.count(len(case.schedule), SHORT_SCHEDULE)
    cpu = 0
    for switch in case.schedule:
        _write_step(writer, switch.step)
        skipped = (switch.cpu - cpu - 1) % case.world.cpus
        writer.byte(skipped and USUAL_TARGET + skipped)
        cpu = switch.cpu
    if case.faults or case.steps != DEFAULT_STEPS:
        writer.byte(ESCAPE)
        writer.byte(len(case.faults))
        for fault in case.faults:
            writer.byte(FAULT_KINDS.index(fault.kind))
            writer.number(fault.index, 2)
        writer.number(case.steps, 3)
    return bytes(writer.data).rstrip(b"\0")


@cache
def _operations(world: World) -> tuple[Op, ...]:
    """All operations of a world, the most useful kinds first."""
    limits = {"td": world.tds, "slot": world.slots}
    found = []
    for name in ("map", "zap", "create", "destroy", "convert", "vcpu"):
        arguments: list[tuple[int, ...]] = [()]
        for what in OPERATIONS[name]:
            arguments = [(*args, value) for args in arguments for value in range(limits[what])]
        found += [Op(name, args) for args in arguments]
    return tuple(found)


class _Menu:
    """What a byte means as the next operation of a CPU: more often than not one that fits.

    A CPU mostly works on its own TD (``cpu % tds``), and zaps what is mapped or maps
    what is not, as far as the operations before tell.
    """

    FITTING = 8
    """How often a fitting operation is on the menu; each other one is there once."""

    def __init__(self, world: World, before: tuple[Op, ...] = ()) -> None:
        self._world = world
        self._mapped: set[tuple[int, ...]] = set()
        for op in before:
            self._note(op)

    def op(self, cpu: int, byte: int) -> Op:
        menu = self._menu(cpu)
        return self._note(menu[byte % len(menu)])

    def byte(self, cpu: int, op: Op) -> int:
        place = self._menu(cpu).index(op)
        self._note(op)
        return place

    def _menu(self, cpu: int) -> tuple[Op, ...]:
        td = cpu % self._world.tds
        pages = [(td, slot) for slot in range(self._world.slots)]
        fitting = tuple(Op("zap" if page in self._mapped else "map", page) for page in pages)
        return fitting * self.FITTING + _operations(self._world)

    def _note(self, op: Op) -> Op:
        if op.name == "map":
            self._mapped.add(op.args)
        elif op.name in ("zap", "convert"):
            self._mapped.discard(op.args)
        elif op.name == "destroy":
            self._mapped = {page for page in self._mapped if page[0] != op.args[0]}
        return op


def _read_step(reader: _Reader) -> int:
    step = reader.byte()
    if step < SHORT_STEP:
        return step
    return reader.number(2 if step == LONG_STEP else 5)


def _write_step(writer: _Writer, step: int) -> None:
    if step < SHORT_STEP:
        writer.byte(step)
    elif step < 1 << 16:
        writer.byte(LONG_STEP)
        writer.number(step, 2)
    else:
        writer.byte(ESCAPE)
        writer.number(step, 5)


def _read_world(reader: _Reader) -> World:
    cpus, tds, slots = (1 + reader.byte() % most for most in (MAX_CPUS, MAX_TDS, MAX_SLOTS))
    guest, kernel = _read_ranges(reader), _read_ranges(reader)
    options = reader.byte()
    variant = tuple(VARIANTS)[(options >> 1) % len(VARIANTS)]
    return World(cpus, tds, slots, guest, kernel, not options & 1, variant)


def _write_world(writer: _Writer, world: World) -> None:
    for value in (world.cpus, world.tds, world.slots):
        writer.byte(value - 1)
    _write_ranges(writer, world.guest_ranges)
    _write_ranges(writer, world.kernel_ranges)
    writer.byte((not world.dynamic_pamt) | tuple(VARIANTS).index(world.module_variant) << 1)


def _read_ranges(reader: _Reader) -> tuple[int, ...]:
    """Distinct ranges: each byte picks one of those left."""
    left = list(range(MAX_RANGES))
    return tuple(left.pop(reader.byte() % len(left)) for _ in range(1 + reader.byte() % MAX_RANGES))


def _write_ranges(writer: _Writer, ranges: tuple[int, ...]) -> None:
    writer.byte(len(ranges) - 1)
    left = list(range(MAX_RANGES))
    for r in ranges:
        writer.byte(left.index(r))
        left.remove(r)
