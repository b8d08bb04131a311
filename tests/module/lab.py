"""A small machine: one module over a gigabyte of memory, and SEAMCALLs by name.

Every address is fixed, so that tables of operands can be plain data. Range ``i`` is the
``i``-th 2MB of the TDMR; backing pages come from range ``DONORS`` on, which has no pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

from attrs import frozen

from tdxfuzz.abi import SUCCESS, Registers, Status, find
from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.module.call import Call, LogicalProcessor
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.lock import HpLock, MutexLock, SharexLock
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.pamt import Block, Pamt2M, PamtEntry
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.sept_entry import TDEL
from tdxfuzz.module.snapshot import snapshot
from tdxfuzz.module.td import Tdr
from tdxfuzz.module.td_params import DEFAULT
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.module.watch import ModuleWatch
from tdxfuzz.sim import Simulator

BASE = 1 << 32
OUTSIDE = 1 << 31
"""Memory that no TDMR covers."""
PARAMS = 1 << 24
HKID_BIT = 1 << 40
"""The lowest HKID bit of an address."""
HINT = 1 << 62
DONORS = 256
HOME, HOME2 = 8, 9
"""The ranges in which TDs keep their control and S-EPT pages."""
GPA = 0x40000000
HKID = 40


def page(range_index: int, n: int = 0) -> int:
    """The ``n``-th page of a range; the range itself for ``n`` 0."""
    return BASE + range_index * SIZE_2M + n * SIZE_4K


TDR = page(HOME)
TDVPR = page(HOME, 64)
NEW = page(HOME, 200)
"""A free page in a range with a pair, once there is a TD."""
SEPT = page(HOME, 16)
"""The first S-EPT page of a TD; those of the lower levels follow."""


@frozen
class Result:
    """What came back from a SEAMCALL."""

    status: Status
    regs: Registers

    @property
    def text(self) -> str:
        return str(self.status)


class Stage(IntEnum):
    """How far a TD has been built."""

    CREATED = 1
    KEYS = 2
    TDCX = 3
    INIT = 4
    VCPU = 5
    RUNNABLE = 6


class Watch(ModuleWatch):
    """Notes everything a module tells its observer; new pairs by themselves."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []
        self.pairs_added: list[int] = []

    def pair_added(self, range_hpa: int) -> None:
        self.pairs_added.append(range_hpa)

    def fatal(self, lp: LogicalProcessor, call: Call, fatal: ModuleFatal) -> None:
        self.told.append(("fatal", fatal.fatal_id))

    def pair_removed(self, range_hpa: int) -> None:
        self.told.append(("pair_removed", range_hpa))

    def page_gone(self, hpa: int) -> None:
        self.told.append(("page_gone", hpa))

    def guest_gave_way(self) -> None:
        self.told.append(("guest_gave_way", None))

    def touched(self, backing_page: int, entry: str) -> None:
        self.told.append(("touched", (backing_page, entry)))


