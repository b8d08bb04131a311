"""The matrix: each kind of cell, and why."""

from __future__ import annotations

from tdxfuzz.case.scenarios import SCENARIOS, Scenario
from tdxfuzz.host.design import AtomicT, PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.session import run
from tdxfuzz.survey.matrix import (
    COLUMNS,
    HUGE_PAGES,
    RUNNING,
    Effort,
    MatrixCell,
    MatrixEntry,
    row,
)
from tdxfuzz.survey.matrix_page import markdown
from tdxfuzz.verify.loops import LIVELOCK
from tdxfuzz.verify.progress import LoopKind
from tiers import slow


def chosen(*names: str) -> tuple[Scenario, ...]:
    return tuple(SCENARIOS[name] for name in names)


NO_HUNT = Effort(scenario_seconds=60, hunt_seconds=0, scenarios=chosen("zap-remap"))
BRIEF = Effort(scenario_seconds=30, hunt_seconds=1, scenarios=chosen("zap-remap"))


def cells(design: str, effort: Effort = BRIEF) -> dict[str, MatrixEntry]:
    return {entry.check: entry for entry in row(design, None, effort)}


@slow
def test_one_finding_does_not_hide_another() -> None:
    entries = cells("v4")
    assert list(entries) == list(COLUMNS)
    assert {"unexpected-status", "refcount"} <= {
        check for check, entry in entries.items() if entry.cell is MatrixCell.FOUND
    }
    for check, entry in entries.items():
        if entry.found is not None:
            finding = run(entry.found).finding
            assert finding is not None
            assert finding.check == check


@slow
def test_a_sound_design_has_nothing_found() -> None:
    entries = cells("v6")
    assert {entry.cell for entry in entries.values()} <= {MatrixCell.CLEAN, MatrixCell.UNKNOWN}
    assert entries["pamt-in-use"].cell is MatrixCell.CLEAN
    assert entries["refcount"].bounds == (
        "on 2 CPUs all orders of zap-remap; in the life of a TD one run for each allocation that "
        "fails, each SEAMCALL that is interrupted, and each SEAMCALL that gets no entropy; a hunt "
        "of 1 s on 3 CPUs"
    )


@slow
def test_a_search_cut_short_leaves_all_unknown() -> None:
    effort = Effort(scenario_seconds=0, hunt_seconds=0, scenarios=chosen("zap-remap", "split-map"))
    entries = cells("v6", effort)
    reached = "the bound of 0 s was reached"
    assert entries.pop(HUGE_PAGES).why == f"split-map: {reached}"
    assert entries.pop(RUNNING).why == "it never happened that a vCPU was entered"
    for entry in entries.values():
        assert entry.cell is MatrixCell.UNKNOWN
        assert entry.why == f"zap-remap: {reached}; split-map: {reached}"


@slow
def test_what_scenarios_with_2mb_pages_find_has_a_column() -> None:
    effort = Effort(scenario_seconds=60, hunt_seconds=0, scenarios=chosen("split-map"))
    v5, v6 = cells("v5", effort), cells("v6", effort)
    assert v5[HUGE_PAGES].cell is v5["irq-safety"].cell is MatrixCell.FOUND
    assert v6[HUGE_PAGES].cell is v6["irq-safety"].cell is MatrixCell.CLEAN
    found = v5[HUGE_PAGES].found
    assert found is not None
    assert run(found).finding is not None
    assert "never" in cells("v6")[HUGE_PAGES].why


@slow
def test_what_scenarios_with_running_tds_find_has_a_column() -> None:
    effort = Effort(scenario_seconds=60, hunt_seconds=0, scenarios=chosen("zap-zap", "convert-run"))
    hint, merged = cells("hint", effort)[RUNNING], cells("merged", effort)[RUNNING]
    assert hint.cell is MatrixCell.FOUND
    assert hint.found is not None
    assert any(op.name == "enter" for program in hint.found.programs or () for op in program)
    assert merged.cell is MatrixCell.CLEAN
    assert cells("merged")[RUNNING].why == "it never happened that a vCPU was entered"


