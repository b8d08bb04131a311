"""A machine for many CPUs: a design on the module's model, with get and put, and no VMs."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from attrs import define, frozen

from tdxfuzz.abi import Registers, Status
from tdxfuzz.abi.address import SIZE_1G
from tdxfuzz.case.names import TDMR_BASE
from tdxfuzz.case.world import ALL_ENTRIES
from tdxfuzz.host.cells import RelaxPoint
from tdxfuzz.host.design import PAMT_ADD, PAMT_REMOVE, RefcountLayer
from tdxfuzz.host.faults import SeamcallFaults
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.page import GFP_KERNEL, PageAllocator, PageCache, PcpList
from tdxfuzz.host.layout import Layout
from tdxfuzz.host.machine import Machine
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.sim import NEVER, Declared, Simulator
from tdxfuzz.survey.contention.clocks import VirtualClocks
from tdxfuzz.survey.contention.costs import Costs

PAGES = 512
BATCH = 31
"""Pages that a CPU's list takes from the zone at a time; the next CPU's are beside them."""

C_CPUS = 4
"""So many CPUs can run a layer in C: it knows 8 ranges of 2MB, of which three are the kernel's."""


@frozen
class BenchWorld:
    """What a design asks of a world."""

    cpus: int
    entries: int = ALL_ENTRIES
    dynamic_pamt: bool = True


@define
class Took:
    """How long gets, or puts, took that made a SEAMCALL, and waited for locks; times in ns."""

    count: int = 0
    ns: float = 0.0
    longest_ns: float = 0.0
    wait_ns: float = 0.0

    def add(self, ns: float, wait_ns: float) -> None:
        """One more, which waited for locks for so long."""
        self.count += 1
        self.ns += ns
        self.wait_ns += wait_ns
        self.longest_ns = max(self.longest_ns, ns)

    @property
    def mean_ns(self) -> float:
        """The average; 0 if there was none."""
        return self.ns / self.count if self.count else 0.0

    @property
    def mean_wait_ns(self) -> float:
        """The average wait for locks; 0 if there was none."""
        return self.wait_ns / self.count if self.count else 0.0

    def merge(self, other: Took) -> None:
        """Count another's as well."""
        self.count += other.count
        self.ns += other.ns
        self.wait_ns += other.wait_ns
        self.longest_ns = max(self.longest_ns, other.longest_ns)


class Zone(PageAllocator):
    """The page allocator: lists of CPUs that are filled in batches from one 2MB block after the
    other, so that the pages of several CPUs lie in one block.
    """

    STATE: ClassVar = Declared(shared="frontier blocks")

    def __init__(self, sim: Simulator, machine: Bench, blocks: range) -> None:
        memory, held = machine.module.memory, machine.held_locks
        super().__init__(sim, memory, (), held, machine.watch)
        self._bench = machine
        self.blocks = blocks
        self.frontier = iter(range(blocks.start * PAGES, blocks.stop * PAGES))
        self.armed = True

    def alloc_page(self, gfp: str = GFP_KERNEL, what: str = "page") -> int | None:
        self._bench.spend("alloc")
        return super().alloc_page(gfp, what)

    def alloc_bulk(self, count: int, what: str) -> list[int]:
        self._bench.spend("alloc", count)
        return super().alloc_bulk(count, what)

    def free_page(self, pfn: int) -> None:
        self._bench.spend("alloc")
        super().free_page(pfn)

    def scrub(self, pfn: int) -> None:
        self._bench.spend("scrub")

    def alloc_block(self, what: str) -> int | None:
        first = next(self._bench.whole_blocks) * PAGES
        self.allocated.update(dict.fromkeys(range(first, first + PAGES), what))
        return first

    def _next_fresh(self, pcp: PcpList) -> int | None:
        pcp.free += [pfn for pfn, _ in zip(self.frontier, range(BATCH), strict=False)][::-1]
        return pcp.free.pop() if pcp.free else None


