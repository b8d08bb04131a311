"""Designs at random: what each CPU does is a few lines with retry loops, as people write them.

The lines stand in ``topup``, which a fault calls before all else. It then fails for want of
memory, so that a whole program is these lines and a handful of steps around them.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World

BASES = ("Merged", "V6", "Hint", "SpinOnBusy", "V5")
CELLS = ("a", "b", "c")

HEAD = """from tdxfuzz.host.design import ENOMEM
from tdxfuzz.host.designs.{module} import {base}


class Looping({base}):
    pamt_cache_pages = 0

    def setup(self):
        super().setup()
        self.a, self.b, self.c = (self.atomic(name) for name in "abc")
        self.lock = self.spinlock("lock")
        self.slots = self.rwlock("slots")

    def topup(self):
        cpu = self._host.sim.current.id
        if cpu == 0:
            self.first()
        elif cpu == 1:
            self.second()
        else:
            self.third()
        return -ENOMEM
"""

MODULES = {
    "Merged": "merged",
    "V6": "v6",
    "Hint": "hint",
    "SpinOnBusy": "spin_on_busy",
    "V5": "v5",
}
NAMES = ("first", "second", "third")
RELAX = "self.cpu_relax()"

Lines = list[str]


@frozen
class LoopingProgram:
    """A design's file, and the case in which each CPU calls it once."""

    text: str
    case: Case


def draw_program(rng: Random, base: str, cpus: int) -> LoopingProgram:
    """A design on top of ``base`` with lines for two or three CPUs.

    In some, all CPUs do something of the same kind: so they meet in loops that starve.
    """
    text = HEAD.format(module=MODULES[base], base=base)
    common = rng.choice((_two_in_turn, _insists, _flips, None, None))
    for name in NAMES[:cpus]:
        if common is not None:
            lines = common(rng, 0)
        else:
            lines = [line for _ in range(rng.choice((1, 1, 2))) for line in _fragment(rng, 2)]
        text += f"\n    def {name}(self):\n" + "".join(f"        {line}\n" for line in lines)
    for name in NAMES[cpus:]:
        text += f"\n    def {name}(self):\n        pass\n"
    world = World(cpus=cpus, tds=cpus, slots=1, guest_ranges=(0,), kernel_ranges=(1, 2), entries=4)
    setup = tuple(Op("create", (td,)) for td in range(cpus))
    programs = tuple((Op("map", (cpu, 0)),) for cpu in range(cpus))
    return LoopingProgram(text, Case("Looping", world, setup, programs))


def _fragment(rng: Random, depth: int) -> Lines:
    """One thing that a CPU does; ``depth`` is how many may stand inside each other."""
    leaf = (
        _sets,
        _sets,
        _exchanges,
        _waits,
        _waits,
        _takes,
        _counts,
        _tries,
        _flips,
        _insists,
        _rereads,
    )
    inner = (_locks, _reads_locked, _if_then, _if_then, _two_in_turn, _repeats)
    kinds: tuple[Callable[[Random, int], Lines], ...] = (*leaf, *inner) if depth else leaf
    return rng.choice(kinds)(rng, depth)


def _cell(rng: Random) -> str:
    return f"self.{rng.choice(CELLS)}"


def _sets(rng: Random, depth: int) -> Lines:
    return [f"{_cell(rng)}.set({rng.randrange(2)})"]


def _exchanges(rng: Random, depth: int) -> Lines:
    old = rng.randrange(2)
    return [f"{_cell(rng)}.cmpxchg({old}, {1 - old})"]


def _waits(rng: Random, depth: int) -> Lines:
    return [f"while {_cell(rng)}.read() {rng.choice(('==', '!='))} 1:", f"    {RELAX}"]


def _takes(rng: Random, depth: int) -> Lines:
    cell = _cell(rng)
    inside = _fragment(rng, 0)
    return [f"while {cell}.cmpxchg(0, 1) != 0:", f"    {RELAX}", *inside, f"{cell}.set(0)"]


def _counts(rng: Random, depth: int) -> Lines:
    return [f"for _ in range({rng.choice((2, 3))}):", f"    {RELAX}", *_warns(rng)]


def _tries(rng: Random, depth: int) -> Lines:
    return [
        "tries = 0",
        f"while {_cell(rng)}.read() == {rng.randrange(2)} and tries < 2:",
        "    tries += 1",
        f"    {RELAX}",
        *_warns(rng),
    ]


def _flips(rng: Random, depth: int) -> Lines:
    """A loop that changes shared state each time round."""
    return [
        f"while {_cell(rng)}.read() == {rng.randrange(2)}:",
        f"    {_cell(rng)}.set({rng.randrange(2)})",
        f"    {RELAX}",
        f"    {_cell(rng)}.set({rng.randrange(2)})",
    ]


def _insists(rng: Random, depth: int) -> Lines:
    """A loop that ends if nobody has changed what was written in the round before."""
    cell, value = rng.choice(("self.a", "self.b")), rng.randrange(2)
    return [
        f"{cell}.set({value})",
        f"while {cell}.read() != {value}:",
        f"    {cell}.set({value})",
        f"    {RELAX}",
    ]


def _rereads(rng: Random, depth: int) -> Lines:
    """A sequence counter's reader."""
    cell = _cell(rng)
    return [
        "while True:",
        f"    before = {cell}.read()",
        f"    value = {_cell(rng)}.read()",
        f"    after = {cell}.read()",
        "    if before == after and value != 1:",
        "        break",
        f"    {RELAX}",
    ]


def _warns(rng: Random) -> Lines:
    if rng.randrange(2):
        return []
    return [f"if {_cell(rng)}.read() == {rng.randrange(2)}:", '    self.warn("met")']


def _locks(rng: Random, depth: int) -> Lines:
    return ["with self.lock:", *_indented(_fragment(rng, depth - 1))]


def _reads_locked(rng: Random, depth: int) -> Lines:
    how = rng.choice(("read", "write"))
    return [f"with self.slots.{how}():", *_indented(_fragment(rng, depth - 1))]


def _if_then(rng: Random, depth: int) -> Lines:
    test = f"if {_cell(rng)}.read() == {rng.randrange(2)}:"
    return [test, *_indented(_fragment(rng, depth - 1))]


def _repeats(rng: Random, depth: int) -> Lines:
    """A loop around another one."""
    test = f"while {_cell(rng)}.read() == {rng.randrange(2)}:"
    return [test, *_indented(_fragment(rng, 0)), f"    {RELAX}"]


def _two_in_turn(rng: Random, depth: int) -> Lines:
    """Two try-locks, given back and tried again."""
    one, other = (f"self.{name}" for name in rng.sample(CELLS, 2))
    return [
        "while True:",
        f"    if {one}.cmpxchg(0, 1) == 0:",
        f"        if {other}.cmpxchg(0, 1) == 0:",
        "            break",
        f"        {one}.set(0)",
        f"    {RELAX}",
        f"{other}.set(0)",
        f"{one}.set(0)",
    ]


def _indented(lines: Lines) -> Lines:
    return [f"    {line}" for line in lines]
