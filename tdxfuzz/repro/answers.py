"""How the answer of a SEAMCALL is to be taken: a refusal that the host expects is no error."""

from __future__ import annotations

from collections.abc import Sequence

from tdxfuzz.abi import BY_NUMBER, Status
from tdxfuzz.check.finding import Finding
from tdxfuzz.sim import Record

ANSWER = " = "
"""Stands in a line between a call and its answer."""

OK, EXPECTED, ERROR, OPEN = "ok", "expected", "error", "open"
"""It succeeded; it was refused, and the host goes on; somebody complains; it never returned."""


class Answers:
    """Tells refusals that the host expects from errors.

    An error is what somebody complains of: a finding or a WARN names it, or a ``get`` fails
    because of it. A status that the design tolerates is none.
    """

    def __init__(self, tolerates: frozenset[str], findings: Sequence[Finding]) -> None:
        self._tolerates = tolerates
        self._found = {
            (leaf, name)
            for finding in findings
            for leaf in finding.leaf.split()
            for name in finding.status.split()
        }

    def of(self, records: Sequence[Record], returned: int, word: Status) -> str:
        """Of the call that returned with a record."""
        if word.ok:
            return OK
        if word.name in self._tolerates:
            return EXPECTED
        leaf = BY_NUMBER[int(records[returned].what)].name
        complains = (leaf, word.name) in self._found or _complaint(records, returned, word)
        return ERROR if complains else EXPECTED


def _complaint(records: Sequence[Record], returned: int, word: Status) -> bool:
    """Whether the CPU warns of a status in the same operation, or its ``get`` fails at once."""
    at_once = True
    for record in records[returned + 1 :]:
        if record.cpu != records[returned].cpu:
            continue
        if record.kind == "op-end":
            return False
        if record.kind == "warn" and word.name in str(record.data[2]):
            return True
        if at_once and record.kind == "get":
            return len(record.data) > 2
        at_once = at_once and record.kind not in ("call", "put")
    return False