class Bench(Machine):
    """A machine on which CPUs get and put pages under a design, in virtual time.

    ``calls``, ``busy`` and ``busy_ns`` count SEAMCALLs, those that were refused and what these
    took; ``warnings`` how often the design gave up. ``gets`` and ``puts`` are those that made
    a SEAMCALL: the others are the fast path.

    Args:
        layer_class: the design.
        cpus: how many there are.
        costs: what things cost.
        seed: of all chance.
        guest_blocks: 2MB ranges for guest pages.
    """

    def __init__(
        self,
        layer_class: type[RefcountLayer],
        cpus: int,
        costs: Costs,
        seed: int,
        guest_blocks: int,
    ) -> None:
        self.costs = costs
        self.rng = Random(seed)
        self.clocks = VirtualClocks(cpus, costs)
        self.sim = sim = Simulator(cpus, self.clocks, bound=NEVER)
        sim.rounds.most = NEVER
        self.watch = HostWatch()
        self.world = BenchWorld(cpus)  # type: ignore[assignment]
        kernel, whole = 64 + cpus + guest_blocks // 64, 16 + cpus + guest_blocks // 128
        if layer_class.c_file is not None:
            kernel, whole = 2, 1
        first = TDMR_BASE >> 21
        blocks = first + kernel + whole + guest_blocks
        size = -(-(blocks - first) * PAGES * 4096 // SIZE_1G) * SIZE_1G
        self.layout = Layout(self.world)
        self.module = TdxModule(sim, [TdmrInfo(TDMR_BASE, size)])
        self.pair_pages = self.module.variant.pair_pages
        self.lps = [LogicalProcessor(cpu) for cpu in range(cpus)]
        self.held_locks = HeldLocks(sim, cpus, self.watch)
        self.guest_ranges = range(first + kernel + whole, blocks)
        self.whole_blocks = iter(range(first + kernel, first + kernel + whole))
        self.refcounts = {}
        self.retried = [None] * cpus
        self._refused = [None] * cpus
        self._named = {}
        self._relax = RelaxPoint(sim)
        self._edges = None
        self.has_faults = False
        self.faults = SeamcallFaults(sim, ())
        self.pages = Zone(sim, self, range(first, first + kernel))
        self.rcu = []
        self.calls = self.busy = self.warnings = 0
        self.busy_ns = 0.0
        self.gets, self.puts = Took(), Took()
        self._called = [0] * cpus
        self.layer = layer_class()
        self.caches = [PageCache(self.pages, "PAMT page") for _ in range(cpus)]
        self.layer.attach(self)

    def spend(self, what: str, times: int = 1) -> None:
        """The current CPU does something that takes its time, without a step."""
        if self.sim.running:
            self.clocks.now[self.sim.current.id] += times * self.costs[what].ns

    def pause(self, what: str, times: int) -> None:
        """As :meth:`spend`, for so many waits of random length."""
        mean = self.costs[what].ns
        self.clocks.now[self.sim.current.id] += self.rng.gammavariate(times, mean)

    def turn(self) -> None:
        """Let the time that was spent pass: the others come first."""
        self.sim.step(self._relax, 0)

    def warn(
        self, who: str, message: str, leaf: int | None = None, status: Status | None = None
    ) -> None:
        self.warnings += 1

    def seamcall(
        self, leaf: int, version: int = 0, on_cpu: int | None = None, **registers: int
    ) -> tuple[Status, Registers]:
        cpu = self.sim.current.id
        clocks, costs = self.clocks, self.costs
        edge = costs["seamcall"].ns
        name = {PAMT_ADD: "add", PAMT_REMOVE: "remove"}.get(leaf)
        took = edge if name is None else costs[name].draw(self.rng)
        began = clocks.now[cpu]
        clocks.now[cpu] += edge / 2
        if name is not None:
            clocks.per_step[cpu] = max(took - edge, 0.0) / STEPS[name]
        status, regs = super().seamcall(leaf, version, on_cpu, **registers)
        clocks.per_step[cpu] = clocks.step_ns
        clocks.now[cpu] += edge / 2
        self.calls += 1
        self._called[cpu] += 1
        if status.busy:
            self.busy += 1
            self.busy_ns += clocks.now[cpu] - began
        return status, regs

    def get(self, pfn: int, alike: int = 1, cached: bool = True) -> int:
        """The design's ``get``; ``alike`` are the gets that it stands for."""
        cpu = self.sim.current.id
        cache = self.caches[cpu] if cached else None
        if cache is not None:
            cache.topup(2 * self.layer.pamt_cache_pages)
            self.layer.topup()
        clocks = self.clocks
        began, waited, called = clocks.now[cpu], clocks.waited[cpu], self._called[cpu]
        clocks.weight[cpu] = alike
        result = self.layer.get(pfn, cache)
        clocks.weight[cpu] = 1
        if self._called[cpu] != called:
            self.gets.add(clocks.now[cpu] - began, clocks.waited[cpu] - waited)
        return result

    def put(self, pfn: int, alike: int = 1) -> None:
        """The design's ``put``."""
        cpu = self.sim.current.id
        clocks = self.clocks
        began, waited, called = clocks.now[cpu], clocks.waited[cpu], self._called[cpu]
        clocks.weight[cpu] = alike
        if self.layer.uses_hint:
            self.layer.put(pfn, False)
        else:
            self.layer.put(pfn)
        clocks.weight[cpu] = 1
        if self._called[cpu] != called:
            self.puts.add(clocks.now[cpu] - began, clocks.waited[cpu] - waited)


STEPS = {"add": 15, "remove": 9}
"""Steps of the model in a call that succeeds; a test counts them."""