@slow
def test_a_failed_allocation_is_tried_at_every_place() -> None:
    entries = cells("v3", Effort(30, 0, scenarios=chosen("zap-zap")))
    found = entries["page-leak"].found
    assert found is not None
    assert [fault.kind for fault in found.faults] == ["alloc"]


def test_the_page_shows_cells_links_and_reasons() -> None:
    entries = [
        MatrixEntry("good", "refcount", MatrixCell.CLEAN, "some bounds"),
        MatrixEntry("good", "livelock", MatrixCell.UNKNOWN, "some bounds", "never: a loop"),
        MatrixEntry("bad", "refcount", MatrixCell.FOUND, "some bounds"),
        MatrixEntry("bad", "livelock", MatrixCell.CLEAN, "some bounds"),
    ]
    page = markdown(entries, "tdxfuzz matrix", {("bad", "refcount"): "bad.tdx.toml"})
    assert "| design | refcount | livelock |" in page
    assert "| good | clean | ? |" in page
    assert "| bad | [**found**](bad.tdx.toml) | clean |" in page
    assert page.endswith("## Unknown, and why\n\n- good: never: a loop\n")


def test_the_page_says_which_kind_of_loop_it_is() -> None:
    entries = [
        MatrixEntry("one", "livelock", MatrixCell.FOUND, "bounds", loop=LoopKind.STARVATION),
        MatrixEntry("two", "livelock", MatrixCell.DECLARED, "bounds"),
    ]
    page = markdown(entries, "tdxfuzz matrix", {("one", "livelock"): "one.tdx.toml"})
    assert "| one | [**starvation**](one.tdx.toml) |" in page
    assert "| two | declared |" in page


class Accepts(Merged):
    """Waits in a way that may starve, and says so."""

    may_starve = "try-locks"

    def setup(self) -> None:
        super().setup()
        self.busy = self.atomic("busy")
        self.other = self.atomic("other")

    def put(self, pfn: int, hint: bool = False) -> None:
        self.take(self.busy, self.other)
        super().put(pfn, hint)
        self.give()

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.take(self.other, self.busy)
        result = super().get(pfn, cache)
        self.give()
        return result

    def take(self, first: AtomicT, second: AtomicT) -> None:
        while True:
            if first.cmpxchg(0, 1) == 0:
                if second.cmpxchg(0, 1) == 0:
                    return
                first.set(0)
            self.cpu_relax()

    def give(self) -> None:
        self.busy.set(0)
        self.other.set(0)


class DoesNotAccept(Accepts):
    """The same, undeclared."""

    may_starve = ""


def livelock_cell(design: type[RefcountLayer]) -> MatrixEntry:
    (entry,) = [entry for entry in row(design.__name__, design, NO_HUNT) if entry.check == LIVELOCK]
    return entry


@slow
def test_the_livelock_cell_is_decided_without_a_retry_loop() -> None:
    assert cells("v6", NO_HUNT)["livelock"].cell is MatrixCell.CLEAN


@slow
def test_the_livelock_cell_says_what_was_declared_and_what_was_found() -> None:
    assert livelock_cell(Accepts).cell is MatrixCell.DECLARED
    found = livelock_cell(DoesNotAccept)
    assert (found.cell, found.loop) == (MatrixCell.FOUND, LoopKind.STARVATION)


def test_interrupted_cells_are_unknown_and_say_so() -> None:
    runs = iter(range(100))
    entries = {
        entry.check: entry for entry in row("v6", None, BRIEF, stop=lambda: next(runs, 100) >= 20)
    }
    assert {entry.cell for entry in entries.values()} == {MatrixCell.UNKNOWN}
    assert entries["refcount"].why == "zap-remap: interrupted; faults and hunt: interrupted"
