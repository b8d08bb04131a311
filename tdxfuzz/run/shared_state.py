"""What shared state holds, as plain numbers: all of it, or what one lock protects.

Looking at it is not a step. Two states with equal :meth:`SharedState.everything`, whose CPUs
also know the same and stand at the same places, go on in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

from tdxfuzz.host.host import Host
from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.host.kernel.page import PageList, PcpList
from tdxfuzz.host.kvm.vm import Vm, VmState
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.lock import HpLock, MutexLock, SharexLock
from tdxfuzz.module.memory import Page, RawPage
from tdxfuzz.module.pamt import PT, Pamt2M, PamtEntry, PamtPage
from tdxfuzz.module.sept import SeptPage
from tdxfuzz.module.td import Tdcs, TdcxPage, Tdr, Tdvps
from tdxfuzz.sim import Cell, FairLock, FairRwLock, WaitLock

Numbers = tuple[object, ...]
"""Nested tuples of ints, and of names where they are not learnt from: the same in every
process."""

_KIND: dict[type[Page], int] = {
    kind: i for i, kind in enumerate((RawPage, PamtPage, SeptPage, TdcxPage, Tdr, Tdvps))
}

MOST_AT_ONCE = 16
"""No step takes more pages than this from the allocator."""

_KOT = {state: i for i, state in enumerate(Kot)}
_VM_STATE = {state: i for i, state in enumerate(VmState)}


class SharedState:
    """The state of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._vm_of: dict[int, Vm] = {}
        for vm in host.vms:
            owned = (vm.state, vm.users, vm.kvm_lock, vm.slots_lock, vm.split_lock, vm.mmu_lock)
            for cell in (*owned, *(vcpu.mutex for vcpu in vm.vcpus)):
                self._vm_of[id(cell)] = vm

    def everything(self) -> Numbers:
        """All shared state, caches of vCPUs and what the checks remember included."""
        host = self._host
        module = host.module
        keys = module.keys
        return (
            tuple(self._pamt()),
            tuple(
                (pfn, page.owned, page.first, *_entries(page))
                for pfn, page in sorted(module.pamt.pages.items())
            ),
            tuple(
                tuple((i, word.value) for i, word in sorted(tdmr.bitmap.words.items()))
                for tdmr in module.pamt.tdmrs
            ),
            tuple((tdmr.last_initialized, _mode(tdmr.lock)) for tdmr in module.pamt.tdmrs),
            (_mode(keys.lock), *self._keys()),
            tuple((_mode(entry.lock), entry.intr_point, entry.flushed) for entry in keys.writeback),
            (module.td_build_count.value, module.dead is not None),
            (_mode(module.system.lock), int(module.system.state.value)),
            tuple(_page(pfn, page) for pfn, page in sorted(module.memory.pages.items())),
            self._allocator(),
            tuple((i, refcount.value) for i, refcount in sorted(host.refcounts.items())),
            tuple((i, *sorted(held.pages.items())) for i, held in sorted(host.holders.items())),
            tuple(self._named()),
            (_wait_lock(host.tdx_lock), *host.guest_keyids.free_ids),
            tuple(self._vm(vm, locks=True) for vm in host.vms),
            (host.faults.calls, host.faults.pamt_calls) if host.has_faults else 0,
            tuple(tuple(queue.callbacks) for queue in host.rcu),
            host.layer.hidden_state(),
        )

    def remembered(self) -> Numbers:
        """What a check remembers of the way here: which locks were taken under which."""
        locks = self._host.held_locks
        return (
            *sorted(tuple((hold.name, hold.exclusive) for hold in holds) for holds in locks.nested),
            *sorted((hold.name, context.value) for hold, context in locks.contexts),
        )

    def of_entry(self, entry: PamtEntry) -> Numbers:
        """What a PAMT entry says, and the control structure it guards."""
        own: Numbers = (int(entry.pt), entry.owner, entry.bepoch)
        if isinstance(entry, Pamt2M):
            return *own, *(page.hpa for page in entry.backing)
        if entry.pt in (PT.TDR, PT.TDVPR):
            page = self._host.module.memory.at(entry.hpa)
            return own if page is None else (*own, _page(0, page))
        return own

    def protected_by(self, lock: Cell) -> Numbers:
        """What only holders of a lock change without announcing it."""
        vm = self._vm_of.get(id(lock))
        if vm is not None:
            return self._vm(vm, locks=False)
        module = self._host.module
        if lock is module.keys.lock:
            return tuple(self._keys())
        for writeback in module.keys.writeback:
            if lock is writeback.lock:
                return writeback.intr_point, writeback.flushed
        for page in module.memory.pages.values():
            if isinstance(page, Tdr) and lock is page.tdcs.secure_ept_lock:
                return tuple(_tree(page.tdcs))
            if isinstance(page, Tdvps) and lock is page.management:
                return _page(0, page)
        return ()

    def next_page(self, pcp: PcpList) -> Numbers:
        """What a CPU's list would hand out next: the last of its free pages, then fresh ones."""
        return *pcp.free[-MOST_AT_ONCE:], pcp.next

    def next_page_or_fault(self) -> Numbers:
        """What the allocator itself decides by: which allocation it is, the next whole range,
        and then the current CPU's list.
        """
        pages = self._host.pages
        own = self.next_page(pages.pcp[self._host.sim.current.on])
        count = pages.count if self._host.has_faults else 0
        return count, len(pages.whole_ranges), own

    def calls_made(self) -> int:
        """How many SEAMCALLs there were, where one is picked out by its number."""
        return self._host.faults.calls

    def _allocator(self) -> Numbers:
        pages = self._host.pages
        count = pages.count if self._host.has_faults else 0
        return (
            tuple((pcp.next, *pcp.free) for pcp in pages.pcp),
            (count, pages.refused > 0, len(pages.whole_ranges)),
            tuple(sorted(pages.allocated.items())),
        )

    def _pamt(self) -> Iterator[object]:
        for block in self._host.module.pamt.blocks.values():
            yield _mode(block.entry_1g)
            for index, node in sorted(block.entries_2m.items()):
                yield (
                    index,
                    _mode(node),
                    int(node.pt),
                    node.owner,
                    node.bepoch,
                    node.page_count.value,
                    *(page.hpa for page in node.backing),
                )

    def _keys(self) -> Iterator[object]:
        for hkid, entry in self._host.module.keys.entries.items():
            if entry.state is not Kot.FREE:
                yield hkid, _KOT[entry.state], entry.wbinvd_bitmap

    def _named(self) -> Iterator[object]:
        for name, thing in sorted(self._host.named_things()):
            if isinstance(thing, WaitLock):
                yield name, _wait_lock(thing)
            elif isinstance(thing, AtomicT):
                yield name, thing.value
            elif isinstance(thing, PageList):
                yield name, *thing.pages

    def _vm(self, vm: Vm, locks: bool) -> Numbers:
        state: Numbers = (
            _VM_STATE[vm.state.value],
            vm.hkid,
            vm.tdr_page or 0,
            tuple(page or 0 for page in vm.tdcs_pages),
            vm.users.value,
            tuple((*key, spte.value, spte.pfn) for key, spte in sorted(vm.sptes.items())),
            tuple(sorted(vm.shared_slots)),
            tuple(sorted(vm.small_areas)),
            (*vm.split_sept_cache.pages, -1, *vm.split_pamt_cache.pages),
            tuple(
                (
                    -1 if vcpu.cpu is None else vcpu.cpu,
                    vcpu.tdvpr_page or 0,
                    *vcpu.tdcx_pages,
                    vcpu.pamt_cache.has_head,
                    tuple(vcpu.pamt_cache.pages),
                    tuple(vcpu.sept_cache.pages),
                )
                for vcpu in vm.vcpus
            ),
        )
        if not locks:
            return state
        locks_of_vm = (vm.kvm_lock, vm.slots_lock, vm.split_lock, vm.mmu_lock)
        mutexes = (*locks_of_vm, *(vcpu.mutex for vcpu in vm.vcpus))
        return *state, *map(_wait_lock, mutexes)


