"""What an observer of the module can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call, LogicalProcessor
    from tdxfuzz.module.errors import ModuleFatal


class ModuleWatch:
    """What an observer of the module can be told; each method does nothing by default."""

    def fatal(self, lp: LogicalProcessor, call: Call, fatal: ModuleFatal) -> None:
        """A sanity check failed during ``call``; the module is dead from now on."""

    def pair_added(self, range_hpa: int) -> None:
        """A range got its PAMT page pair: the instant at which it shows."""

    def pair_removed(self, range_hpa: int) -> None:
        """PAMT.REMOVE takes effect: at this instant the range has no page pair any more."""

    def page_gone(self, hpa: int) -> None:
        """A page was freed, and its call will not touch the range's page pair any more."""

    def guest_gave_way(self) -> None:
        """A guest was told BUSY, because a host waits for the lock with priority."""

    def touched(self, backing_page: int, entry: str) -> None:
        """The module wrote to ``entry``, in a page it has given back."""
