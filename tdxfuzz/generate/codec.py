"""Cases as bytes and back, for coverage-guided fuzzers.

Every byte string is some case (missing bytes read as 0), and ``decode(encode(case))``
is ``case`` (for cases to which all checks listen). The short encodings are dense: a few
bytes at random make a crowded world
with a page mapped, short programs and a preemption. What does not fit them is spelled
out behind the escape byte 255.
"""

from __future__ import annotations

from functools import cache, lru_cache

from tdxfuzz.case.case import DEFAULT_STEPS, MAX_OPERATIONS, MAX_STEPS, Case
from tdxfuzz.case.faults import KINDS
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import AREA_OPERATIONS, OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.generate import hostile_codec
from tdxfuzz.generate.byte_format import (
    ESCAPE,
    Reader,
    Writer,
    read_programs,
    read_schedule,
    read_world,
    write_programs,
    write_schedule,
    write_world,
)
from tdxfuzz.generate.programs import LAYOUTS
from tdxfuzz.sim import Fault

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


@cache
def _preset_bytes() -> dict[tuple[World, tuple[Op, ...]], int]:
    """The reverse of the presets."""
    return {preset: byte for byte, preset in enumerate(presets())}


def decode(data: bytes, design: str) -> Case:
    """The case that a byte string stands for under a design, or "hostile" without one."""
    if design == HOSTILE:
        return hostile_codec.decode(data)
    reader = Reader(data)
    first = reader.byte()
    if first == ESCAPE:
        world = read_world(reader)
        menu = _Menu(world)
        count = reader.byte() % (MAX_OPERATIONS + 1)
        setup = tuple(menu.op(0, reader.byte()) for _ in range(count))
    else:
        known = presets()
        world, setup = known[first % len(known)]
    menu = _Menu(world, setup)
    programs = read_programs(reader, world.cpus, lambda cpu: menu.op(cpu, reader.byte()))
    schedule = read_schedule(reader, world.cpus)
    faults: tuple[Fault, ...] = ()
    steps = DEFAULT_STEPS
    if reader.byte() == ESCAPE:
        faults = tuple(
            Fault(KINDS[reader.byte() % len(KINDS)], reader.number(2))
            for _ in range(reader.byte() % (MAX_FAULTS + 1))
        )
        steps = reader.number(3) % (MAX_STEPS + 1) or DEFAULT_STEPS
    return Case(design, world, setup, programs, schedule, faults, steps)


def encode(case: Case) -> bytes:
    """A byte string that :func:`decode` turns into the case again.

    Raises:
        ValueError: the case has too many switches or faults to be written, a loop, a fault of one
            leaf, or an operation that its world has not; for a hostile one see
            :func:`tdxfuzz.generate.hostile_codec.encode`.
    """
    if case.design == HOSTILE:
        return hostile_codec.encode(case)
    if len(case.faults) > MAX_FAULTS:
        raise ValueError("too many faults")
    if any(fault.only for fault in case.faults):
        raise ValueError("a fault of one leaf cannot be written")
    writer = Writer()
    preset = _preset_bytes().get((case.world, case.setup))
    if preset is not None:
        writer.byte(preset)
    else:
        writer.byte(ESCAPE)
        write_world(writer, case.world)
        writer.byte(len(case.setup))
        menu = _Menu(case.world)
        for op in case.setup:
            writer.byte(menu.byte(0, op))
    menu = _Menu(case.world, case.setup)
    write_programs(writer, case.programs, lambda cpu, op: writer.byte(menu.byte(cpu, op)))
    write_schedule(writer, case.schedule, case.world.cpus)
    if case.faults or case.steps != DEFAULT_STEPS:
        writer.byte(ESCAPE)
        writer.byte(len(case.faults))
        for fault in case.faults:
            writer.byte(KINDS.index(fault.kind))
            writer.number(fault.index, 2)
        writer.number(case.steps, 3)
    return bytes(writer.data).rstrip(b"\0")


@cache
def _operations(world: World) -> tuple[Op, ...]:
    """All operations of a world, the most useful kinds first."""
    found = []
    for name in ("map", "zap", "create", "destroy", "convert", "vcpu", *AREA_OPERATIONS):
        arguments: list[tuple[int, ...]] = [()]
        for what in OPERATIONS[name]:
            arguments = [(*args, value) for args in arguments for value in range(world.most(what))]
        found += [Op(name, args) for args in arguments]
    return tuple(found)


FITTING = 8
"""How often a fitting operation is on the menu; each other one is there once."""


@lru_cache(maxsize=1024)
def _menu_of(
    world: World, td: int, mapped: tuple[bool, ...]
) -> tuple[tuple[Op, ...], dict[Op, int]]:
    """What bytes stand for on a CPU of a TD, whose slots are mapped or not; and the reverse,
    of which the first byte counts.
    """
    fitting = tuple(Op("zap" if full else "map", (td, i)) for i, full in enumerate(mapped))
    menu = fitting * FITTING + _operations(world)
    return menu, {op: byte for byte, op in reversed(list(enumerate(menu)))}


class _Menu:
    """What a byte means as the next operation of a CPU: more often than not one that fits.

    A CPU mostly works on its own TD (``cpu % tds``), and zaps what is mapped or maps
    what is not, as far as the operations before tell.
    """

    def __init__(self, world: World, before: tuple[Op, ...] = ()) -> None:
        self._world = world
        self._mapped: set[tuple[int, ...]] = set()
        for op in before:
            self._note(op)

    def op(self, cpu: int, byte: int) -> Op:
        menu, _ = self._menu(cpu)
        return self._note(menu[byte % len(menu)])

    def byte(self, cpu: int, op: Op) -> int:
        _, bytes_of = self._menu(cpu)
        if op not in bytes_of:
            raise ValueError(f"{op}: programs of a design are host operations of its world")
        return bytes_of[self._note(op)]

    def _menu(self, cpu: int) -> tuple[tuple[Op, ...], dict[Op, int]]:
        td = cpu % self._world.tds
        pages = [(td, slot) for slot in range(self._world.slots)]
        return _menu_of(self._world, td, tuple(page in self._mapped for page in pages))

    def _note(self, op: Op) -> Op:
        if op.name == "map":
            self._mapped.add(op.args)
        elif op.name in ("zap", "convert"):
            self._mapped.discard(op.args)
        elif op.name == "destroy":
            self._mapped = {page for page in self._mapped if page[0] != op.args[0]}
        return op
