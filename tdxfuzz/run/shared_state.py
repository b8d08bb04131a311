"""What shared state holds, as plain numbers: all of it, or what one lock guards.

Looking at it is not a step. Two states with equal :meth:`SharedState.everything`, whose CPUs
also know the same and stand at the same places, go on in the same way. What belongs to it is
declared beside each class (:mod:`tdxfuzz.sim.declared`).
"""

from __future__ import annotations

from tdxfuzz.host.host import Host
from tdxfuzz.host.kernel.page import PcpList
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.module.pamt import PT, Pamt2M, PamtEntry
from tdxfuzz.module.td import Tdr, Tdvps
from tdxfuzz.sim import GUARDED, STATE, STATE_AND_MEMORY, Cell, Numbers

MOST_AT_ONCE = 16
"""No step takes more pages than this from the allocator."""


class SharedState:
    """The state of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._pages: dict[int, tuple[Cell, Tdr | Tdvps | None]] = {}
        self._vm_of: dict[int, Vm] = {}
        for vm in host.vms:
            owned = (vm.state, vm.users, vm.kvm_lock, vm.slots_lock, vm.split_lock, vm.mmu_lock)
            for cell in (*owned, *(vcpu.mutex for vcpu in vm.vcpus)):
                self._vm_of[id(cell)] = vm

    def everything(self, memory: bool = False) -> object:
        """All that CPUs share, and with ``memory`` what is remembered of the way here, too."""
        return STATE_AND_MEMORY(self._host) if memory else STATE(self._host)

    def of_entry(self, entry: PamtEntry) -> Numbers:
        """What a PAMT entry says, and the control structure it guards."""
        own: Numbers = (int(entry.pt), entry.owner, entry.bepoch)
        if isinstance(entry, Pamt2M):
            return *own, STATE(entry.backing)
        if entry.pt in (PT.TDR, PT.TDVPR):
            page = self._host.module.memory.at(entry.hpa)
            if isinstance(page, Tdr):
                return *own, STATE(page), _tree(page)
            if page is not None:
                return *own, STATE(page)
        return own

    def protected_by(self, lock: Cell) -> object:
        """What only holders of a lock change without announcing it."""
        vm = self._vm_of.get(id(lock))
        if vm is not None:
            return GUARDED(vm)
        module = self._host.module
        if lock is module.keys.lock:
            return module.keys.taken(STATE)
        for writeback in module.keys.writeback:
            if lock is writeback.lock:
                return GUARDED(writeback)
        page = self._page_of(lock)
        if page is None or module.memory.at(page.hpa) is not page:
            return ()
        return _tree(page) if isinstance(page, Tdr) else STATE(page)

    def _page_of(self, lock: Cell) -> Tdr | Tdvps | None:
        """The control structure of which a lock guards all or the S-EPT, if there is one."""
        known = self._pages.get(id(lock))
        if known is None:
            # Holding the lock keeps its id from being given to another.
            known = self._pages[id(lock)] = lock, self._look_for_page_of(lock)
        return known[1]

    def _look_for_page_of(self, lock: Cell) -> Tdr | Tdvps | None:
        for page in self._host.module.memory.pages.values():
            if isinstance(page, Tdr) and lock is page.tdcs.secure_ept_lock:
                return page
            if isinstance(page, Tdvps) and lock is page.management:
                return page
        return None

    def next_page(self, pcp: PcpList) -> Numbers:
        """What a CPU's list would hand out next: the last of its free pages, then fresh ones."""
        return *pcp.free[-MOST_AT_ONCE:], pcp.next

    def next_page_or_fault(self) -> Numbers:
        """What the allocator itself decides by: which allocation it is, the next whole range,
        and then the current CPU's list.
        """
        pages = self._host.pages
        own = self.next_page(pages.pcp[self._host.sim.current.on])
        count = pages.count if pages.failing else 0
        return count, len(pages.whole_ranges), own

    def calls_made(self) -> Numbers:
        """How many SEAMCALLs there were, where one is picked out by its number."""
        return tuple(self._host.faults.made.values())


def _tree(tdr: Tdr) -> Numbers:
    """What the lock of a TD's S-EPT guards: its pages."""
    trees = (tdr.tdcs.sept, *tdr.tdcs.l2_septs)
    pages = (page for tree in trees if tree is not None for page in tree.pages())
    return tuple([(page.hpa, STATE(page)) for page in pages])
