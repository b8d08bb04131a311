"""ADD and REMOVE under random use: what goes in comes out, and nothing goes while in use."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K

from .lab import BASE, GPA, HINT, TDR, Lab, page

RANGES = st.integers(0, 511)
PAGES = st.builds(page, RANGES, st.integers(0, 511))
DONORS = st.tuples(PAGES, PAGES).filter(lambda pair: pair[0] != pair[1])
INDICES = st.lists(st.integers(0, 511), min_size=1, max_size=12, unique=True)


def add(lab: Lab, target: int, donors: tuple[int, int]) -> str:
    operands = {"rcx": page(target) | 1, "rdx": donors[0], "r8": donors[1]}
    return lab.call("PHYMEM.PAMT.ADD", **operands).text


def range_index(hpa: int) -> int:
    return (hpa - BASE) // SIZE_2M


@given(target=RANGES, donors=DONORS)
def test_remove_gives_back_the_same_two_pages_in_the_same_order(
    target: int, donors: tuple[int, int]
) -> None:
    lab = Lab()
    before = lab.state()
    assert add(lab, target, donors) == "SUCCESS"
    regs = lab.unpair(target).regs
    assert (regs.rdx, regs.r8) == donors
    assert lab.state() == before
    assert lab.held() == {}


@given(moves=st.lists(st.tuples(st.integers(0, 3), st.booleans(), DONORS), max_size=30))
def test_the_bitmap_always_has_the_pages_of_the_pairs(
    moves: list[tuple[int, bool, tuple[int, int]]],
) -> None:
    """And every call says what a dictionary of pairs lets one expect."""
    lab = Lab()
    pairs: dict[int, tuple[int, int]] = {}
    for target, is_add, donors in moves:
        taken = {hpa for pair in pairs.values() for hpa in pair}
        if not is_add:
            result = lab.unpair(target)
            if target in pairs:
                assert result.text == "SUCCESS"
                assert (result.regs.rdx, result.regs.r8) == pairs.pop(target)
            else:
                assert result.text == "NO_PAMT_PAGE_PAIR|RCX"
            continue
        if target in pairs:
            expected = "HPA_RANGE_NOT_FREE|RCX"
        elif donors[0] in taken:
            expected = "PAGE_NOT_FREE|RDX"
        elif donors[1] in taken:
            expected = "PAGE_NOT_FREE|R8"
        else:
            expected = "SUCCESS"
            pairs[target] = donors
        assert add(lab, target, donors) == expected
        event(expected)
    bitmap = sorted(hex(hpa) for pair in pairs.values() for hpa in pair)
    shown = lab.state()["bitmap"]
    assert isinstance(shown, list)
    assert sorted(shown) == bitmap
    assert {index for index in range(4) if lab.node(index).is_node} == set(pairs)


@given(indices=INDICES, data=st.data())
def test_a_range_in_use_keeps_its_pair_and_the_last_page_out_gives_the_hint(
    indices: list[int], data: st.DataObject
) -> None:
    lab = Lab()
    td = lab.td()
    pair = lab.pair(0)
    for n in indices:
        td.aug(page(0, n), GPA + n * SIZE_4K)
    left = set(indices)
    for n in data.draw(st.permutations(indices)):
        first_half = any(i < 256 for i in left)
        assert lab.unpair(0).text == f"PAMT_PAGE_NOT_EMPTY|page {0 if first_half else 1}"
        assert lab.node(0).page_count.value == len(left)
        left.remove(n)
        hint = HINT if not left else 0
        assert td.remove(GPA + n * SIZE_4K).rcx == page(0, n) | hint
    regs = lab.unpair(0).regs
    assert (regs.rdx, regs.r8) == pair


@given(indices=INDICES, data=st.data())
def test_pages_that_come_and_go_give_the_hint_each_time_the_range_runs_empty(
    indices: list[int], data: st.DataObject
) -> None:
    lab = Lab()
    td = lab.td()
    lab.pair(0)
    used: set[int] = set()
    hints = 0
    for n in data.draw(st.lists(st.sampled_from(indices), max_size=30)):
        if n not in used:
            td.aug(page(0, n), GPA + n * SIZE_4K)
            used.add(n)
            continue
        used.remove(n)
        hinted = bool(td.remove(GPA + n * SIZE_4K).rcx & HINT)
        assert hinted == (not used)
        hints += hinted
    event(f"{min(hints, 3)} hints")
    assert lab.node(0).page_count.value == len(used)
    assert (lab.unpair(0).text == "SUCCESS") is (not used)


@given(indices=INDICES)
def test_a_refused_remove_changes_nothing(indices: list[int]) -> None:
    lab = Lab()
    td = lab.td()
    lab.pair(0)
    for n in indices:
        td.aug(page(0, n), GPA + n * SIZE_4K)
    before = lab.state()
    assert lab.unpair(0).status.name == "PAMT_PAGE_NOT_EMPTY"
    assert lab.state() == before
    assert lab.call("MEM.RANGE.BLOCK", rcx=GPA + indices[0] * SIZE_4K, rdx=TDR).text == "SUCCESS"


@given(donors=DONORS, data=st.data())
def test_a_page_in_a_pair_can_be_used_for_nothing_else(
    donors: tuple[int, int], data: st.DataObject
) -> None:
    lab = Lab()
    target = data.draw(RANGES)
    assert add(lab, target, donors) == "SUCCESS"
    given_page = data.draw(st.sampled_from(donors))
    home = range_index(given_page)
    if home != target:
        others = (page(i, n) for i in range(512) if i != home for n in (0, 1))
        first, second = [hpa for hpa in others if hpa not in donors][:2]
        assert add(lab, home, (first, second)) == "SUCCESS"
    created = lab.call("MNG.CREATE", rcx=given_page, rdx=40)
    assert created.text == "PAGE_METADATA_INCORRECT|RCX"
