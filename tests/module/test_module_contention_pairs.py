"""ADD and REMOVE against each other: every outcome that two switches can bring about."""

from __future__ import annotations

from .lab import Lab, Stage, page
from .races import Call, Outcome, all_orders, call
from .states import nothing, paired

BUSY, OK = "OPERAND_BUSY|RCX", "SUCCESS"
NOT_FREE, NO_PAIR = "HPA_RANGE_NOT_FREE|RCX", "NO_PAMT_PAGE_PAIR|RCX"
DONOR_BUSY, DONOR_USED, SECOND_USED = "OPERAND_BUSY|RDX", "PAGE_NOT_FREE|RDX", "PAGE_NOT_FREE|R8"


def add(target: int, rdx: int, r8: int) -> Call:
    return call("PHYMEM.PAMT.ADD", rcx=page(target) | 1, rdx=rdx, r8=r8)


def remove(target: int) -> Call:
    return call("PHYMEM.PAMT.REMOVE", rcx=page(target) | 1)


def both_ways(*outcomes: Outcome) -> set[Outcome]:
    """Outcomes of two like calls: each may come out either way round."""
    return {*outcomes, *((b, a) for a, b in outcomes)}


def paired_donors(lab: Lab) -> None:
    lab.pair(300)


def test_two_adds_of_one_range() -> None:
    """The loser is busy, or too late; both are busy if both share before either promotes."""
    outcomes = all_orders(nothing, add(0, page(300), page(301)), add(0, page(302), page(303)))
    assert set(outcomes) == both_ways((OK, BUSY), (OK, NOT_FREE), (BUSY, BUSY))


def test_two_removes_of_one_range() -> None:
    outcomes = all_orders(paired, remove(0), remove(0))
    assert set(outcomes) == both_ways((OK, BUSY), (OK, NO_PAIR), (BUSY, BUSY))


def test_remove_and_add_of_one_range() -> None:
    outcomes = all_orders(paired, remove(0), add(0, page(300), page(301)))
    assert set(outcomes) == {
        (OK, OK),
        (OK, NOT_FREE),
        (OK, BUSY),
        (BUSY, NOT_FREE),
        (BUSY, BUSY),
    }


def test_adds_with_donors_of_one_unpaired_range_never_conflict() -> None:
    first, second = add(0, page(300), page(300, 1)), add(1, page(300, 2), page(300, 3))
    assert set(all_orders(nothing, first, second)) == {(OK, OK)}


def test_adds_with_donors_of_one_paired_range_never_conflict() -> None:
    first, second = add(0, page(300), page(300, 1)), add(1, page(300, 2), page(300, 3))
    assert set(all_orders(paired_donors, first, second)) == {(OK, OK)}


def test_one_donor_page_for_two_ranges_is_used_never_busy() -> None:
    first, second = add(0, page(300), page(301)), add(1, page(300), page(302))
    assert set(all_orders(nothing, first, second)) == both_ways((OK, DONOR_USED))


def test_one_second_donor_page_for_two_ranges_is_used_never_busy() -> None:
    first, second = add(0, page(300), page(301)), add(1, page(302), page(301))
    assert set(all_orders(nothing, first, second)) == both_ways((OK, SECOND_USED))


def test_swapped_donors_can_fail_both() -> None:
    first, second = add(0, page(300), page(301)), add(1, page(301), page(300))
    outcomes = all_orders(nothing, first, second)
    assert set(outcomes) == both_ways(
        (OK, DONOR_USED), (OK, SECOND_USED), (SECOND_USED, SECOND_USED)
    )


def test_donors_in_the_others_target() -> None:
    """Busy for the one that gives, or for the one whose range it is."""
    first, second = add(0, page(1, 5), page(1, 6)), add(1, page(300), page(301))
    assert set(all_orders(nothing, first, second)) == {(OK, OK), (DONOR_BUSY, OK), (OK, BUSY)}


def test_a_second_donor_in_the_others_target_is_busy_as_r8() -> None:
    first, second = add(0, page(302), page(1, 6)), add(1, page(300), page(301))
    outcomes = all_orders(nothing, first, second)
    assert set(outcomes) == {(OK, OK), ("OPERAND_BUSY|R8", OK), (OK, BUSY)}


def test_each_giving_pages_of_the_others_target_may_fail_both_but_never_hangs() -> None:
    first, second = add(0, page(1, 5), page(1, 6)), add(1, page(0, 5), page(0, 6))
    outcomes = all_orders(nothing, first, second)
    assert set(outcomes) == both_ways(
        (OK, OK), (OK, BUSY), (OK, DONOR_BUSY), (DONOR_BUSY, DONOR_BUSY)
    )


def test_a_redundant_add_is_not_free_when_quiet_and_busy_under_use() -> None:
    create = call("MNG.CREATE", rcx=page(0, 9), rdx=40)
    outcomes = all_orders(paired, add(0, page(300), page(301)), create)
    assert set(outcomes) == {(NOT_FREE, OK), (BUSY, OK), (NOT_FREE, BUSY)}


def test_a_redundant_add_against_a_freeing_call_of_the_range() -> None:
    """It never succeeds, and the page is freed unless the ADD holds the range just then."""

    def torn_down(lab: Lab) -> None:
        lab.td(Stage.CREATED).teardown()

    reclaim = call("PHYMEM.PAGE.RECLAIM", rcx=page(8))
    outcomes = all_orders(torn_down, add(8, page(300), page(301)), reclaim)
    assert set(outcomes) == {(NOT_FREE, OK), (BUSY, OK), (NOT_FREE, BUSY)}


def test_adds_of_different_ranges_with_different_donors_do_not_meet() -> None:
    first, second = add(0, page(300), page(301)), add(1, page(302), page(303))
    assert set(all_orders(nothing, first, second)) == {(OK, OK)}


def test_removes_of_different_ranges_do_not_meet() -> None:
    def both(lab: Lab) -> None:
        lab.pair(0)
        lab.pair(1)

    assert set(all_orders(both, remove(0), remove(1))) == {(OK, OK)}
