"""The plain loads and stores of each leaf that somebody else can come between.

Locked instructions are in the recordings, one event each; these are not.
"""

from __future__ import annotations

import pytest

from tdxfuzz.module.td_fields import FIELDS
from tdxfuzz.sim import RMW, Cpu, Simulator, Why, access_name

from .guests import Script
from .lab import GPA, NEW, PARAMS, TDR, TDVPR, Lab, Stage, page
from .races import Call, call
from .states import (
    Before,
    at,
    home_paired,
    nothing,
    page_added,
    page_mapped,
    page_tracked,
    paired,
    tables,
    upper_tables,
)


class PlainAccesses:
    """A policy that notes each announced load and store, and never switches."""

    due = -1

    def __init__(self) -> None:
        self.seen: list[str] = []

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu = sim.current
        assert cpu.next_cell is not None
        if not cpu.next_access & RMW:
            kind = cpu.next_cell.name.split("[")[0]
            self.seen.append(f"{access_name(cpu.next_access)} {kind}")
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        return next((cpu for cpu in sim.cpus if cpu.runnable), None)

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nobody sleeps."""


def with_page_torn_down(lab: Lab) -> None:
    td = lab.td()
    td.aug(NEW)
    td.teardown()


def with_vcpu_page(lab: Lab) -> None:
    lab.td()
    lab.ok("VP.CREATE", rcx=TDVPR, rdx=TDR)


def table_tracked(lab: Lab) -> None:
    td = lab.td(Stage.RUNNABLE)
    td.tables()
    td.block(level=1)


def large_page_tracked(lab: Lab) -> None:
    td = lab.td(Stage.RUNNABLE)
    td.aug(page(0), level=1)
    td.block(level=1)


def split_tracked(lab: Lab) -> None:
    td = lab.td(Stage.VCPU)
    td.aug(page(0), level=1)
    td.demote()
    lab.ok("MR.FINALIZE", rcx=TDR)
    td.block(level=1)


def accepting(lab: Lab) -> None:
    page_mapped(lab)
    lab.lps[0].guest = Script(call("MEM.PAGE.ACCEPT", rcx=GPA))


BITMAP, ENTRY, PAGE, EPOCH = "read BITMAP_QWORD", "read SEPTE", "read PAMT_4K", "read EPOCH"
FREED = "write PAMT_4K"
"""PT = NDA, a plain store."""
DONORS = {"r12": page(300), "r13": page(301)}
ON_TD = {"rcx": GPA, "rdx": TDR}
ID = {field.name: field.first for field in FIELDS}
LARGE = {"rcx": GPA | 1, "rdx": TDR}


def noted(before: Before, made: Call, *accesses: str) -> object:
    return pytest.param(before, made, list(accesses), id=f"{made.leaf}-{len(accesses)}")


ROWS = [
    noted(nothing, call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(300), r8=page(301))),
    noted(
        paired,
        call("PHYMEM.PAMT.REMOVE", rcx=page(0) | 1),
        *("read PAMT_2M", "read PAGE_COUNT"),
    ),
    noted(paired, call("PHYMEM.PAGE.RDMD", rcx=page(0)), PAGE, BITMAP),
    noted(paired, call("PHYMEM.PAGE.WBINVD", rcx=page(0)), BITMAP),
    noted(with_page_torn_down, call("PHYMEM.PAGE.RECLAIM", rcx=NEW), PAGE),
    noted(home_paired, call("MNG.CREATE", rcx=TDR, rdx=40), BITMAP),
    noted(at(Stage.KEYS), call("MNG.ADDCX", rcx=NEW, rdx=TDR), BITMAP),
    noted(at(Stage.INIT), call("VP.CREATE", rcx=TDVPR, rdx=TDR), BITMAP),
    noted(with_vcpu_page, call("VP.ADDCX", rcx=NEW, rdx=TDVPR), PAGE, BITMAP),
    noted(
        tables,
        call("MEM.PAGE.ADD", **ON_TD, r8=NEW, r9=PARAMS),
        *(ENTRY, BITMAP, "write SEPTE"),
    ),
    noted(tables, call("MEM.PAGE.AUG", **ON_TD, r8=NEW), ENTRY, BITMAP, ENTRY, FREED),
    noted(
        upper_tables,
        call("MEM.PAGE.AUG", **LARGE, r8=page(0)),
        *(ENTRY, BITMAP, BITMAP, ENTRY, "write PAMT_2M"),
    ),
    noted(
        page_mapped, call("MEM.RANGE.BLOCK", **ON_TD), ENTRY, ENTRY, PAGE, EPOCH, "write PAMT_4K"
    ),
    noted(page_tracked, call("MEM.RANGE.UNBLOCK", **ON_TD), ENTRY, PAGE, EPOCH, ENTRY),
    noted(page_mapped, call("MEM.TRACK", rcx=TDR), "write EPOCH"),
    noted(page_tracked, call("MEM.PAGE.REMOVE", **ON_TD), ENTRY, PAGE, EPOCH, ENTRY, FREED),
    noted(
        page_tracked,
        call("MEM.PAGE.RELOCATE", **ON_TD, r8=page(8, 400)),
        *(ENTRY, PAGE, EPOCH, BITMAP, FREED, ENTRY),
    ),
    noted(upper_tables, call("MEM.SEPT.ADD", **LARGE, r8=NEW), ENTRY, BITMAP, ENTRY),
    noted(table_tracked, call("MEM.SEPT.REMOVE", **LARGE), ENTRY, PAGE, EPOCH, ENTRY, FREED),
    noted(
        large_page_tracked,
        call("MEM.PAGE.DEMOTE", **LARGE, r8=NEW, **DONORS),
        *(ENTRY, "read PAMT_2M", EPOCH, BITMAP, "read SEPT_TREE", ENTRY),
    ),
    noted(
        split_tracked,
        call("MEM.PAGE.PROMOTE", **LARGE),
        *(ENTRY, PAGE, EPOCH, "read SEPT_TREE", "read PAMT_2M", ENTRY, FREED),
    ),
]


ENTERED = (PAGE, "read TDVPS", "write TDVPS")
LEFT = "write TDVPS"
TIMEOUT = "HP_LOCK_TIMEOUT"
ROWS += [
    noted(page_mapped, call("VP.ENTER", rcx=TDVPR), *ENTERED, LEFT),
    # Four on the walk, one that looks for host priority, one that begins the update.
    noted(accepting, call("VP.ENTER", rcx=TDVPR), *ENTERED, *[ENTRY] * 6, LEFT),
    noted(page_mapped, call("MEM.SEPT.RD", **ON_TD), ENTRY),
    noted(page_added, call("MR.EXTEND", **ON_TD), ENTRY),
    noted(page_mapped, call("MNG.RD", rcx=TDR, rdx=ID["TD_EPOCH"]), EPOCH),
    noted(page_mapped, call("MNG.RD", rcx=TDR, rdx=ID["REFCOUNT"]), EPOCH),
    noted(page_mapped, call("MNG.RD", rcx=TDR, rdx=ID["CHLDCNT"]), "read CHLDCNT"),
    noted(
        page_mapped,
        call("MNG.WR", rcx=TDR, rdx=ID[TIMEOUT], r8=20_000, r9=(1 << 64) - 1),
        *(f"read {TIMEOUT}", f"write {TIMEOUT}"),
    ),
]


@pytest.mark.parametrize(("before", "made", "accesses"), ROWS)
def test_plain_accesses_in_order(before: Before, made: Call, accesses: list[str]) -> None:
    lab = Lab()
    before(lab)
    lab.sim.policy = policy = PlainAccesses()
    results: list[str] = []

    def body() -> None:
        results.append(lab.call(made.leaf, **made.registers).text)

    lab.sim.run([body])
    assert results == ["SUCCESS"]
    assert policy.seen == accesses
