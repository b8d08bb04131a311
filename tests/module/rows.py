"""Tables of calls that are refused, and what has to be done before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import field, frozen

from .lab import Lab, Result, Stage

Before = Callable[[Lab], object]


def nothing(lab: Lab) -> None:
    """No preparation."""


@frozen
class Refusal:
    """A call that is refused: what was done before, its operands, and the status."""

    name: str
    registers: Mapping[str, int]
    status: str
    before: Before = field(default=nothing)
    version: int = 0

    def __str__(self) -> str:
        return f"{self.name}: {self.status}"


def check_refused(lab: Lab, leaf: str, row: Refusal) -> Result:
    """The call gives just this status, changes nothing, and holds nothing afterwards."""
    row.before(lab)
    state, held = lab.state(), lab.held()
    result = lab.call(leaf, 0, row.version, **row.registers)
    assert result.text == row.status
    assert lab.state() == state
    assert lab.held() == held
    return result


def at(stage: Stage) -> Before:
    """A TD built so far."""
    return lambda lab: lab.td(stage)


def then(*steps: Before) -> Before:
    """One preparation after the other."""

    def before(lab: Lab) -> None:
        for step in steps:
            step(lab)

    return before


def read(hpa: int) -> Before:
    """Somebody holds the 4KB entry of a page shared."""

    def before(lab: Lab) -> None:
        assert lab.entry(hpa).acquire_sh()

    return before


def written(hpa: int) -> Before:
    """Somebody holds the 4KB entry of a page exclusive."""

    def before(lab: Lab) -> None:
        assert lab.entry(hpa).acquire_ex()

    return before


def keys_held(lab: Lab) -> None:
    """Somebody holds the key table exclusive."""
    assert lab.module.keys.lock.acquire_ex()