class Lab:
    """A module under test.

    Args:
        cpus: simulated CPUs, and as many logical processors.
        dynamic: dynamic PAMT.
        tdmrs: by default one of 1GB at ``BASE``.
        platform: the recordings' machine by default.
    """

    def __init__(
        self,
        cpus: int = 1,
        dynamic: bool = True,
        tdmrs: Sequence[TdmrInfo] = (TdmrInfo(BASE, SIZE_1G),),
        platform: Platform | None = None,
    ) -> None:
        self.sim = Simulator(cpus)
        self.module = TdxModule(self.sim, tdmrs, dynamic, platform)
        self.watch = Watch()
        self.module.watch = self.watch
        self.lps = [LogicalProcessor(i) for i in range(cpus)]
        self.donated = 0
        self.module.memory.put(RawPage(PARAMS, DEFAULT.to_bytes()))

    def call(self, leaf: str, /, cpu: int = 0, version: int = 0, **registers: int) -> Result:
        regs = Registers.of(registers)
        word = self.module.seamcall(self.lps[cpu], find(leaf).number, regs, version)
        return Result(word, regs)

    def ok(self, leaf: str, /, cpu: int = 0, version: int = 0, **registers: int) -> Registers:
        """A call that has to succeed; its registers."""
        result = self.call(leaf, cpu, version, **registers)
        assert result.status == SUCCESS, f"{leaf} = {result.status!r}"
        return result.regs

    def record(self) -> list[str]:
        """Every event from now on, e.g. ``acq SH KOT FAILED``."""
        events: list[str] = []

        def log(*event: object) -> None:
            *words, ok = event
            events.append(" ".join(str(word) for word in [*words, "" if ok else "FAILED"] if word))

        self.sim.log = log
        return events

    def donors(self) -> tuple[int, int]:
        """Two pages nobody has used yet, in a range without a pair."""
        self.donated += 2
        return page(DONORS, self.donated - 2), page(DONORS, self.donated - 1)

    def pair(self, range_index: int) -> tuple[int, int]:
        """Give a range a pair; the pages of it."""
        donors = self.donors()
        self.ok("PHYMEM.PAMT.ADD", rcx=page(range_index) | 1, rdx=donors[0], r8=donors[1])
        return donors

    def unpair(self, range_index: int) -> Result:
        return self.call("PHYMEM.PAMT.REMOVE", rcx=page(range_index) | 1)

    @property
    def block(self) -> Block:
        return self.module.pamt.blocks[BASE >> 30]

    def node(self, range_index: int) -> Pamt2M:
        return self.block.entry_2m(page(range_index))

    def entry(self, hpa: int) -> PamtEntry:
        """The 4KB entry of a page whose range has a pair, or of any page if static."""
        return self.module.pamt.entry_4k(hpa, self.block.entry_2m(hpa))

    def state(self) -> Mapping[str, object]:
        """Everything but who holds or wanted which lock."""
        return {part: value for part, value in snapshot(self.module).items() if part != "hp"}

    def host_priority(self) -> list[str]:
        """Names of the locks with the host-priority bit set."""
        return [str(name) for name in snapshot(self.module)["hp"]]

    def held(self) -> dict[str, str]:
        """Every lock that is held, and how."""
        return {name: how for name, how in self._locks() if how}

    def _locks(self) -> Iterator[tuple[str, str]]:
        for lock in self._lock_words():
            if isinstance(lock, MutexLock):
                yield lock.name, "held" if lock.word else ""
                continue
            sharers = lock.word >> (2 if isinstance(lock, HpLock) else 1)
            yield lock.name, "EX" if lock.word & 1 else f"SH {sharers}" if sharers else ""
        for tdr in self.tdrs():
            if tdr.tdcs.sept is not None:
                yield from ((e.name, "EX" if e.raw & TDEL else "") for e in tdr.tdcs.sept.touched())

    def _lock_words(self) -> Iterator[HpLock | SharexLock | MutexLock]:
        module = self.module
        for block in module.pamt.blocks.values():
            yield block.entry_1g
        for node in module.pamt.nodes():
            yield node
            for backing in node.backing:
                yield from backing.entries.values()
        yield from module.pamt.static_entries()
        yield module.system.lock
        yield module.keys.lock
        yield from (entry.lock for entry in module.keys.writeback)
        yield from (tdmr.lock for tdmr in module.pamt.tdmrs)
        for tdr in self.tdrs():
            yield from (
                tdr.tdcs.op_state_lock,
                tdr.tdcs.secure_ept_lock,
                tdr.tdcs.epoch_lock,
            )

    def tdrs(self) -> list[Tdr]:
        return [page for page in self.module.memory.pages.values() if isinstance(page, Tdr)]

    def td(self, stage: Stage = Stage.INIT, home: int = HOME, hkid: int = HKID) -> Td:
        """Build a TD as far as asked; gives its range a pair if it has none."""
        if self.module.pamt.dynamic and not self.node(home).is_node:
            self.pair(home)
        td = Td(self, home)
        self.ok("MNG.CREATE", rcx=td.tdr, rdx=hkid)
        if stage >= Stage.KEYS:
            self.ok("MNG.KEY.CONFIG", rcx=td.tdr)
        if stage >= Stage.TDCX:
            for i in range(6):
                self.ok("MNG.ADDCX", rcx=page(home, 1 + i), rdx=td.tdr)
        if stage >= Stage.INIT:
            self.ok("MNG.INIT", rcx=td.tdr, rdx=PARAMS)
        if stage >= Stage.VCPU:
            td.vcpu()
        if stage >= Stage.RUNNABLE:
            self.ok("MR.FINALIZE", rcx=td.tdr)
        return td


