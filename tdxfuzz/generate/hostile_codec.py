"""Hostile cases as bytes and back: a set-up, raw SEAMCALLs, an order.

Every byte string is some case, and a byte at random is most often a call that succeeds after
the set-up. Any other call is spelled out behind the escape byte: its leaf, and for each
register one of the values that mean something there, or any 64 bits. So is a world or a set-up
that is none of the library's; then all calls are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from attrs import evolve

from tdxfuzz.abi import BY_NAME, LEAVES
from tdxfuzz.case.case import DEFAULT_STEPS, MAX_OPERATIONS, Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS, WORLD, setup_ops
from tdxfuzz.case.operation import AREA_OPERATIONS, MAX_REGISTER, OPERATIONS, Op, arguments_of
from tdxfuzz.case.world import World
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
from tdxfuzz.generate.hostile_calls import fitting_calls, kind_of, resources
from tdxfuzz.module.leaves import HANDLERS

CPUS = (2, 3, 4, 1, 5, 6, 7, 8)
"""The number of CPUs that a byte stands for."""

_NAMES = tuple(SETUPS)
_LEAVES = tuple(leaf.name for leaf in LEAVES if leaf.number in HANDLERS)
_SMALL = tuple(range(8))
"""What a register may hold that names no resource."""


def decode(data: bytes) -> Case:
    """The hostile case that a byte string stands for."""
    reader = Reader(data)
    first = reader.byte()
    name = None if first == ESCAPE else _NAMES[first % len(_NAMES)]
    if name is None:
        world = read_world(reader)
        setup = tuple(_read_op(reader, world) for _ in range(reader.byte() % (MAX_OPERATIONS + 1)))
    else:
        world = _world(CPUS[reader.byte() % len(CPUS)])
        setup = setup_ops(name)
    programs = read_programs(reader, world.cpus, lambda _: _read_call(reader, name))
    schedule = read_schedule(reader, world.cpus)
    return Case(HOSTILE, world, setup, programs, schedule)


def encode(case: Case) -> bytes:
    """A byte string that :func:`decode` turns into the case again.

    Raises:
        ValueError: it has faults or a bound on steps of its own, too many switches, a
            loop, host operations in its programs, or a leaf that is not modelled.
    """
    if case.faults or case.steps != DEFAULT_STEPS:
        raise ValueError("a hostile case with faults or a bound on steps has no bytes")
    writer = Writer()
    name = setup_of(case)
    if name is None:
        writer.byte(ESCAPE)
        write_world(writer, case.world)
        writer.byte(len(case.setup))
        for op in case.setup:
            _write_op(writer, case.world, op)
    else:
        writer.byte(_NAMES.index(name))
        writer.byte(CPUS.index(case.world.cpus))
    write_programs(writer, case.programs, lambda _, op: _write_call(writer, name, op))
    write_schedule(writer, case.schedule, case.world.cpus)
    return bytes(writer.data).rstrip(b"\0")


def setup_of(case: Case) -> str | None:
    """The name of the set-up that a case starts from, if it and its world are known."""
    if case.world != _world(case.world.cpus):
        return None
    return _names().get(case.setup)


@cache
def _names() -> dict[tuple[Op, ...], str]:
    """The library's set-ups, by what they do."""
    return {setup_ops(name): name for name in _NAMES}


@cache
def _world(cpus: int) -> World:
    return evolve(WORLD, cpus=cpus)


@cache
def _menu(setup: str | None) -> tuple[Op, ...]:
    """Calls that succeed after a known set-up: what one byte stands for."""
    if setup is None:
        return ()
    return tuple(op for ops in fitting_calls(setup).values() for op in ops)[:ESCAPE]


@cache
def _bytes_of(setup: str | None) -> dict[Op, int]:
    """The reverse of the menu."""
    return {op: byte for byte, op in enumerate(_menu(setup))}


@cache
def _values(setup: str | None, leaf: str, argument: str) -> Sequence[int]:
    """What a byte stands for as a register's value."""
    kind = kind_of(BY_NAME[leaf], argument)
    if kind is None or setup is None:
        return _SMALL
    return resources(setup).all_of(kind)[:ESCAPE]


def _possible(world: World) -> tuple[str, ...]:
    """The host operations that a world has something to do for."""
    return tuple(name for name in OPERATIONS if world.areas or name not in AREA_OPERATIONS)


def _read_op(reader: Reader, world: World) -> Op:
    """A line of a set-up: a host operation, or a SEAMCALL spelled out."""
    first = reader.byte()
    if first == ESCAPE:
        return _spelled_out(reader, None)
    possible = _possible(world)
    name = possible[first % len(possible)]
    return Op(name, tuple(reader.byte() % world.most(what) for what in OPERATIONS[name]))


def _write_op(writer: Writer, world: World, op: Op) -> None:
    if op.is_seamcall:
        writer.byte(ESCAPE)
        _spell_out(writer, None, op)
        return
    writer.byte(_possible(world).index(op.name))
    for value in op.args:
        writer.byte(value)


def _read_call(reader: Reader, setup: str | None) -> Op:
    menu = _menu(setup)
    if menu:
        first = reader.byte()
        if first != ESCAPE:
            return menu[first % len(menu)]
    return _spelled_out(reader, setup)


def _write_call(writer: Writer, setup: str | None, op: Op) -> None:
    if not op.is_seamcall:
        raise ValueError(f"{op}: a hostile program calls the module itself")
    byte = _bytes_of(setup).get(op)
    if byte is not None:
        writer.byte(byte)
        return
    if _menu(setup):
        writer.byte(ESCAPE)
    _spell_out(writer, setup, op)


def _spelled_out(reader: Reader, setup: str | None) -> Op:
    name = _LEAVES[reader.byte() % len(_LEAVES)]
    args = []
    for argument in arguments_of(name):
        byte = reader.byte()
        values = _values(setup, name, argument)
        if byte != ESCAPE:
            args.append(values[byte % len(values)])
        elif argument == "version":
            args.append(reader.byte())
        else:
            args.append(reader.number(8) & MAX_REGISTER)
    return Op(name, tuple(args))


def _spell_out(writer: Writer, setup: str | None, op: Op) -> None:
    if op.name not in _LEAVES:
        raise ValueError(f"{op.name} is not modelled")
    writer.byte(_LEAVES.index(op.name))
    for argument, value in op.arguments:
        values = _values(setup, op.name, argument)
        if value in values:
            writer.byte(values.index(value))
        else:
            writer.byte(ESCAPE)
            writer.number(value, 1 if argument == "version" else 8)
