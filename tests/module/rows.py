"""Tables of calls that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from .lab import Lab, Result
from .states import Before, nothing, then


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


class MakesRow(Protocol):
    """Makes a row of a table, named, with its status and what is done before."""

    def __call__(
        self, name: str, status: str, *before: Before, version: int = 0, **registers: int
    ) -> Refusal: ...


def refusals(before: Before = nothing, /, **defaults: int) -> MakesRow:
    """What makes the rows of one table.

    A row that names no preparation has ``before``. Registers that it does not name are the
    defaults.
    """

    def row(name: str, status: str, *own: Before, version: int = 0, **registers: int) -> Refusal:
        return Refusal(name, defaults | registers, status, then(*own) if own else before, version)

    return row


def check_refused(lab: Lab, leaf: str, row: Refusal) -> Result:
    """The call gives just this status, changes nothing, and holds nothing afterwards."""
    row.before(lab)
    state, held = lab.state(), lab.held()
    result = lab.call(leaf, 0, row.version, **row.registers)
    assert result.text == row.status
    assert lab.state() == state
    assert lab.held() == held
    return result
