"""The matrix: each kind of cell, and why."""

from __future__ import annotations

from tdxfuzz.run.session import run
from tdxfuzz.survey.matrix import (
    COLUMNS,
    HUGE_PAGES,
    Effort,
    MatrixCell,
    MatrixEntry,
    markdown,
    row,
)
from tiers import slow

BRIEF = Effort(scenario_seconds=30, hunt_seconds=1, scenarios=("zap-remap",))


def cells(design: str, effort: Effort = BRIEF) -> dict[str, MatrixEntry]:
    return {entry.check: entry for entry in row(design, None, effort)}


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
    effort = Effort(scenario_seconds=0, hunt_seconds=0, scenarios=("zap-remap", "split-map"))
    entries = cells("v6", effort)
    reached = "the bound of 0 s was reached"
    assert entries.pop(HUGE_PAGES).why == f"split-map: {reached}"
    for entry in entries.values():
        assert entry.cell is MatrixCell.UNKNOWN
        assert entry.why == f"zap-remap: {reached}; split-map: {reached}"


@slow
def test_what_scenarios_with_2mb_pages_find_has_a_column() -> None:
    effort = Effort(scenario_seconds=60, hunt_seconds=0, scenarios=("split-map",))
    v5, v6 = cells("v5", effort), cells("v6", effort)
    assert v5[HUGE_PAGES].cell is v5["irq-safety"].cell is MatrixCell.FOUND
    assert v6[HUGE_PAGES].cell is v6["irq-safety"].cell is MatrixCell.CLEAN
    found = v5[HUGE_PAGES].found
    assert found is not None
    assert run(found).finding is not None
    assert "never" in cells("v6")[HUGE_PAGES].why


@slow
def test_a_failed_allocation_is_tried_at_every_place() -> None:
    entries = cells("v3", Effort(30, 0, scenarios=("zap-zap",)))
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
