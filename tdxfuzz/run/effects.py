"""What an access touches, and what it lets its CPU learn.

Three questions of searches that remember states and leave orders out:

* :func:`touched`: which piece of shared state is it about, so that accesses of different
  pieces commute? A few plain accesses stand for more than their cell (a scan announces one
  step for many entries), so these are taken by 2MB range.
* :func:`effect`: does it look, share or change, so that two accesses of one piece commute?
* :func:`learnt`: of what the cell holds, and of what it protects as a lock, what can
  influence what the CPU does next? More than it really looks at is safe, less is not.
"""

from __future__ import annotations

from functools import singledispatch

from tdxfuzz.host.c.cells import MemoryCell
from tdxfuzz.host.cells import CallEdges, Holders, RelaxPoint
from tdxfuzz.host.faults import CallCounter
from tdxfuzz.host.guest_mode import GuestMode
from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.host.kernel.completion import Completion
from tdxfuzz.host.kernel.grace import GracePeriods
from tdxfuzz.host.kernel.ida import Ida
from tdxfuzz.host.kernel.page import PageAllocator, PageList, PcpList
from tdxfuzz.host.kernel.rcu import RcuQueue
from tdxfuzz.host.kernel.seqcount import Seqcount
from tdxfuzz.host.kernel.workqueue import Workqueue
from tdxfuzz.host.kvm.vm import Spte
from tdxfuzz.module.lock import AtomicCount, HpLock, MutexLock, SharexLock
from tdxfuzz.module.pamt import Pamt2M, PamtEntry
from tdxfuzz.module.sept import SeptEntry
from tdxfuzz.module.td import TdEpoch
from tdxfuzz.module.tdmr import BitmapWord, Tdmr
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import BLIND, READ, RMW, SHARED, STATE, WRITE, Cell, NamedCell, Variable, WaitLock

READS, SHARES, CHANGES = 1, 2, 4
"""What an access does: it looks, it is one of many sharers of a lock, or anything else. Two that
look commute, and two that share; all other pairs do not."""


def effect(access: int) -> int:
    """``READS``, ``SHARES`` or ``CHANGES``."""
    return READS if access & 3 == READ else SHARES if access & SHARED else CHANGES


def touched(cell: Cell, access: int, entries_may_go: bool = False, hints: bool = False) -> str:
    """The name of the piece of shared state that an access is about; empty if it commutes with all.

    ``entries_may_go``: a range's entries may be given back while a call uses one of them, for
    nobody holds the range. (Where somebody must, that REMOVE is the finding.) ``hints``: the
    design relies on the module's hints, so that a page's hold on its range ends where the call
    that freed it lets go of its entry.
    """
    if isinstance(cell, MemoryCell):
        return cell.piece
    if isinstance(cell, PamtEntry) and _is_about_its_range(cell, access, entries_may_go, hints):
        return types_of(cell.hpa)
    if isinstance(cell, BitmapWord):
        return bitmap_of(cell.first)
    return cell.name


def types_of(hpa: int) -> str:
    """The piece that is all entries of a 2MB range."""
    return f"TYPES[{hpa >> 21:#x}]"


def bitmap_of(hpa: int) -> str:
    """The piece that is the bitmap of a 2MB range."""
    return f"BITMAP[{hpa >> 21:#x}]"


def _is_about_its_range(cell: PamtEntry, access: int, entries_may_go: bool, hints: bool) -> bool:
    """Whether the order of this access and of a PAMT.REMOVE of the range matters.

    PAMT.REMOVE scans all entries of a range in one step announced at the 2MB entry, while
    PAGE.REMOVE and its like write one of them under its own lock alone.
    """
    if access & 3 != RMW:
        return True
    if isinstance(cell, Pamt2M):
        return False
    return entries_may_go or (hints and access & (BLIND | SHARED) == BLIND)


def learnt(cell: Cell, access: int, contents: SharedState) -> object:
    """What the access about to be performed tells its CPU: ints, and tuples of them.

    Raises:
        TypeError: a kind of cell nobody has thought about here.
    """
    if access & BLIND or access & 3 == WRITE:
        return 0
    return _look(cell, access, contents)


@singledispatch
def _look(cell: Cell, access: int, contents: SharedState) -> object:
    raise TypeError(f"what an access to a {type(cell).__name__} tells is not known")


def _exact(value: int) -> tuple[int, int]:
    """A value of up to 64 bits as two numbers. Hashes of larger or negative ones may be equal: that
    of -1 is that of -2.
    """
    return value >> 32, value & 0xFFFF_FFFF


