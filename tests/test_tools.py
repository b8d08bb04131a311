"""The generated pages are what they would be if they were made now, and how they are made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from module.lab import HOME, NEW, TDR, Lab, Stage, page
from tiers import slow
from tools.behaviour import unshown
from tools.concurrency import merge, render
from tools.notebook import Notebook
from tools.observe import Observation, Taken, observing
from tools.statuses import producible

ROOT = Path(__file__).parent.parent


@slow
def test_the_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode == 0


def observed(leaf: str, stage: Stage, **registers: int) -> Observation:
    lab = Lab()
    lab.td(stage)
    seen: list[Observation] = []
    with observing(seen.append):
        lab.call(leaf, **registers)
    (only,) = seen
    return only


def test_a_walk_is_named_after_the_operand_it_leads_to() -> None:
    vp_create = observed("VP.CREATE", Stage.INIT, rcx=NEW, rdx=TDR)
    assert [str(item) for item in vp_create.taken] == [
        "1G[RDX] SH",
        "2M[RDX] SH",
        "4K[RDX] SH",
        "OP_STATE SH",
        "1G[RCX] SH",
        "2M[RCX] SH",
        "4K[RCX] EX",
        "CHLDCNT +1",
        "PAGE_COUNT +1",
    ]
    assert vp_create.released == ()


def test_a_lock_that_failed_and_an_entry_reached_without_a_walk_are_marked() -> None:
    lab = Lab()
    lab.td(Stage.INIT).teardown()
    assert lab.entry(TDR).acquire_ex()
    seen: list[Observation] = []
    with observing(seen.append):
        lab.call("PHYMEM.PAGE.RECLAIM", rcx=page(HOME, 1))
    assert seen[0].status == "OPERAND_BUSY|TDR"
    assert str(seen[0].taken[-1]) == "4K[its TDR] SH ✗"


def test_orders_are_merged_if_they_do_not_contradict_each_other() -> None:
    a, b, c = (Taken(name, "SH") for name in "abc")
    assert merge([(a, c), (a, b, c)]) == [(a, True), (b, False), (c, True)]
    assert merge([(a, b), (b, a)]) is None
    assert merge([(a, a), (a,)]) == [(a, True), (a, False)]


def test_what_is_only_sometimes_taken_stands_in_parentheses() -> None:
    a, b = Taken("a", "SH"), Taken("b", "EX", ok=False)
    text = render([Observation("L", "X|Y", (a, b), ()), Observation("L", "X|Y", (b,), ("q", "p"))])
    assert "| `X\\|Y` | (a SH), b EX ✗ |" in text


def test_a_status_that_nothing_shows_is_a_problem() -> None:
    can = {"TDH.MNG.CREATE": frozenset({"SUCCESS", "HKID_NOT_FREE"})}
    seen = {("TDH.MNG.CREATE", "SUCCESS"), ("TDH.MNG.CREATE", "NO_VCPUS")}
    assert unshown(can, {}, seen) == [
        "TDH.MNG.CREATE: HKID_NOT_FREE is never reached",
        "TDH.MNG.CREATE: NO_VCPUS was seen, but is not expected",
    ]


def test_statuses_are_found_through_the_helpers_of_a_leaf() -> None:
    can = producible()
    assert can["TDH.MNG.KEY.RECLAIMID"] == {"SUCCESS"}
    assert {"MISSING_PAMT_PAGE_PAIR", "HKID_NOT_FREE", "OPERAND_BUSY"} < can["TDH.MNG.CREATE"]
    assert "TLB_TRACKING_NOT_DONE" not in can["TDH.MEM.PAGE.AUG"]


def test_a_notebook_reads_back_what_it_wrote(tmp_path: Path) -> None:
    note = Notebook()
    with note.listening():
        Lab().td()
    note.write(tmp_path / "note.json")
    assert Notebook.read(tmp_path / "note.json") == note
    assert ("TDH.MNG.INIT", "SUCCESS") in note.seen
