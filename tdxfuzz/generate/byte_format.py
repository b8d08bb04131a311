"""Numbers as bytes and back, for coverage-guided fuzzers: short where they are small.

Every byte string can be read: behind its end there are zeroes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve

from tdxfuzz.case.case import MAX_OPERATIONS
from tdxfuzz.case.operation import MAX_AREAS, MAX_SLOTS, MAX_TDS, Op
from tdxfuzz.case.world import ALL_ENTRIES, MAX_CPUS, MAX_RANGES, World
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.sim import Schedule, Switch

ESCAPE = 255
"""In place of what it stands for, something is spelled out."""

SHORT_PROGRAM = 4
SHORT_SCHEDULE = 4
MOST_SWITCHES = 254
SHORT_STEP = 254
LONG_STEP = 254
"""A step below this is one byte; this byte is followed by two more, 255 by five."""

USUAL_TARGET = 192
"""Bytes below this mean the CPU whose turn it is: a switch to another one says so."""


class Reader:
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


class Writer:
    """The reverse of :class:`Reader`."""

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


def read_programs(
    reader: Reader, cpus: int, read_op: Callable[[int], Op]
) -> tuple[tuple[Op, ...], ...]:
    """A program for each CPU, of operations that ``read_op`` reads for a CPU."""
    left = MAX_OPERATIONS
    programs = []
    for cpu in range(cpus):
        length = min(reader.count(SHORT_PROGRAM, MAX_OPERATIONS), left)
        left -= length
        programs.append(tuple(read_op(cpu) for _ in range(length)))
    return tuple(programs)


def write_programs(
    writer: Writer, programs: Sequence[Sequence[Op]], write_op: Callable[[int, Op], None]
) -> None:
    """What :func:`read_programs` turns into the programs again."""
    for cpu, program in enumerate(programs):
        writer.count(len(program), SHORT_PROGRAM)
        for op in program:
            write_op(cpu, op)


def read_schedule(reader: Reader, cpus: int) -> Schedule:
    """Up to 254 switches."""
    switches: list[Switch] = []
    cpu = 0
    for _ in range(reader.count(SHORT_SCHEDULE, MOST_SWITCHES)):
        step, target = _read_step(reader), reader.byte()
        skipped = max(target - USUAL_TARGET, 0)
        cpu = (cpu + 1 + skipped) % cpus
        if cpus <= skipped < 2 * cpus:
            cpu = skipped  # the softirq of a CPU
        switches.append(Switch(step, cpu))
    return Schedule(tuple(sorted(switches, key=lambda switch: switch.step)))


def write_schedule(writer: Writer, schedule: Schedule, cpus: int) -> None:
    """What :func:`read_schedule` turns into the schedule again.

    Raises:
        ValueError: it has too many switches, a loop, or a switch to a CPU that cannot be written.
    """
    if schedule.loop is not None:
        raise ValueError("a loop cannot be written")
    if len(schedule) > MOST_SWITCHES:
        raise ValueError("too many switches")
    if any(switch.cpu >= 2 * cpus for switch in schedule):
        raise ValueError("a switch to a worker or softirq with too high a number")
    writer.count(len(schedule), SHORT_SCHEDULE)
    cpu = 0
    for switch in schedule:
        _write_step(writer, switch.step)
        skipped = (switch.cpu - cpu - 1) % cpus if switch.cpu < cpus else switch.cpu
        writer.byte(skipped and USUAL_TARGET + skipped)
        cpu = switch.cpu


def read_world(reader: Reader) -> World:
    """Any world."""
    cpus, tds, slots = (1 + reader.byte() % most for most in (MAX_CPUS, MAX_TDS, MAX_SLOTS))
    guest, kernel = _read_ranges(reader), _read_ranges(reader)
    options = reader.byte()
    variant = tuple(VARIANTS)[(options >> 2) % len(VARIANTS)]
    world = World(cpus, tds, slots, guest, kernel, not options & 1, variant)
    return _with_areas(world, reader) if options & 2 else world


def write_world(writer: Writer, world: World) -> None:
    """What :func:`read_world` turns into the world again."""
    for value in (world.cpus, world.tds, world.slots):
        writer.byte(value - 1)
    _write_ranges(writer, world.guest_ranges)
    _write_ranges(writer, world.kernel_ranges)
    plain = evolve(world, areas=0, fresh_ranges=(), entries=ALL_ENTRIES)
    writer.byte(
        (not world.dynamic_pamt)
        | (world != plain) << 1
        | tuple(VARIANTS).index(world.module_variant) << 2
    )
    if world != plain:
        writer.byte(world.areas)
        writer.byte(world.entries.bit_length() - 2)
        writer.byte(bool(world.fresh_ranges))
        if world.fresh_ranges:
            _write_ranges(writer, world.fresh_ranges)


def _with_areas(world: World, reader: Reader) -> World:
    """The world with 2MB areas: as many as there is room for."""
    areas, entries = reader.byte() % (MAX_AREAS + 1), 2 << reader.byte() % 9
    fresh = _read_ranges(reader) if reader.byte() % 2 else ()
    fresh = tuple(r for r in fresh if r not in world.kernel_ranges)
    world = evolve(world, fresh_ranges=fresh, entries=entries)
    room = max(MAX_RANGES - world.first_area, 0) // world.tds
    return evolve(world, areas=min(areas, room))


def _read_step(reader: Reader) -> int:
    step = reader.byte()
    if step < SHORT_STEP:
        return step
    return reader.number(2 if step == LONG_STEP else 5)


def _write_step(writer: Writer, step: int) -> None:
    if step < SHORT_STEP:
        writer.byte(step)
    elif step < 1 << 16:
        writer.byte(LONG_STEP)
        writer.number(step, 2)
    else:
        writer.byte(ESCAPE)
        writer.number(step, 5)


def _read_ranges(reader: Reader) -> tuple[int, ...]:
    """Distinct ranges: each byte picks one of those left."""
    left = list(range(MAX_RANGES))
    return tuple(left.pop(reader.byte() % len(left)) for _ in range(1 + reader.byte() % MAX_RANGES))


def _write_ranges(writer: Writer, ranges: tuple[int, ...]) -> None:
    writer.byte(len(ranges) - 1)
    left = list(range(MAX_RANGES))
    for r in ranges:
        writer.byte(left.index(r))
        left.remove(r)