def _word(word: int, access: int) -> int:
    """What a host-priority lock's instruction can tell apart: free, HP, one sharer, rest."""
    if access & SHARED:
        return word & 3
    return word if word <= 6 else 7 + (word & 1)


@_look.register
def _pamt_entry(cell: PamtEntry, access: int, contents: SharedState) -> object:
    guarded = contents.of_entry(cell)
    if access & 3 != READ:
        return _word(cell.word, access), guarded
    scan = tuple(page.is_free() for page in cell.backing) if isinstance(cell, Pamt2M) else ()
    return guarded, scan


@_look.register
def _hp_lock(cell: HpLock, access: int, contents: SharedState) -> object:
    if access & SHARED:
        return cell.word & 3
    return _word(cell.word, access), contents.protected_by(cell)


@_look.register
def _sharex_lock(cell: SharexLock, access: int, contents: SharedState) -> object:
    held = cell.word & 1 if access & SHARED else int(cell.word == 0)
    return held, contents.protected_by(cell)


@_look.register
def _mutex_lock(cell: MutexLock, access: int, contents: SharedState) -> object:
    return cell.word, contents.protected_by(cell)


@_look.register
def _count(cell: AtomicCount, access: int, contents: SharedState) -> object:
    return _exact(cell.value)


@_look.register
def _bitmap_word(cell: BitmapWord, access: int, contents: SharedState) -> object:
    return _exact(cell.value)


@_look.register
def _tdmr(cell: Tdmr, access: int, contents: SharedState) -> object:
    return cell.last_initialized


@_look.register
def _sept_entry(cell: SeptEntry, access: int, contents: SharedState) -> object:
    return _exact(cell.raw)


@_look.register
def _wait_lock(cell: WaitLock, access: int, contents: SharedState) -> object:
    return contents.protected_by(cell)


@_look.register
def _guest_mode(cell: GuestMode, access: int, contents: SharedState) -> object:
    return cell.tdvpr, cell.kicked


@_look.register
def _atomic(cell: AtomicT, access: int, contents: SharedState) -> object:
    return *_exact(cell.value), contents.protected_by(cell)


@_look.register
def _memory(cell: MemoryCell, access: int, contents: SharedState) -> object:
    """C observes what it reads, when it has read it."""
    return 0


@_look.register
def _spte(cell: Spte, access: int, contents: SharedState) -> object:
    return cell.value, cell.pfn


@_look.register
def _epoch(cell: TdEpoch, access: int, contents: SharedState) -> object:
    return cell.value, tuple(cell.refcount)


@_look.register
def _vcpu(cell: NamedCell, access: int, contents: SharedState) -> object:
    """TDVPS management fields are the only cell of no kind of its own."""
    if type(cell) is not NamedCell:
        return _look.dispatch(object)(cell, access, contents)
    return contents.protected_by(cell)


@_look.register  # dispatches on the bare class: Variable[object] cannot be registered
def _variable(cell: Variable, access: int, contents: SharedState) -> object:  # type: ignore[type-arg]
    value = cell.value
    return _exact(value) if isinstance(value, int) else contents.protected_by(cell)


@_look.register
def _allocator(cell: PageAllocator, access: int, contents: SharedState) -> object:
    return contents.next_page_or_fault()


@_look.register
def _pcp(cell: PcpList, access: int, contents: SharedState) -> object:
    return contents.next_page(cell)


@_look.register
def _page_list(cell: PageList, access: int, contents: SharedState) -> object:
    return cell.pages[-1] if cell.pages else -1


@_look.register
def _counter(cell: CallCounter, access: int, contents: SharedState) -> object:
    return contents.calls_made()


@_look.register
def _rcu(cell: RcuQueue, access: int, contents: SharedState) -> object:
    return len(cell.callbacks)


@_look.register
def _workqueue(cell: Workqueue, access: int, contents: SharedState) -> object:
    return STATE(cell)


@_look.register
def _seqcount(cell: Seqcount, access: int, contents: SharedState) -> object:
    return cell.sequence


@_look.register
def _completion(cell: Completion, access: int, contents: SharedState) -> object:
    return min(cell.done, 1)


@_look.register
def _grace_periods(cell: GracePeriods, access: int, contents: SharedState) -> object:
    return tuple(cell.readers)


@_look.register
def _ida(cell: Ida, access: int, contents: SharedState) -> object:
    return cell.free_ids[0] if cell.free_ids else -1


@_look.register
def _holders(cell: Holders, access: int, contents: SharedState) -> object:
    return 0


@_look.register
def _edges(cell: CallEdges, access: int, contents: SharedState) -> object:
    return 0


@_look.register
def _relax(cell: RelaxPoint, access: int, contents: SharedState) -> object:
    return 0
