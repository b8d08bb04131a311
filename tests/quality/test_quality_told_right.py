"""Small inputs of many kinds that were answered wrongly once, each with its right answer.

Other rows of the same list stand where their kind is tested: spins without a step, prints, imports
of a neighbour, random numbers and module globals in ``tests/cli/test_cli_design_errors.py``;
histories and counters that run over in ``test_quality_lazy.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from lazy_designs import Batch2
from tdxfuzz.abi import Status, find
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host import kvm
from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Rwlock, Spinlock
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.host.kvm.seamcalls import Answer
from tdxfuzz.host.kvm.under import under
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.repro.columns import columns
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import SetupError, run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import Fault
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import first_quick, slow

BUDGET = Budget(cases=6_000)
RANGE_BLOCK = find("TDH.MEM.RANGE.BLOCK").number
PAGE_DEMOTE = find("TDH.MEM.PAGE.DEMOTE").number


def bucket_of(found: Run | None) -> str:
    assert found is not None
    assert found.finding is not None
    return found.finding.bucket


def first_of(layer: type[RefcountLayer], seed: int) -> Run:
    found = hunt(HuntPlan(layer.__name__, BUDGET, design=layer, seed=seed)).found
    assert found is not None
    return found


class WaitsForReaders(Merged):
    """A get waits for the end of an update, and is a reader; the update waits for readers."""

    table: Rwlock

    def setup(self) -> None:
        super().setup()
        self.table = self.rwlock("table")
        self.updates = self.atomic("updates")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.table.read():
            while self.updates.read() != 0:
                self.cpu_relax()
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        self.updates.inc()
        with self.table.write():
            self.updates.dec()
        super().put(pfn)


def test_a_reader_that_waits_for_a_writer_is_a_livelock_for_verify() -> None:
    case = SCENARIOS["map-zap"].case("WaitsForReaders")
    verified = verify(case, WaitsForReaders, Bounds())
    assert verified.verdict is Verdict.FAIL
    assert bucket_of(verified.found) == "livelock/-/-/retry loop"


@pytest.mark.parametrize("seed", first_quick(1, [1, 2, 3]))
def test_a_reader_that_waits_for_a_writer_is_a_livelock_for_a_hunt(seed: int) -> None:
    assert bucket_of(first_of(WaitsForReaders, seed)) == "livelock/-/-/retry loop"


class Armed(RefcountLayer):
    """Who finds a range armed counts itself, but looks and counts in two steps."""

    lock: Spinlock

    def setup(self) -> None:
        self.lock = self.spinlock("armed_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.read() != 0:
            refcount.inc()
            return 0
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        with self.lock:
            if refcount.inc_not_zero():
                result, used = 0, False
            else:
                used = self.pamt_add(pfn, pair).ok
                result = 0 if used else -EIO
                if used:
                    refcount.set(1)
        if not used:
            self.free_pair(pair)
        return result

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.lock:
            if not self.refcount(pfn).dec_and_test():
                return
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return
        self.free_pair(pair)


class ReadsThenCounts(V6):
    """v6 whose fast get reads the count, and then adds one to whatever it has become."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.read() > 0:
            refcount.add(1)
            return 0
        return super().get(pfn, cache)


@pytest.mark.parametrize("seed", first_quick(1, range(1, 4)))
@pytest.mark.parametrize("layer", [Armed, ReadsThenCounts])
def test_a_count_that_falls_to_0_between_look_and_add_is_found(
    layer: type[RefcountLayer], seed: int
) -> None:
    found = shrink(first_of(layer, seed), layer).run
    assert found.case.operations <= 3
    traced = run(found.case, layer, traced=True)
    assert "PAMT.REMOVE" in columns(traced) or "PAMT.ADD" in columns(traced)


@pytest.mark.parametrize("cpus", first_quick(1, [1, 2]))
def test_the_trace_of_a_history_names_its_calls(cpus: int) -> None:
    plan = HuntPlan("Batch2", BUDGET, design=Batch2, cpus=cpus)
    found = hunt(plan).found
    assert found is not None
    text = columns(run(shrink(found, Batch2).run.case, Batch2, traced=True))
    assert "PAMT.REMOVE" in text
    assert "0 operations" not in text


class Striped(Merged):
    """A few locks, one of them for each range; BUSY: again, with all other calls kept out."""

    tolerates = frozenset({"OPERAND_BUSY"})
    STRIPES = 8
    quiet: Rwlock

    def setup(self) -> None:
        super().setup()
        self.quiet = self.rwlock("quiet")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        with self.spinlock(f"stripe{(pfn >> 9) % self.STRIPES}"):
            if refcount.inc_not_zero():
                result, used = 0, False
            else:
                with self.quiet.read():
                    status = self.pamt_add(pfn, pair)
                if status.busy:
                    with self.quiet.write():
                        status = self.pamt_add(pfn, pair)
                used = status.ok
                result = 0 if used else -EIO
                if used:
                    refcount.set(1)
        if not used:
            self.free_pair(pair)
        return result

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.spinlock(f"stripe{(pfn >> 9) % self.STRIPES}"):
            if not self.refcount(pfn).dec_and_test():
                return
            with self.quiet.read():
                status, pair = self.pamt_remove(pfn)
            if status.busy:
                with self.quiet.write():
                    status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return
        self.free_pair(pair)

    around_demote = RefcountLayer.around_demote  # type: ignore[assignment]


