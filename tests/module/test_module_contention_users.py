"""ADD and REMOVE against the calls that use a range: always one side or the other."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_4K

from .lab import GPA, PARAMS, TDR, TDVPR, Lab, Stage, page
from .races import Call, Ending, all_orders, call
from .states import Before, nothing, paired, tables, then, upper_tables

OK, BUSY, NO_PAIR = "SUCCESS", "OPERAND_BUSY|RCX", "NO_PAMT_PAGE_PAIR|RCX"
USED = "PAMT_PAGE_NOT_EMPTY|page 0"
ADD = call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(300), r8=page(301))
REMOVE = call("PHYMEM.PAMT.REMOVE", rcx=page(0) | 1)
GUEST = page(0, 9)


def td_with_keys(lab: Lab) -> None:
    lab.td(Stage.KEYS)


def td_with_vcpu_page(lab: Lab) -> None:
    lab.td()
    lab.ok("VP.CREATE", rcx=TDVPR, rdx=TDR)


USERS = [
    pytest.param(nothing, call("MNG.CREATE", rcx=GUEST, rdx=41), "RCX", id="MNG.CREATE"),
    pytest.param(td_with_keys, call("MNG.ADDCX", rcx=GUEST, rdx=TDR), "RCX", id="MNG.ADDCX"),
    pytest.param(tables, call("VP.CREATE", rcx=GUEST, rdx=TDR), "RCX", id="VP.CREATE"),
    pytest.param(td_with_vcpu_page, call("VP.ADDCX", rcx=GUEST, rdx=TDVPR), "RCX", id="VP.ADDCX"),
    pytest.param(
        upper_tables,
        call("MEM.SEPT.ADD", rcx=GPA | 1, rdx=TDR, r8=GUEST),
        "R8",
        id="MEM.SEPT.ADD",
    ),
    pytest.param(tables, call("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=GUEST), "R8", id="MEM.PAGE.AUG"),
    pytest.param(
        tables,
        call("MEM.PAGE.ADD", rcx=GPA, rdx=TDR, r8=GUEST, r9=PARAMS),
        "R8",
        id="MEM.PAGE.ADD",
    ),
]


@pytest.mark.parametrize(("before", "user", "operand"), USERS)
def test_remove_against_a_user_of_the_range(before: Before, user: Call, operand: str) -> None:
    outcomes = all_orders(then(before, paired), REMOVE, user)
    assert set(outcomes) == {
        (OK, f"MISSING_PAMT_PAGE_PAIR|{operand}"),
        (OK, f"OPERAND_BUSY|{operand}"),
        (BUSY, OK),
        (USED, OK),
    }


@pytest.mark.parametrize(("before", "user", "operand"), USERS)
def test_add_against_a_user_of_the_range(before: Before, user: Call, operand: str) -> None:
    """A user that comes too early holds the 2MB entry exclusive for a moment."""
    missing, busy = f"MISSING_PAMT_PAGE_PAIR|{operand}", f"OPERAND_BUSY|{operand}"
    outcomes = all_orders(before, ADD, user)
    assert set(outcomes) == {(OK, OK), (OK, missing), (OK, busy), (BUSY, missing), (BUSY, busy)}


@pytest.mark.parametrize(
    ("donors", "busy"),
    [
        pytest.param({"rdx": page(0, 1), "r8": page(0, 2)}, "OPERAND_BUSY|RDX", id="both"),
        pytest.param({"rdx": page(300), "r8": page(0, 2)}, "OPERAND_BUSY|R8", id="second"),
    ],
)
def test_a_create_in_an_unpaired_range_disturbs_donors_of_that_range(
    donors: dict[str, int], busy: str
) -> None:
    """And says BUSY instead of MISSING while the donor is looked at."""
    add = call("PHYMEM.PAMT.ADD", rcx=page(1) | 1, **donors)
    outcomes = all_orders(nothing, add, call("MNG.CREATE", rcx=GUEST, rdx=41))
    missing = "MISSING_PAMT_PAGE_PAIR|RCX"
    assert set(outcomes) == {(OK, missing), (OK, BUSY), (busy, missing)}


def test_a_page_given_as_donor_and_taken_by_create_goes_to_one_of_them() -> None:
    add = call("PHYMEM.PAMT.ADD", rcx=page(1) | 1, rdx=GUEST, r8=page(301))
    create = call("MNG.CREATE", rcx=GUEST, rdx=41)
    outcomes = all_orders(then(nothing, paired), add, create)
    assert set(outcomes) == {
        (OK, "PAGE_METADATA_INCORRECT|RCX"),
        (OK, BUSY),
        ("PAGE_NOT_FREE|RDX", OK),
        ("OPERAND_BUSY|RDX", OK),
    }


def test_remove_against_a_large_page_on_the_same_range() -> None:
    aug = call("MEM.PAGE.AUG", rcx=GPA | 1, rdx=TDR, r8=page(0))
    outcomes = all_orders(then(upper_tables, paired), REMOVE, aug)
    busy, wrong = "OPERAND_BUSY|R8", "PAGE_METADATA_INCORRECT|R8"
    assert set(outcomes) == {(OK, OK), (OK, wrong), (OK, busy), (BUSY, wrong), (BUSY, busy)}


def test_add_against_a_large_page_on_the_same_range() -> None:
    aug = call("MEM.PAGE.AUG", rcx=GPA | 1, rdx=TDR, r8=page(0))
    outcomes = all_orders(upper_tables, ADD, aug)
    busy, wrong = "OPERAND_BUSY|R8", "PAGE_METADATA_INCORRECT|R8"
    assert set(outcomes) == {
        (OK, wrong),
        (OK, busy),
        ("HPA_RANGE_NOT_FREE|RCX", OK),
        (BUSY, OK),
        (BUSY, busy),
    }


def test_reclaiming_the_last_page_holds_the_range_so_remove_waits_for_it() -> None:
    def one_page_left(lab: Lab) -> None:
        td = lab.td()
        lab.pair(0)
        td.aug(GUEST)
        td.teardown()

    outcomes = all_orders(one_page_left, REMOVE, call("PHYMEM.PAGE.RECLAIM", rcx=GUEST))
    assert set(outcomes) == {(OK, OK), (USED, OK), (BUSY, OK), (USED, BUSY)}


def test_the_hint_is_given_to_exactly_one_of_two_freeing_calls() -> None:
    def two_pages_left(lab: Lab) -> None:
        td = lab.td()
        lab.pair(0)
        td.aug(GUEST)
        td.aug(page(0, 10), GPA + SIZE_4K)

    hints: set[tuple[bool, bool]] = set()

    def judge(ending: Ending) -> None:
        if ending.outcome == (OK, OK):
            first, second = (result.regs.rcx >> 62 & 1 for result in ending.results)
            hints.add((bool(first), bool(second)))

    first = call("MEM.PAGE.REMOVE", rcx=GPA, rdx=TDR)
    second = call("MEM.PAGE.REMOVE", rcx=GPA + SIZE_4K, rdx=TDR)
    outcomes = all_orders(two_pages_left, first, second, judge)
    assert set(outcomes) == {(OK, OK)}
    assert hints == {(True, False), (False, True)}
