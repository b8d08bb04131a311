"""Legs: what a CPU does from one state at which there is a choice to the next.

Two states with equal keys go on in the same way: a search that remembers states rests on that. So
what was seen once of a choice at a state holds whenever the state is come to, on whatever way.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field, frozen

from tdxfuzz.sim.local import Snapshot as LocalSnapshot


@frozen
class Point:
    """A state at which there is a choice.

    ``cpu`` has come to it. ``candidates`` are all that could go on, in the order in which they are
    tried. ``free``: to go on with another CPU is no preemption. ``idle`` are the CPUs (as bits)
    that cannot run there.
    """

    key: bytes
    cpu: int
    candidates: tuple[int, ...]
    free: bool
    idle: int


@frozen
class Leg:
    """What the choice of a CPU at a state leads to.

    ``to`` is the next point, None if all programs end. ``steps`` are those on the way, ``stepped``
    the CPUs (as bits) that made one of them, ``idle`` those that could not run when one had stopped
    on the way. ``final`` is the digest of the state at rest.
    """

    to: Point | None
    steps: int
    stepped: int
    idle: int
    final: bytes = b""


Switches = tuple["Switches | None", int, int]
"""Switches to come to a state, as (step, CPU): the last one, and those before it."""


@frozen
class Way:
    """A way to a state: its switches, the step there, and what the CPUs know there."""

    switches: Switches | None
    clock: int
    local: LocalSnapshot

    def to(self, cpu: int) -> list[tuple[int, int]]:
        """All switches, with that to a CPU at the state."""
        return [*list(self._backwards())[::-1], (self.clock, cpu)]

    def _backwards(self) -> Iterator[tuple[int, int]]:
        at = self.switches
        while at is not None:
            yield at[1:]
            at = at[0]


@define
class Table:
    """All legs that were recorded, by state and CPU, and a way to each state."""

    start: Point | None = None
    legs: dict[tuple[bytes, int], Leg] = field(factory=dict)
    ways: dict[bytes, Way] = field(factory=dict)
