"""A host: memory, module, kernel primitives, a design, and VMs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from tdxfuzz.abi import Registers, Status
from tdxfuzz.abi.address import hpa_of
from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import ALLOC
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.world import MAX_RANGES
from tdxfuzz.host.cells import CallEdges, Holders, RelaxPoint
from tdxfuzz.host.design import Pair, RefcountLayer
from tdxfuzz.host.faults import SeamcallFaults
from tdxfuzz.host.kernel.errno import errno_name
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.ida import Ida
from tdxfuzz.host.kernel.lock import Mutex
from tdxfuzz.host.kernel.page import PageAllocator, PageCache, PageList
from tdxfuzz.host.kvm.rcu import RcuQueue, run_callbacks
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.host.layout import PARAMS_HPA, Layout
from tdxfuzz.host.refcount import RangeRefcount
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.module import td_params
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.sim import READ, RMW, WRITE, Fault, HarnessError, Simulator

T = TypeVar("T")

FIRST_ERROR = 1 << 63

Refusal = tuple[int, Status]
"""A leaf, and the error it gave."""


class Host:
    """Everything one run needs, built anew for each case.

    ``retried`` is, for each CPU, the SEAMCALL that was refused last before its last retry
    point, if one was refused since the retry point before.

    Args:
        sim: the simulator; its programs run the operations.
        case: world and faults are taken from it.
        layer: a fresh instance of the design.
        watch: who is told what happens.
    """

    def __init__(
        self, sim: Simulator, case: Case, layer: RefcountLayer, watch: HostWatch | None = None
    ) -> None:
        world = case.world
        self.sim = sim
        self.case = case
        self.world = world
        self.layer = layer
        self.watch = watch or HostWatch()
        self.layout = Layout(world)
        self.module = TdxModule(
            sim,
            self.layout.tdmrs,
            world.dynamic_pamt,
            variant=VARIANTS[world.module_variant],
            split_indices=self.layout.split_indices,
        )
        self.pair_pages = self.module.variant.pair_pages
        self.module.memory.put(RawPage(PARAMS_HPA, td_params.DEFAULT.to_bytes()))
        contexts = len(sim.cpus)
        lps = [LogicalProcessor(i) for i in range(world.cpus)]
        self.lps = [lps[cpu.on] for cpu in sim.cpus]
        self.held_locks = HeldLocks(sim, contexts, self.watch)
        self.pages = PageAllocator(
            sim,
            self.module.memory,
            [self.layout.range_pfn(r) for r in world.kernel_ranges],
            self.held_locks,
            self.watch,
            [self.layout.range_pfn(r) for r in range(world.ranges, MAX_RANGES)],
            [self.layout.range_pfn(r) for r in world.fresh_ranges],
        )
        self.refcounts: dict[int, RangeRefcount] = {}
        self.holders: dict[int, Holders] = {}
        self.tdx_lock = Mutex(sim, "tdx_lock", self.held_locks)
        platform = self.module.platform
        # The lowest private HKID is the module's own: tdx_guest_keyid_start is one above.
        first = platform.private_hkid_min + 1
        self.guest_keyids = Ida(sim, "tdx_guest_keyid_pool", first, platform.private_hkid_max)
        self.vms = [Vm(self, i) for i in range(world.tds)]
        self.retried: list[Refusal | None] = [None] * contexts
        self._refused: list[Refusal | None] = [None] * contexts
        self._named: dict[str, object] = {}
        self._relax = RelaxPoint(sim)
        self._edges = CallEdges(sim) if case.design == HOSTILE else None
        self.expect(case.faults)
        self.rcu = [RcuQueue(self, i) for i in range(world.cpus)]
        sim.softirq_handler = partial(run_callbacks, self)
        layer.attach(self)

    def expect(self, faults: tuple[Fault, ...]) -> None:
        """These are what goes wrong from now on; in a set-up nothing does."""
        self.has_faults = bool(faults)
        self.faults = SeamcallFaults(self.sim, faults)
        self.pages.failing = frozenset(fault.index for fault in faults if fault.kind == ALLOC)

    def seamcall(
        self, leaf: int, version: int = 0, on_cpu: int | None = None, **registers: int
    ) -> tuple[Status, Registers]:
        """One SEAMCALL: its status, and the registers after it.

        It is made on the current CPU; with ``on_cpu`` on another, by IPI, while this one
        waits.
        """
        sim = self.sim
        cpu = sim.current.id
        # The module runs with interrupts held back.
        sim.current.irqs_off += 1
        regs = Registers(**registers)
        trace = sim.trace
        if trace is not None and sim.running:
            trace.add(sim.clock, cpu, "call", str(leaf), *_flat(registers))
        local = sim.local
        if local is not None:
            local.enter(cpu)
        edges = self._edges
        if edges is not None:
            sim.step(edges, READ)
        self.watch.calling(leaf, version, regs)
        lp = self.lps[cpu if on_cpu is None else on_cpu]
        faulted = self.faults.answer(leaf, lp) if self.faults.any else None
        status = self.module.seamcall(lp, leaf, regs, version) if faulted is None else faulted
        if edges is not None:
            sim.step(edges, WRITE)
        if status < FIRST_ERROR:  # as status.ok, and this is the hottest place for it
            sim.rounds.clear()
        else:
            self._refused[cpu] = leaf, status
        if local is not None:
            local.leave(cpu, (leaf, int(status), *regs.as_tuple()))
        if trace is not None and sim.running:
            out = {name: getattr(regs, name) for name in ("rcx", "rdx", "r8", "r9")}
            trace.add(sim.clock - 1, cpu, "return", str(leaf), int(status), *_flat(out))
        self.watch.called(leaf, regs, status)
        sim.current.irqs_off -= 1
        return status, regs

    def get(self, pfn: int, kind: str, cache: PageCache | None = None) -> int:
        """The design's ``get`` for a page that will be a ``kind``; the hold is noted."""
        if not self.world.dynamic_pamt:
            return 0
        self._enter("get", pfn, cached=cache is not None)
        local, cpu = self.sim.local, self.sim.current.id
        if local is not None:
            local.enter(cpu)
        result = self.layer.get(pfn, cache)
        if local is not None:
            local.leave(cpu, result)
        self.watch.left("get", pfn)
        if not isinstance(result, int) or result > 0:
            raise HarnessError(
                f"{type(self.layer).__name__}.get() returned {result!r}; "
                "it must return 0 or a negative errno"
            )
        if result == 0:
            self._note("get", pfn, kind)
            if not self.layer.retries_missing:
                self.hold(pfn, kind)
        else:
            self._note("get", pfn, kind, errno_name(result))
            self.watch.get_failed(pfn, result)
        return result

    def hold(self, pfn: int, kind: str) -> None:
        """From now on a page needs its range's pair."""
        holders = self.holders_of(pfn)
        self.sim.step(holders, RMW)
        holders.pages[pfn] = kind
        self.watch.held(pfn, kind)

    def hold_all(self, pfns: Sequence[int], kind: str) -> None:
        """As :meth:`hold` for pages of one range, all at this moment: it was split."""
        if not self.world.dynamic_pamt:
            return
        holders = self.holders_of(pfns[0])
        self.sim.step(holders, RMW)
        for pfn in pfns:
            holders.pages[pfn] = kind
            self.watch.held(pfn, kind)

    def drop_all(self, pfns: Sequence[int], kind: str) -> None:
        """The reverse of :meth:`hold_all`: it was merged."""
        if not self.world.dynamic_pamt:
            return
        holders = self.holders_of(pfns[0])
        self.sim.step(holders, RMW)
        for pfn in pfns:
            if holders.pages.pop(pfn, None) is not None:
                self.watch.dropped(pfn, kind)

    def demote(
        self, pfn: int, cache: PageCache, page_demote: Callable[[Pair], Status]
    ) -> Status | None:
        """The design's ``demote`` of a 2MB page; None if there are no pages for a pair."""
        if not self.world.dynamic_pamt:
            return page_demote(())
        self._enter("demote", pfn, cached=True)
        status = self.layer.demote(pfn, cache, page_demote)
        self.watch.left("demote", pfn)
        return status

    def promote(self, pfn: int, page_promote: Callable[[], tuple[Status, Pair]]) -> Status:
        """The design's ``promote`` of a 2MB range."""
        if not self.world.dynamic_pamt:
            return page_promote()[0]
        self._enter("promote", pfn)
        status = self.layer.promote(pfn, page_promote)
        self.watch.left("promote", pfn)
        return status

    def put(self, pfn: int, kind: str, hint: bool = False) -> None:
        """The design's ``put``; without the module's hints the hold ends on entry."""
        if not self.world.dynamic_pamt:
            return
        self._enter("put", pfn)
        if pfn in self.holders_of(pfn).pages:
            self._drop(pfn, kind)
        local, cpu = self.sim.local, self.sim.current.id
        if local is not None:
            local.enter(cpu)
        if self.layer.uses_hint:
            self._note("put", pfn, kind, "hint" if hint else "no hint")
            self.layer.put(pfn, hint)
        else:
            self._note("put", pfn, kind)
            self.layer.put(pfn)
        if local is not None:
            local.leave(cpu, 0)
        self.watch.left("put", pfn)

    def page_gone(self, hpa: int) -> None:
        """The module has let go of a page; for hint designs that ends the hold on it.

        At this very instant, no step sooner or later: until now the freeing call itself
        used the pair, from now on somebody else's REMOVE may rightly succeed.
        """
        pfn = hpa >> 12
        holders = self.holders.get(pfn >> 9)
        if self.layer.uses_hint and holders is not None:
            kind = holders.pages.pop(pfn, None)
            if kind is not None:
                self.watch.dropped(pfn, kind)

    def _enter(self, what: str, pfn: int, cached: bool = False) -> None:
        self.watch.entered(what, pfn, len(self.holders_of(pfn).pages), cached)

    def _drop(self, pfn: int, kind: str) -> None:
        holders = self.holders_of(pfn)
        self.sim.step(holders, RMW)
        del holders.pages[pfn]
        self.watch.dropped(pfn, kind)

    def holders_of(self, pfn: int) -> Holders:
        """The holders of ``pfn``'s 2MB range."""
        index = pfn >> 9
        holders = self.holders.get(index)
        if holders is None:
            name = f"holders[{self.layout.name_of_range(hpa_of(pfn))}]"
            holders = self.holders[index] = Holders(self.sim, name)
        return holders

    def refcount(self, pfn: int) -> RangeRefcount:
        """The design's reference count of ``pfn``'s 2MB range."""
        index = pfn >> 9
        refcount = self.refcounts.get(index)
        if refcount is None:
            refcount = self.refcounts[index] = RangeRefcount(self, index << 9)
        return refcount

    def named(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """The lock or atomic of this name.

        Raises:
            HarnessError: the name belongs to something of another kind.
        """
        thing = self._named.get(name)
        if thing is None:
            thing = self._named[name] = make()
        if not isinstance(thing, kind):
            raise HarnessError(f"{name!r} is a {type(thing).__name__}, not a {kind.__name__}")
        return thing

    def named_things(self) -> Iterator[tuple[str, object]]:
        """The design's locks, atomics and lists of pages, with their names."""
        return iter(self._named.items())

    def page_lists(self) -> Iterator[PageList]:
        """The lists of pages that the design keeps."""
        return (thing for thing in self._named.values() if isinstance(thing, PageList))

    def cpu_relax(self) -> None:
        """``cpu_relax``: a retry point."""
        cpu = self.sim.current.id
        if self.sim.local is not None:
            self.sim.local.retry(cpu)
        self.retried[cpu], self._refused[cpu] = self._refused[cpu], None
        self.sim.retry(self._relax)

    def warn(
        self, who: str, message: str, leaf: int | None = None, status: Status | None = None
    ) -> None:
        """WARN or KVM_BUG_ON."""
        self._note("warn", 0, who, message)
        self.watch.warned(who, message, leaf, status)

    def _note(self, what: str, pfn: int, *data: str) -> None:
        sim = self.sim
        if sim.trace is not None and sim.running:
            sim.trace.add(max(sim.clock - 1, 0), sim.current.id, what, "", pfn, *data)


def _flat(registers: dict[str, int]) -> list[int | str]:
    return [item for pair in registers.items() for item in pair]