class StripedAndQuiet(Striped):
    """The same, with all other calls kept out while a page is split."""

    def around_demote(self, pfn: int, pair: Pair) -> object:  # type: ignore[override]
        return self.quiet.write()


@slow
def test_verify_and_a_default_hunt_try_the_same_2mb_pages() -> None:
    """A hunt without them was clean where ``verify`` failed."""
    case = SCENARIOS["split-map"].case("Striped")
    assert verify(case, Striped, Bounds()).verdict is Verdict.FAIL
    case = evolve(case, design="StripedAndQuiet")
    assert verify(case, StripedAndQuiet, Bounds()).verdict is Verdict.PASS
    result = hunt(HuntPlan("Striped", Budget(cases=200), design=Striped))
    tried = {leaf for leaf, _ in result.statistics.calls}
    assert result.found is not None or PAGE_DEMOTE in tried


SPLIT = (Op.parse("accept4k 0 0"),)
SMALL = World(cpus=1, tds=1, slots=1, areas=1, entries=4)
FINALIZE = "TDH.MR.FINALIZE rcx=B128"


def split_after(*setup: str) -> Case:
    """The first SEAMCALL of a split, which blocks the range, is refused as busy."""
    return Case(
        "merged", SMALL, tuple(map(Op.parse, setup)), (SPLIT,), faults=(Fault("refuse", 0),)
    )


def test_a_set_up_that_needs_a_vcpu_and_has_none_is_refused_by_name() -> None:
    with pytest.raises(SetupError, match=r"FINALIZE rcx=B128' failed: NO_VCPUS"):
        run(split_after("create 0", FINALIZE, "map2m 0 0"))


def test_a_block_that_is_refused_once_is_made_again() -> None:
    """KVM kicks the vCPUs and calls once more; then the split succeeds."""
    again = run(split_after("create 0", "vcpu 0", FINALIZE, "map2m 0 0"), traced=True)
    assert again.finding is None
    assert sum(count for (leaf, _), count in again.calls.items() if leaf == RANGE_BLOCK) == 2
    assert again.calls[PAGE_DEMOTE, 0] == 1


class TakesBusyForDone(kvm.Kvm):
    """Goes on although the block was refused."""

    def range_block(self, vm: Vm, gpa: int, level: int) -> Answer:
        status, registers = super().range_block(vm, gpa, level)
        return (Status(0), registers) if status.busy else (status, registers)


def test_a_split_that_goes_on_without_a_block_is_found_once_the_td_is_final() -> None:
    """Before a TD is final, the module does not ask whether the range is blocked."""
    goes_on = under(Merged, TakesBusyForDone)
    final = run(split_after("create 0", "vcpu 0", FINALIZE, "map2m 0 0"), goes_on)
    assert bucket_of(final) == "unexpected-status/TDH.MEM.PAGE.DEMOTE/GPA_RANGE_NOT_BLOCKED/-"
    assert run(split_after("create 0", "map2m 0 0"), goes_on).finding is None


RANDOM = (
    "import random\n"
    "from tdxfuzz.host.designs.merged import Merged\n"
    "class Mine(Merged):\n"
    " def put(self, pfn):\n"
    "  if random.random() < 0.5: self.refcount(pfn).read()\n"
    "  super().put(pfn)\n"
)
RAISES = (
    "from tdxfuzz.host.designs.merged import Merged\n"
    "class Mine(Merged):\n"
    " def put(self, pfn):\n"
    "  raise BaseException('no')\n"
)


@pytest.mark.parametrize(
    "command",
    [
        ("hunt", "mine.py", "--time", "5s", "--seed", "1"),
        ("verify", "mine.py", "--time", "5s", "--scenario", "map-zap"),
        ("campaign", "run", "kept", "mine.py", "--time", "5s", "--workers", "1"),
    ],
    ids=["hunt", "verify", "campaign"],
)
@pytest.mark.parametrize(
    ("source", "told"), [(RANDOM, "not deterministic"), (RAISES, "raised BaseException")]
)
def test_a_design_at_fault_is_told_by_every_command(
    command: tuple[str, ...], source: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tdxfuzz", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stderr + done.stdout
    assert "Traceback" not in done.stderr.replace("Traceback of the design", "")
