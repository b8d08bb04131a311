"""Sleep sets: of two transitions that commute, only one order is tried.

Take a state where everything that begins with CPU 0's transition has been explored. The search
then lets CPU 1 go first. CPU 0 is *asleep* there for as long as the other transitions commute
with its own, because CPU 0 would only lead to states that were met when it went first.

Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems" (1996), chapter
5, with its rule for remembered states. Deviations: what a transition does is known only after
it was made; the state that a check judges by counts as touched when the check is told.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from tdxfuzz.host.watch import HostWatch
from tdxfuzz.run.effects import CHANGES, bitmap_of, effect, types_of
from tdxfuzz.run.judge import HOOKS
from tdxfuzz.sim import READ, RMW

QUIET = frozenset(
    (
        "called",
        "calling",
        "entered",
        "guest_gave_way",
        "kicked",
        "left",
        "lock_context",
        "lock_wanted",
        "op_began",
        "op_ended",
        "page_scrubbed",
        "path_busy",
        "refcount_changed",
        "slept_in_atomic",
    )
)
"""Hooks whose order does not matter, but for that of the steps around them: what a check judges
by there is its CPU's own, or was stepped on, or was ever the case."""

OUT_OF_MEMORY = "out of memory"
"""The piece that is whether an allocation ever failed."""


@define
class Transition:
    """What a CPU did from one choice to the next: the pieces it touched, and how.

    It may be ``heard_by_check``: a check judges by more than the pieces tell. Until it is ``over``
    nothing can be said of it.
    """

    pieces: dict[str, int] = field(factory=dict)
    heard_by_check: bool = False
    over: bool = False

    def add(self, piece: str, access: int) -> None:
        """Note an access."""
        how = effect(access)
        if self.pieces.setdefault(piece, how) != how:
            self.pieces[piece] = CHANGES

    @property
    def is_known(self) -> bool:
        """Whether its pieces tell all there is to know."""
        return self.over and not self.heard_by_check

    def commutes(self, other: Transition) -> bool:
        """Whether both orders of two transitions lead to the same, for each CPU and check."""
        return (
            self.is_known
            and other.is_known
            and all(
                piece not in other.pieces or other.pieces[piece] == how != CHANGES
                for piece, how in self.pieces.items()
            )
        )


Asleep = Mapping[int, Transition]
"""By CPU, what those that are asleep would do."""


def still_asleep(asleep: Asleep, made: Transition) -> dict[int, Transition]:
    """Who sleeps on after a transition."""
    return {cpu: own for cpu, own in asleep.items() if own.commutes(made)}


class CheckListener(HostWatch):
    """Hears what checks hear, and notes by what more than the pieces they may judge: who holds
    a range, whether it has a pair, what a page is used for. At a hook that is not listed here
    the transition under way is ``heard_by_check``.
    """

    def __init__(self) -> None:
        self.transition = Transition()

    def hear(self, *_: object) -> None:
        """Something that a check may judge by anything."""
        self.transition.heard_by_check = True

    def pair_added(self, range_hpa: int) -> None:
        self.transition.add(pair_of(range_hpa >> 21), RMW)

    def pair_removed(self, range_hpa: int) -> None:
        self.transition.add(pair_of(range_hpa >> 21), RMW)

    def page_gone(self, hpa: int) -> None:
        self.transition.add(pair_of(hpa >> 21), RMW)

    def held(self, pfn: int, kind: str) -> None:
        self.transition.add(pair_of(pfn >> 9), RMW)

    def dropped(self, pfn: int, kind: str) -> None:
        self.transition.add(pair_of(pfn >> 9), RMW)

    def page_allocated(self, pfn: int | None) -> None:
        self.transition.add(OUT_OF_MEMORY if pfn is None else f"page {pfn:#x}", RMW)

    def get_failed(self, pfn: int, result: int) -> None:
        self.transition.add(OUT_OF_MEMORY, READ)

    def cache_dry(self, what: str) -> None:
        self.transition.add(OUT_OF_MEMORY, READ)

    def page_used(self, pfn: int, kind: str) -> None:
        self.transition.add(f"page {pfn:#x}", RMW)

    def page_freed(self, pfn: int, was: str | None) -> None:
        self.transition.add(f"page {pfn:#x}", RMW)
        for piece in (pair_of(pfn >> 9), types_of(pfn << 12), bitmap_of(pfn << 12)):
            self.transition.add(piece, READ)


for _hook in HOOKS:
    if _hook not in QUIET and _hook not in vars(CheckListener):
        setattr(CheckListener, _hook, CheckListener.hear)


def pair_of(index: int) -> str:
    """The piece that stands for who holds a 2MB range, and for its pair."""
    return f"pair {index}"
