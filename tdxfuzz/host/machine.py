"""A machine that runs Linux: memory, TDX module, and the kernel's primitives on it.

It knows nothing of VMs, nor of how a design counts references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, TypeVar

from tdxfuzz.abi import Registers, Status
from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import ALLOC
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.world import MAX_RANGES
from tdxfuzz.host.cells import CallEdges, RelaxPoint
from tdxfuzz.host.faults import SeamcallFaults
from tdxfuzz.host.guest_mode import GuestMode
from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.host.kernel.grace import GracePeriods
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.page import PageAllocator, PageList
from tdxfuzz.host.kernel.rcu import RcuQueue
from tdxfuzz.host.kernel.workqueue import Workqueue
from tdxfuzz.host.layout import PARAMS_HPA, Layout
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.module import td_params
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.variants import DEFAULT, variant_of
from tdxfuzz.sim import READ, WRITE, Declared, Fault, HarnessError, Simulator

T = TypeVar("T")

FIRST_ERROR = 1 << 63

Refusal = tuple[int, Status]
"""A leaf, and the error it gave."""


class Machine:
    """What a design and KVM stand on, built anew for each case.

    ``refcounts`` are the reference counts of 2MB ranges by number (HPA >> 21), as far as a
    design has asked for them. ``retried`` is, for each CPU, the SEAMCALL that was refused
    last before its last retry point, if one was refused since the retry point before.

    Args:
        sim: the simulator; its programs run the operations.
        case: world and faults are taken from it.
        watch: who is told what happens.
    """

    STATE: ClassVar = Declared(
        parts="_edges _named _relax faults grace_periods guests lps module pages rcu refcounts "
        "workqueue",
        memory="held_locks",
        derived="_refused retried sim watch",
        fixed="case has_faults layout pair_pages world",
    )

    def __init__(self, sim: Simulator, case: Case, watch: HostWatch | None = None) -> None:
        world = case.world
        self.sim = sim
        self.case = case
        self.world = world
        self.watch = watch or HostWatch()
        self.layout = Layout(world)
        self.module = TdxModule(
            sim,
            self.layout.tdmrs,
            world.dynamic_pamt,
            variant=variant_of(world.module_variant) or DEFAULT,
            split_indices=self.layout.split_indices,
        )
        self.pair_pages = self.module.variant.pair_pages
        self.module.memory.put(RawPage(PARAMS_HPA, td_params.DEFAULT.to_bytes()))
        contexts = len(sim.cpus)
        lps = [LogicalProcessor(i) for i in range(world.cpus + len(sim.workers))]
        self.lps = [lps[cpu.on] for cpu in sim.cpus]
        self.guests = [GuestMode(sim, f"cpu{i}.guest") for i in range(world.cpus)]
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
        self.workqueue = Workqueue(sim, self.held_locks)
        self.grace_periods = GracePeriods(sim, self.held_locks, self.workqueue)
        self.rcu = [RcuQueue(sim, i) for i in range(world.cpus)]
        self.refcounts: dict[int, AtomicT] = {}
        self.retried: list[Refusal | None] = [None] * contexts
        self._refused: list[Refusal | None] = [None] * contexts
        self._named: dict[str, object] = {}
        self._relax = RelaxPoint(sim)
        self._edges = CallEdges(sim) if case.design == HOSTILE else None
        self.expect(case.faults)

    def expect(self, faults: tuple[Fault, ...]) -> None:
        """These are what goes wrong from now on; in a set-up nothing does."""
        self.has_faults = bool(faults)
        self.faults = SeamcallFaults(self.sim, faults)
        self.pages.failing = frozenset(fault.index for fault in faults if fault.kind == ALLOC)

    def met(self, fault: Fault) -> bool:
        """Whether the occasion of one of the case's faults has come by now."""
        if fault.kind == ALLOC:
            return self.pages.count > fault.index
        return self.faults.met(fault)

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
        traced = sim.trace is not None
        if traced:
            sim.record(sim.clock, "call", str(leaf), *_flat(registers))
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
            local.leave(cpu, leaf, int(status), *regs.as_tuple())
        if traced:
            out = {name: getattr(regs, name) for name in ("rcx", "rdx", "r8", "r9")}
            sim.record(sim.clock - 1, "return", str(leaf), int(status), *_flat(out))
        self.watch.called(leaf, regs, status)
        sim.current.irqs_off -= 1
        return status, regs

    def named(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """The lock or atomic of this name.

        Raises:
            HarnessError: the name belongs to something of another kind.
        """
        thing = self._named.get(name)
        if thing is None:
            thing = self._named[name] = make()
        # Not so with a subclass: an atomic64_t is no atomic_t.
        if not isinstance(thing, kind) or type(thing) is not kind:
            raise HarnessError(f"{name!r} is a {type(thing).__name__}, not a {kind.__name__}")
        return thing

    def named_things(self) -> Iterator[tuple[str, object]]:
        """The design's locks, atomics and lists of pages, with their names."""
        return iter(self._named.items())

    def page_lists(self) -> Iterator[PageList]:
        """The lists of pages that the design keeps."""
        return (thing for thing in self._named.values() if isinstance(thing, PageList))

    def cpu_relax(self, standing: int | None = None) -> None:
        """``cpu_relax``: a retry point; ``standing`` is all the local state of code in C."""
        cpu = self.sim.current.id
        local = self.sim.local
        if local is not None and standing is not None:
            local.stand(cpu, standing)
        elif local is not None:
            local.retry(cpu)
        self.retried[cpu], self._refused[cpu] = self._refused[cpu], None
        self.sim.retry(self._relax)

    def warn(
        self, who: str, message: str, leaf: int | None = None, status: Status | None = None
    ) -> None:
        """WARN or KVM_BUG_ON."""
        self.note("warn", 0, who, message)
        self.watch.warned(who, message, leaf, status)

    def note(self, what: str, pfn: int, *data: str) -> None:
        """Write a line about a page into the trace, if there is one."""
        if self.sim.trace is not None:
            self.sim.record(max(self.sim.clock - 1, 0), what, "", pfn, *data)


def _flat(registers: dict[str, int]) -> list[int | str]:
    return [item for pair in registers.items() for item in pair]
