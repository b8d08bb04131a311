"""A freeing call holds an entry inside a page that PAMT.REMOVE may give back meanwhile.

PAGE.REMOVE, RELOCATE and SEPT.REMOVE lock only the 4KB entry of the page they free. Once
they have set it free and counted it, nothing keeps the range's pair in place, and the
release of the entry's lock comes after that.
"""

from __future__ import annotations

from collections import Counter

import pytest
from attrs import evolve

from tdxfuzz.abi.address import pfn_of

from .lab import GPA, NEW, TDR, Lab, Result, page
from .races import Call, Ending, all_orders, call
from .states import Before

OK, USED, DEAD = "SUCCESS", "PAMT_PAGE_NOT_EMPTY|page 0", "SEAMCALL_VMFAILINVALID"
REMOVE = call("PHYMEM.PAMT.REMOVE", rcx=page(0) | 1)
RELOCATE = call("MEM.PAGE.RELOCATE", rcx=GPA, rdx=TDR, r8=NEW)
LAST = page(0, 9)
"""The only page in use of the range whose pair is removed."""
ENTRY = f"PAMT_4K[{LAST:#x}]"


def guest_page(lab: Lab) -> None:
    td = lab.td()
    lab.pair(0)
    td.aug(LAST)


def table(lab: Lab) -> None:
    td = lab.td()
    td.tables(down_to=2)
    lab.pair(0)
    lab.ok("MEM.SEPT.ADD", rcx=GPA | 1, rdx=TDR, r8=LAST)


FREEING = [
    pytest.param(guest_page, call("MEM.PAGE.REMOVE", rcx=GPA, rdx=TDR), id="MEM.PAGE.REMOVE"),
    pytest.param(guest_page, RELOCATE, id="MEM.PAGE.RELOCATE"),
    pytest.param(table, call("MEM.SEPT.REMOVE", rcx=GPA | 1, rdx=TDR), id="MEM.SEPT.REMOVE"),
]


def told(ending: Ending, what: str) -> list[object]:
    return [data for kind, data in ending.lab.watch.told if kind == what]


def scrub(lab: Lab, result: Result) -> None:
    """The host overwrites the pages it got back, as it does before it uses them."""
    if result.status.ok:
        for hpa in (result.regs.rdx, result.regs.r8):
            lab.module.memory.scrub(pfn_of(hpa))


@pytest.mark.parametrize(("before", "freeing"), FREEING)
def test_remove_meets_a_range_in_use_an_empty_one_or_one_in_between(
    before: Before, freeing: Call
) -> None:
    """In between (the entry is free, but still counted) the module shuts down."""
    fatal_ids: set[object] = set()
    outcomes = all_orders(
        before, freeing, REMOVE, lambda ending: fatal_ids.update(told(ending, "fatal"))
    )
    assert set(outcomes) == {(OK, USED), (OK, OK), (OK, DEAD)}
    assert fatal_ids == {343}


@pytest.mark.parametrize(("before", "freeing"), FREEING)
def test_releasing_an_entry_in_a_page_the_host_has_overwritten_is_fatal(
    before: Before, freeing: Call
) -> None:
    outcomes: Counter[tuple[str, str, object]] = Counter()

    def judge(ending: Ending) -> None:
        for fatal_id in told(ending, "fatal"):
            outcomes[*ending.outcome, fatal_id] += 1

    all_orders(before, freeing, evolve(REMOVE, afterwards=scrub), judge)
    assert set(outcomes) == {(OK, DEAD, 343), (DEAD, OK, 201)}


@pytest.mark.parametrize(("before", "freeing"), FREEING)
def test_a_page_is_reported_gone_exactly_once_by_the_call_that_frees_it(
    before: Before, freeing: Call
) -> None:
    alive = 0

    def judge(ending: Ending) -> None:
        nonlocal alive
        if ending.lab.module.dead is None:
            alive += 1
            assert told(ending, "page_gone") == [LAST]

    assert all_orders(before, freeing, REMOVE, judge).total() > alive > 100


def released_too_late(ending: Ending) -> bool:
    """The pair was gone before the freeing call had let go of the entry."""
    kinds = [kind for kind, _ in ending.lab.watch.told if kind != "touched"]
    return kinds == ["pair_removed", "page_gone"]


def test_the_watch_is_told_which_entry_in_which_page_is_touched() -> None:
    touched: list[object] = []
    first_of_pair = page(256, 2)

    def judge(ending: Ending) -> None:
        if released_too_late(ending):
            touched.extend(told(ending, "touched"))

    all_orders(guest_page, RELOCATE, REMOVE, judge)
    assert set(touched) == {(first_of_pair, ENTRY)}


@pytest.mark.parametrize(("before", "freeing"), FREEING)
def test_every_release_in_a_page_given_back_is_noticed(before: Before, freeing: Call) -> None:
    late: Counter[bool] = Counter()

    def judge(ending: Ending) -> None:
        if released_too_late(ending):
            late[bool(told(ending, "touched"))] += 1

    all_orders(before, freeing, REMOVE, judge)
    assert set(late) == {True}
