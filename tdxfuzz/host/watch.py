"""What an observer of the host, and of the module below it, can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.module.watch import ModuleWatch

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers, Status
    from tdxfuzz.case.operation import Op
    from tdxfuzz.host.kernel.hold import Context, Hold


class HostWatch(ModuleWatch):
    """Overridden by the checks; the host calls it and does not care who listens. Each method does
    nothing by default.

    ``pfn`` arguments are 4KB page frame numbers, ``range_pfn`` the first one of a 2MB
    range, ``leaf`` a leaf number.
    """

    def op_began(self, op: Op) -> None:
        """The current CPU begins an operation, a line of its program or of the set-up."""

    def op_ended(self, op: Op) -> None:
        """The operation that the current CPU began has ended."""

    def calling(self, leaf: int, version: int, regs: Registers) -> None:
        """The current CPU is about to make a SEAMCALL; ``regs`` hold its inputs."""

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        """A SEAMCALL of the current CPU returned; ``regs`` hold its outputs."""

    def entered(self, what: str, pfn: int, holders: int, cached: bool) -> None:
        """The current CPU calls the design for a page: ``what`` is get, put, demote or promote.

        ``holders`` is how many pages hold the page's 2MB range now; ``cached`` says whether
        the call comes with a cache of pages, because nothing may be allocated.
        """

    def left(self, what: str, pfn: int) -> None:
        """The design returned from what the current CPU ``entered``."""

    def held(self, pfn: int, kind: str) -> None:
        """``get`` returned 0 for a page: from now on its range's pair must stay."""

    def dropped(self, pfn: int, kind: str) -> None:
        """The hold on a page's range ends: ``put`` is entered, or the page was freed."""

    def get_failed(self, pfn: int, result: int) -> None:
        """``get`` returned a negative errno."""

    def remove_refused(self, pfn: int, status: Status) -> None:
        """PAMT.REMOVE failed for the range of ``pfn``."""

    def warned(self, who: str, message: str, leaf: int | None, status: Status | None) -> None:
        """WARN, KVM_BUG_ON or the like: the code met what it cannot handle."""

    def page_allocated(self, pfn: int | None) -> None:
        """A page was taken from the allocator; None: it had none to give."""

    def page_freed(self, pfn: int, was: str | None) -> None:
        """A page goes back to the allocator; ``was`` is None if it was not allocated."""

    def page_scrubbed(self, pfn: int) -> None:
        """A page was overwritten by the host, with its own key."""

    def page_used(self, pfn: int, kind: str) -> None:
        """A page is about to be handed to the module as ``kind``."""

    def refcount_changed(self, range_pfn: int, value: int) -> None:
        """A range's reference count was written."""

    def path_busy(self, has_vcpu_inside: bool) -> None:
        """A path of the current CPU that cannot fail met BUSY: it kicks, and calls once more.

        ``has_vcpu_inside`` says whether a vCPU of its TD was in the guest when the call began or
        when it ended. If none was, BUSY came from another TD, which the kick does not reach.
        """

    def kicked(self) -> None:
        """The current CPU has made a vCPU on another CPU leave the guest."""

    def slept_in_atomic(self, what: str) -> None:
        """Something that may sleep was called where nothing may."""

    def raced(self, what: str, second: str, first: str) -> None:
        """Nothing orders two accesses to ``what``, the second of them by the current CPU."""

    def lock_wanted(self, wanted: Hold, under: Hold) -> None:
        """The current CPU is about to take a lock; the last it took and holds is ``under``.

        Told only when no CPU has taken that lock under just these locks before.
        """

    def lock_context(self, wanted: Hold, context: Context) -> None:
        """The current CPU is about to take a spinning lock in a context in which no CPU has."""

    def cache_dry(self, what: str) -> None:
        """A vCPU's cache of pages for ``what`` was drawn from, and is empty."""

    def cache_without_head(self, what: str) -> None:
        """A vCPU's cache of pages for ``what`` was walked before its list head was made."""