def _entries(page: PamtPage) -> Iterator[object]:
    """The 4KB entries that are not as the page was filled."""
    yield int(page.fill_pt), page.fill_owner
    for index, entry in sorted(page.entries.items()):
        own = (_mode(entry), int(entry.pt), entry.owner, entry.bepoch)
        if own != (0, page.fill_pt, page.fill_owner, 0):
            yield index, *own


def _page(pfn: int, page: Page) -> Numbers:
    """A page of memory by its PFN: what it is, and what it holds."""
    if isinstance(page, Tdr):
        tdcs = page.tdcs
        return (
            pfn,
            _KIND[Tdr],
            page.owned,
            page.hkid,
            int(page.lifecycle),
            page.chldcnt.value,
            page.num_tdcx,
            tuple(page.tdcx),
            page.pkg_config_bitmap,
            *_tdcs(tdcs),
            *_tree(tdcs),
        )
    if isinstance(page, Tdvps):
        return (
            pfn,
            _KIND[Tdvps],
            page.owned,
            page.num_pages,
            int(page.state),
            page.assoc_lp,
            page.vcpu_index,
            page.epoch,
            int(page.last_exit),
            page.last_exit_tsc,
            page.rip,
            page.faults,
            tuple(page.fault_gpas),
            -1 if page.hp_busy_since is None else page.hp_busy_since,
        )
    return pfn, _KIND[type(page)], page.owned


def _tdcs(tdcs: Tdcs) -> Numbers:
    return (
        int(tdcs.op_state),
        _mode(tdcs.op_state_lock),
        _mode(tdcs.secure_ept_lock),
        _mode(tdcs.epoch_lock),
        tdcs.td_epoch.value,
        tuple(tdcs.td_epoch.refcount),
        tdcs.hp_lock_timeout.value,
        tdcs.attributes,
        tdcs.num_vcpus,
        tdcs.num_assoc_vcpus,
        tdcs.build_in_progress,
        tuple(sorted(tdcs.x2apic_ids.items())),
    )


def _tree(tdcs: Tdcs) -> Iterator[object]:
    """Every S-EPT entry that is not as its page was filled."""
    if tdcs.sept is None:
        return
    pages: list[SeptPage] = [tdcs.sept.root]
    while pages:
        page = pages.pop()
        yield page.hpa, page.fill, page.stride
        for index, entry in sorted(page.entries.items()):
            if entry.raw != page.fill + index * page.stride:
                yield index, entry.raw
            below = tdcs.sept.page_below(entry.raw)
            if below is not None:
                pages.append(below)


def _mode(lock: HpLock | SharexLock | MutexLock) -> int:
    """The word of a lock. While it is held exclusively its sharers are strays, and the release
    drops them: they change nothing, however many there are.
    """
    if not lock.word & 1:
        return lock.word
    return lock.word & 3 if isinstance(lock, HpLock) else 1


def _wait_lock(lock: WaitLock) -> Numbers:
    """Who holds a lock and who waits for it."""
    queue = tuple((cpu.id, exclusive) for cpu, exclusive in lock.queue)
    if isinstance(lock, FairLock):
        return (-1 if lock.owner is None else lock.owner.id), queue
    assert isinstance(lock, FairRwLock)
    writer = -1 if lock.writer is None else lock.writer.id
    return writer, tuple(sorted(cpu.id for cpu in lock.readers)), queue
