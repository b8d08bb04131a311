"""What can go wrong because a case says so.

=============  ==========================================================================
``alloc``      the allocator has no page (see :mod:`tdxfuzz.host.kernel.page`)
``busy``       a PAMT.ADD or REMOVE is refused as busy, though nobody is in its way
``refuse``     so is any SEAMCALL
``entropy``    a SEAMCALL answers RND_NO_ENTROPY; Linux repeats it at once, ten times at most
``interrupt``  an interrupt is pending while a SEAMCALL runs
=============  ==========================================================================

An index counts the SEAMCALLs that the programs make (for ``busy`` those of PAMT pages alone),
attempts that are repeated included. If the fault names a leaf, only calls of that leaf count. A
design need not survive ``busy`` and ``refuse``: they ask what if.

People write ``KIND[:LEAF][@N]``: ``refuse:MEM.RANGE.BLOCK@2`` refuses the second RANGE.BLOCK.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from attrs import frozen

from tdxfuzz.abi import BY_NAME
from tdxfuzz.sim import Fault

ALLOC, BUSY, REFUSE, ENTROPY, INTERRUPT = "alloc", "busy", "refuse", "entropy", "interrupt"
KINDS = (ALLOC, BUSY, REFUSE, ENTROPY, INTERRUPT)

WHAT_IF = frozenset({BUSY, REFUSE})
"""Kinds that nothing brings about but the case."""

PAMT_LEAVES = ("TDH.PHYMEM.PAMT.ADD", "TDH.PHYMEM.PAMT.REMOVE")
"""What ``busy`` is about."""

_TEXT = re.compile(r"(?P<kind>[^:@]*)(:(?P<leaf>[^@]*))?(@(?P<number>.*))?")


@frozen
class FaultPattern:
    """What of a fault a user has said. ``leaf`` "": of any. ``number`` counts from 1; None: any."""

    kind: str
    leaf: str = ""
    number: int | None = None

    @property
    def fault(self) -> Fault | None:
        """The fault, if it is one alone."""
        return None if self.number is None else Fault(self.kind, self.number - 1, self.leaf)


def pattern_of(text: str) -> FaultPattern:
    """What ``KIND[:LEAF][@N]`` says; ``TDH.`` may be left out.

    Raises:
        ValueError: no such kind or leaf, or they do not go together; or N is no number from 1.
    """
    match = _TEXT.fullmatch(text)
    assert match is not None
    kind, leaf, number = match["kind"], match["leaf"], match["number"]
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; {_nearest(kind, KINDS)}")
    if leaf is not None:
        leaf = leaf if leaf.startswith("TDH.") else f"TDH.{leaf}"
        problem = problem_of(kind, leaf)
        if problem:
            raise ValueError(problem)
    if number is not None and not (number.isascii() and number.isdigit() and int(number) >= 1):
        raise ValueError(f"@{number}: must be a number from 1: the first call is @1")
    return FaultPattern(kind, leaf or "", None if number is None else int(number))


def fault_of(text: str) -> Fault:
    """The one fault that ``KIND[:LEAF]@N`` says.

    Raises:
        ValueError: as for :func:`pattern_of`, or it does not say which.
    """
    fault = pattern_of(text).fault
    if fault is None:
        raise ValueError(f"{text!r} does not say which one: add @N, as in {text}@1")
    return fault


def text_of(fault: Fault) -> str:
    """``KIND[:LEAF]@N``."""
    return f"{fault.kind}{f':{fault.only}' if fault.only else ''}@{fault.index + 1}"


def problem_of(kind: str, leaf: str) -> str:
    """Why a fault of a kind cannot be about a leaf; "" if it can."""
    if leaf not in BY_NAME:
        return f"unknown leaf {leaf!r}; {_nearest(leaf, BY_NAME)} (all: `tdxfuzz list leaves`)"
    if kind == ALLOC:
        return f"{ALLOC} is about pages and not about SEAMCALLs; leave {leaf!r} out"
    if kind == BUSY and leaf not in PAMT_LEAVES:
        return f"{BUSY} is about {' and '.join(PAMT_LEAVES)} alone; for {leaf!r} use {REFUSE}"
    return ""


def _nearest(name: str, known: object) -> str:
    names = list(known) if isinstance(known, tuple | dict) else []
    near = get_close_matches(name, names, n=2, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(names)}" if len(names) < 10 else "there is no such leaf"