class Td:
    """A TD under construction: the calls of its life, each of which has to succeed."""

    def __init__(self, lab: Lab, home: int) -> None:
        self.lab = lab
        self.home = home
        self.tdr = page(home)
        self.tables_added: list[tuple[int, int]] = []

    @property
    def structure(self) -> Tdr:
        return self.lab.module.tdr_at(self.tdr)

    def vcpu(self, index: int = 0, init: bool = True) -> int:
        """Build a vCPU on CPU 0; its TDVPR."""
        tdvpr = page(self.home, 64 + 8 * index)
        self.lab.ok("VP.CREATE", rcx=tdvpr, rdx=self.tdr)
        for i in range(1, 6):
            self.lab.ok("VP.ADDCX", rcx=tdvpr + i * SIZE_4K, rdx=tdvpr)
        if init:
            self.lab.ok("VP.INIT", rcx=tdvpr)
        return tdvpr

    def tables(self, gpa: int = GPA, down_to: int = 1) -> None:
        """Add the S-EPT pages a GPA lacks, so that an entry below level ``down_to`` exists."""
        for level in range(self.structure.tdcs.levels - 1, down_to - 1, -1):
            table = level, gpa >> 12 + 9 * level << 12 + 9 * level
            if table not in self.tables_added:
                hpa = page(self.home, 16 + len(self.tables_added))
                self.lab.ok("MEM.SEPT.ADD", rcx=table[1] | level, rdx=self.tdr, r8=hpa)
                self.tables_added.append(table)

    def aug(self, hpa: int, gpa: int = GPA, level: int = 0) -> None:
        self.tables(gpa, level + 1)
        self.lab.ok("MEM.PAGE.AUG", rcx=gpa | level, rdx=self.tdr, r8=hpa)

    def block(self, gpa: int = GPA, level: int = 0, track: bool = True) -> None:
        self.lab.ok("MEM.RANGE.BLOCK", rcx=gpa | level, rdx=self.tdr)
        if track:
            self.track()

    def track(self) -> None:
        self.lab.ok("MEM.TRACK", rcx=self.tdr)

    def remove(self, gpa: int = GPA, level: int = 0) -> Registers:
        return self.lab.ok("MEM.PAGE.REMOVE", rcx=gpa | level, rdx=self.tdr)

    def demote(self, gpa: int = GPA) -> tuple[int, int]:
        """Split a 2MB page with a new S-EPT page and a new pair; the pages of the pair."""
        hpa = page(self.home, 16 + len(self.tables_added))
        donors = self.lab.donors()
        r12, r13 = donors if self.lab.module.pamt.dynamic else (0, 0)
        self.lab.ok("MEM.PAGE.DEMOTE", rcx=gpa | 1, rdx=self.tdr, r8=hpa, r12=r12, r13=r13)
        self.tables_added.append((1, gpa))
        return donors

    def teardown(self) -> None:
        """Up to where its pages can be reclaimed."""
        lab = self.lab
        if self.structure.tdcs.num_assoc_vcpus:
            lab.ok("VP.FLUSH", rcx=page(self.home, 64))
        lab.ok("MNG.VPFLUSHDONE", rcx=self.tdr)
        lab.ok("PHYMEM.CACHE.WB")
        lab.ok("MNG.KEY.FREEID", rcx=self.tdr)
