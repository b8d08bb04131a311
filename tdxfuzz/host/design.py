"""What a refcount layer is written with: the API of built-in and users' designs.

A design decides when the PAMT page pair of a 2MB range goes in and out. It is one
class with ``get`` and ``put`` that reads like the kernel code it stands for::

    class MyLayer(design.RefcountLayer):
        def setup(self):
            self.pamt_lock = self.spinlock("pamt_lock")

        def get(self, pfn, cache=None):
            ...

All state that CPUs share lives in cells made in ``setup`` (locks, atomics) or asked
for by page (``refcount``); setting a plain attribute later is a harness error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import Registers, Status, find
from tdxfuzz.abi.address import LEVEL_2M
from tdxfuzz.abi.registers import ADD_PAIR
from tdxfuzz.host.kernel.atomic import Atomic64T, AtomicT
from tdxfuzz.host.kernel.errno import EAGAIN, EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM
from tdxfuzz.host.kernel.llist import Llist
from tdxfuzz.host.kernel.lock import Mutex, Rwlock, Spinlock
from tdxfuzz.host.kernel.page import GFP_ATOMIC, GFP_KERNEL, PageAllocator, PageCache, PageList
from tdxfuzz.host.kernel.refcount_t import RefcountT
from tdxfuzz.host.kernel.workqueue import Work
from tdxfuzz.host.primitives import Primitives
from tdxfuzz.host.refcount import RangeRefcount
from tdxfuzz.host.result_error import ResultError

if TYPE_CHECKING:
    from tdxfuzz.host.machine import Machine
    from tdxfuzz.sim import CodePlace, Contents

__all__ = [
    "EAGAIN",
    "EBUSY",
    "EEXIST",
    "EINVAL",
    "EIO",
    "ENOENT",
    "ENOMEM",
    "GFP_ATOMIC",
    "GFP_KERNEL",
    "Atomic64T",
    "AtomicT",
    "Llist",
    "Mutex",
    "PageCache",
    "PageList",
    "Pair",
    "RefcountLayer",
    "RefcountT",
    "Rwlock",
    "Spinlock",
    "Status",
    "Work",
]

Pair = tuple[int, ...]
"""The backing pages of a range, as PFNs: two, unless a variant of the module says otherwise."""

PAMT_ADD = find("TDH.PHYMEM.PAMT.ADD").number
PAMT_REMOVE = find("TDH.PHYMEM.PAMT.REMOVE").number


class RefcountLayer(Primitives):
    """Base of all designs; the class docstring is what lists and reports show."""

    uses_hint: ClassVar[bool] = False
    """``put`` takes the module's removal hint as a second argument."""

    tolerates: ClassVar[frozenset[str]] = frozenset()
    """Names of statuses of its own SEAMCALLs that the design handles by intent."""

    kvm_repeats: ClassVar[frozenset[str] | None] = None
    """Names of statuses at which KVM repeats its own SEAMCALL instead of giving up. None: those
    that the design tolerates."""

    declared_leaks: ClassVar[frozenset[str]] = frozenset()
    """What may be left over by intent: ``"idle-pair"``, a pair whose range nobody holds."""

    retries_missing: ClassVar[bool] = False
    """A leaf that answers MISSING_PAMT_PAGE_PAIR is repeated after another ``get``; the
    hold on a range begins only when the leaf succeeds."""

    initial_refcount: ClassVar[int] = 0
    """What a range's reference count is before anybody touched it."""

    pamt_cache_pages: ClassVar[int] = 2 * 5
    """What a vCPU's cache is topped up to before the MMU lock: two pages for each of four
    non-root S-EPT levels and the guest page (v6 08/11)."""

    split_cache_per_vm: ClassVar[bool] = False
    """A split draws from a cache of its VM, topped up for one split (huge-page series v3)."""

    counts_splits: ClassVar[bool] = True
    """Whether :meth:`count_split` reaches the design's counts. If not, KVM maps 4KB pages only."""

    may_starve: ClassVar[str] = ""
    """Why it is accepted that some timing of try-locks may repeat for ever, although another
    one would end; empty if it is not."""

    frees_sept_from_rcu: ClassVar[bool] = False
    """A TD's S-EPT pages are put and freed by an RCU callback (v5), not at once."""

    kworkers: ClassVar[int] = 0
    """How many items of work may be queued or running at once, up to 8: each has a CPU of its
    own."""

    cache_made_by_vcpu_init: ClassVar[bool] = False
    """The list head of a vCPU's cache is made when the vCPU is initialised, not when it is
    created (v3): a vCPU that goes without ever having been initialised has none."""

    kvm: ClassVar[type | None] = None
    """The subclass of ``tdxfuzz.host.kvm.Kvm`` that it runs under; None: that class itself."""

    message_id: ClassVar[str] = ""
    """The mail that posted the design, if any."""

    c_file: ClassVar[Path | None] = None
    """The file that its code is in, if that is C: there plain accesses can race."""

    def setup(self) -> None:
        """Make locks and other shared state. Runs once, alone."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        """0 once the pair of ``pfn``'s range is in place, else a negative errno.

        ``cache`` holds pages to draw the pair from where nothing may be allocated.
        """
        # Told when it is called, with the class's name: a design being written may lack it.
        raise NotImplementedError(f"{type(self).__name__} has no get()")

    def put(self, pfn: int, hint: bool = False) -> None:
        """Give up what ``get`` gave. Cannot fail.

        ``hint`` is passed only to designs with ``uses_hint``: the call that freed the
        page said that it was the last of its range.
        """
        # As for get().
        raise NotImplementedError(f"{type(self).__name__} has no put()")

    def demote(
        self, pfn: int, cache: PageCache, page_demote: Callable[[Pair], Status]
    ) -> Status | None:
        """Split the 2MB page at ``pfn``: what DEMOTE answered, None if no pair is to be had.

        ``page_demote`` is TDH.MEM.PAGE.DEMOTE, which takes the pair for the range. The caller
        holds the VM's MMU lock for writing.
        """
        pair = self.alloc_pair(cache)
        if pair is None:
            return None
        status = self.demote_with(pfn, pair, page_demote)
        if not status.ok:
            self.free_pair(pair)
        return status

    def demote_with(self, pfn: int, pair: Pair, page_demote: Callable[[Pair], Status]) -> Status:
        """DEMOTE with a pair, and the count after it; BUSY is repeated where it is tolerated."""
        with self._held_around_demote(pfn, pair):
            status = page_demote(pair)
            while status.busy and "OPERAND_BUSY" in self.tolerates:
                self.cpu_relax()
                status = page_demote(pair)
            if status.ok:
                self.count_split(pfn)
        return status

    def around_demote(self, pfn: int, pair: Pair) -> AbstractContextManager[object]:
        """What is held around DEMOTE and the count after it. Nothing, as posted up to v5
        (20260129011517.3545883-1, 30/45).
        """
        return nullcontext()

    def _held_around_demote(self, pfn: int, pair: Pair) -> AbstractContextManager[object]:
        held: object = self.around_demote(pfn, pair)
        if not isinstance(held, AbstractContextManager):
            name = type(self).__name__
            raise ResultError(
                type(self),
                "around_demote",
                f"{name}.around_demote() returned {held!r}; return the lock that is held around "
                "DEMOTE, or contextlib.nullcontext()",
            )
        return held

    def promote(self, pfn: int, page_promote: Callable[[], tuple[Status, Pair]]) -> Status:
        """Merge the 4KB pages of ``pfn``'s range; ``page_promote`` is TDH.MEM.PAGE.PROMOTE, and
        gives the pair back. No kernel does so yet.
        """
        with self._held_around_demote(pfn, ()):
            status, pair = page_promote()
            if status.ok:
                self.count_merged(pfn)
        if status.ok:
            self.free_pair(pair)
        return status

    def count_split(self, pfn: int) -> None:
        """A range was split: each of its pages is a holder now."""
        nobody = self.initial_refcount
        refcount = self.refcount(pfn)
        if refcount.cmpxchg(nobody, nobody + self.entries) != nobody:
            self.warn("the range that was split had been counted before")

    def count_merged(self, pfn: int) -> None:
        """A range was merged: nobody holds it any more."""
        everybody = self.initial_refcount + self.entries
        if self.refcount(pfn).cmpxchg(everybody, self.initial_refcount) != everybody:
            self.warn("the range that was merged had not been counted in full")

    def topup(self) -> int:
        """Called where KVM tops up its caches, before the MMU lock; may sleep. 0 or -errno."""
        return 0

    def holders_of(self, refcount: int) -> int:
        """How many holders a reference count stands for; override for biased counts."""
        return refcount

    # What a design may use.

    def refcount(self, pfn: int) -> AtomicT:
        """The ``atomic_t`` of ``pfn``'s 2MB range; ``initial_refcount`` at first."""
        refcounts, index = self._host.refcounts, pfn >> 9
        refcount = refcounts.get(index)
        if refcount is None:
            refcount = RangeRefcount(self._host, index << 9, self.initial_refcount)
            refcounts[index] = refcount
        return refcount

    @property
    def page_pool(self) -> PageAllocator:
        """The page allocator, for designs that manage pages themselves."""
        return self._host.pages

    @property
    def pair_pages(self) -> int:
        """How many pages back a range: 2, but for a what-if."""
        return self._host.pair_pages

    @property
    def entries(self) -> int:
        """How many 4KB pages a 2MB page is split into: 512, fewer in searches in full."""
        return self._host.world.entries

    def alloc_pair(self, cache: PageCache | None = None) -> Pair | None:
        """The pages for a range, from ``cache`` if given; None when memory is out."""
        pair: list[int] = []
        for _ in range(self.pair_pages):
            page = self.alloc_pamt_page(cache)
            if page is None:
                for had in pair:
                    self._host.pages.free_page(had)
                return None
            pair.append(page)
        return tuple(pair)

    def alloc_pamt_page(self, cache: PageCache | None = None) -> int | None:
        """One of the pages for a range, for designs that allocate them by hand."""
        if cache is not None:
            return cache.pop()
        return self._host.pages.alloc_page(GFP_KERNEL, "PAMT page")

    def free_pair(self, pair: Pair, scrub: bool = True) -> None:
        """Give them back to the allocator, overwritten first unless told not to."""
        for pfn in pair:
            if scrub:
                self._host.pages.scrub(pfn)
            self._host.pages.free_page(pfn)

    def pamt_add(self, pfn: int, pair: Pair) -> Status:
        """TDH.PHYMEM.PAMT.ADD for ``pfn``'s range."""
        for page in pair:
            self._host.watch.page_used(page, "PAMT page")
        pages = {name: page << 12 for name, page in zip(ADD_PAIR, pair, strict=False)}
        status, _ = self._host.seamcall(PAMT_ADD, rcx=(pfn & -512) << 12 | LEVEL_2M, **pages)
        return status

    def pamt_remove(self, pfn: int) -> tuple[Status, Pair | None]:
        """TDH.PHYMEM.PAMT.REMOVE for ``pfn``'s range; the pair if it succeeded."""
        status, regs = self._host.seamcall(PAMT_REMOVE, rcx=(pfn & -512) << 12 | LEVEL_2M)
        if not status.ok:
            self._host.watch.remove_refused(pfn, status)
            return status, None
        registers = ADD_PAIR[: self.pair_pages]
        return status, tuple([getattr(regs, name) >> 12 for name in registers])

    def seamcall(self, name: str, **registers: int) -> tuple[Status, Registers]:
        """Any SEAMCALL by name, e.g. ``self.seamcall("TDH.PHYMEM.PAGE.RDMD", rcx=hpa)``."""
        return self._host.seamcall(find(name).number, **registers)

    # The harness's side.

    def repeated_by_kvm(self) -> frozenset[str]:
        """The statuses at which KVM repeats its SEAMCALL."""
        return self.tolerates if self.kvm_repeats is None else self.kvm_repeats

    def in_key(self, read: Contents) -> object:
        """Shared state that no cell holds."""
        return ()

    def standing(self, context: int) -> int:
        """A number for all that code in C can know where a CPU stands in it; 0 if in none."""
        return 0

    def place_of(self, context: int, method: str = "") -> CodePlace | None:
        """The line of code in C that a CPU is at; else where ``method`` begins (get or put)."""
        return None

    def order_of_accesses(self) -> int:
        """A number for the order of accesses so far, as far as later ones can race with them."""
        return 0

    def shared_without_steps(self) -> Iterable[str]:
        """What CPUs were seen to share without a step; with more of it a search begins again."""
        return ()

    def attach(self, host: Machine) -> None:
        """Called once by the harness: set up, then seal."""
        object.__setattr__(self, "_host", host)
        self.setup()
        self.seal()
