"""The locked walk: which level it ends at, what it then holds, and how it gives up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_1G
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT, Walk
from tdxfuzz.module.tdmr import TdmrInfo

from .lab import BASE, OUTSIDE, Lab, page
from .states import nothing, paired

HPA = page(0, 300)
L1G, L2M, L4K = f"PAMT_1G[{BASE:#x}]", f"PAMT_2M[{page(0):#x}]", f"PAMT_4K[{HPA:#x}]"


def marked_2m(lab: Lab) -> None:
    lab.node(0).pt = PT.REG


def marked_1g(lab: Lab) -> None:
    lab.block.entry_1g.pt = PT.REG


def walk(lab: Lab, mode: str, target: int = LEVEL_4K) -> Walk | None:
    return lab.module.pamt.walk(HPA, lab.block, mode, target)


@pytest.mark.parametrize(
    ("before", "mode", "target", "level", "held"),
    [
        (paired, SHARED, LEVEL_4K, LEVEL_4K, {L1G: "SH 1", L2M: "SH 1", L4K: "SH 1"}),
        (paired, EXCLUSIVE, LEVEL_4K, LEVEL_4K, {L1G: "SH 1", L2M: "SH 1", L4K: "EX"}),
        (paired, SHARED, LEVEL_2M, LEVEL_2M, {L1G: "SH 1", L2M: "SH 1"}),
        (paired, EXCLUSIVE, LEVEL_2M, LEVEL_2M, {L1G: "SH 1", L2M: "EX"}),
        (paired, SHARED, LEVEL_1G, LEVEL_1G, {L1G: "SH 1"}),
        (paired, EXCLUSIVE, LEVEL_1G, LEVEL_1G, {L1G: "EX"}),
        (nothing, SHARED, LEVEL_4K, LEVEL_2M, {L1G: "SH 1", L2M: "SH 1"}),
        (nothing, EXCLUSIVE, LEVEL_4K, LEVEL_2M, {L1G: "SH 1", L2M: "EX"}),
        (marked_2m, SHARED, LEVEL_4K, LEVEL_2M, {L1G: "SH 1", L2M: "SH 1"}),
        (marked_2m, EXCLUSIVE, LEVEL_4K, LEVEL_2M, {L1G: "SH 1", L2M: "EX"}),
        (marked_1g, SHARED, LEVEL_4K, LEVEL_1G, {L1G: "SH 1"}),
        (marked_1g, EXCLUSIVE, LEVEL_2M, LEVEL_1G, {L1G: "EX"}),
    ],
)
def test_a_walk_ends_at_the_leaf_and_holds_the_path(
    lab: Lab,
    before: Callable[[Lab], None],
    mode: str,
    target: int,
    level: int,
    held: dict[str, str],
) -> None:
    before(lab)
    found = walk(lab, mode, target)
    assert found is not None
    assert (found.level, lab.held()) == (level, held)
    assert found.entry.name == {LEVEL_4K: L4K, LEVEL_2M: L2M, LEVEL_1G: L1G}[level]
    found.release()
    assert lab.held() == {}


@pytest.mark.parametrize(
    ("before", "mode", "target", "wanted"),
    [
        (lambda lab: lab.block.entry_1g.acquire_ex(), SHARED, LEVEL_4K, L1G),
        (lambda lab: lab.block.entry_1g.acquire_sh(), EXCLUSIVE, LEVEL_1G, L1G),
        (lambda lab: lab.node(0).acquire_ex(), SHARED, LEVEL_4K, L2M),
        (lambda lab: lab.node(0).acquire_ex(), EXCLUSIVE, LEVEL_2M, L2M),
        (lambda lab: lab.node(0).acquire_sh(), EXCLUSIVE, LEVEL_2M, L2M),
        (lambda lab: lab.entry(HPA).acquire_ex(), SHARED, LEVEL_4K, L4K),
        (lambda lab: lab.entry(HPA).acquire_ex(), EXCLUSIVE, LEVEL_4K, L4K),
        (lambda lab: lab.entry(HPA).acquire_sh(), EXCLUSIVE, LEVEL_4K, L4K),
    ],
)
def test_a_busy_walk_lets_go_of_everything_and_leaves_host_priority(
    lab: Lab, before: Callable[[Lab], object], mode: str, target: int, wanted: str
) -> None:
    lab.pair(0)
    before(lab)
    held = lab.held()
    assert walk(lab, mode, target) is None
    assert (lab.held(), lab.host_priority()) == (held, [wanted])


def test_a_walk_to_an_unpaired_page_needs_the_2mb_entry_for_itself(lab: Lab) -> None:
    assert lab.node(0).acquire_sh()
    assert walk(lab, EXCLUSIVE) is None
    assert walk(lab, SHARED) is not None


def test_a_walk_is_acquired_from_the_top_and_released_from_the_leaf(lab: Lab) -> None:
    lab.pair(0)
    events = lab.record()
    found = walk(lab, EXCLUSIVE)
    assert found is not None
    found.release()
    assert events == [
        *(f"acq SH {L1G}", f"acq SH {L2M}", f"acq EX {L4K}"),
        *(f"rel EX {L4K}", f"rel SH {L2M}", f"rel SH {L1G}"),
    ]


def test_a_walk_that_ends_exclusive_above_4kb_is_promoted(lab: Lab) -> None:
    events = lab.record()
    found = walk(lab, EXCLUSIVE)
    assert found is not None
    assert events == [f"acq SH {L1G}", f"acq SH {L2M}", f"promote EX {L2M}"]


def test_pages_of_one_range_are_locked_independently(lab: Lab) -> None:
    lab.pair(0)
    first = lab.module.pamt.walk(page(0, 1), lab.block, EXCLUSIVE)
    second = lab.module.pamt.walk(page(0, 2), lab.block, EXCLUSIVE)
    assert first is not None
    assert second is not None
    assert lab.held()[L2M] == "SH 2"


@pytest.mark.parametrize(
    ("hpa", "known"),
    [
        (BASE - 1, False),
        (BASE, True),
        (BASE + SIZE_1G - 1, True),
        (BASE + SIZE_1G, False),
        (OUTSIDE, False),
    ],
)
def test_only_pages_of_a_tdmr_have_a_block(lab: Lab, hpa: int, known: bool) -> None:
    assert (lab.module.pamt.block_of(hpa) is not None) is known


def test_a_block_exists_once_its_gigabyte_is_initialised() -> None:
    half = Lab(tdmrs=[TdmrInfo(BASE, 2 * SIZE_1G, initialized=SIZE_1G + SIZE_1G // 2)])
    assert half.module.pamt.block_of(BASE + SIZE_1G - 1) is not None
    assert half.module.pamt.block_of(BASE + SIZE_1G) is None


def test_static_pamt_walks_down_to_every_free_range() -> None:
    lab = Lab(dynamic=False)
    found = lab.module.pamt.walk(HPA, lab.block, EXCLUSIVE)
    assert found is not None
    assert lab.held() == {L1G: "SH 1", L2M: "SH 1", L4K: "EX"}


def test_static_pamt_ends_at_a_2mb_leaf() -> None:
    lab = Lab(dynamic=False)
    marked_2m(lab)
    found = lab.module.pamt.walk(HPA, lab.block, EXCLUSIVE)
    assert found is not None
    assert lab.held() == {L1G: "SH 1", L2M: "EX"}
