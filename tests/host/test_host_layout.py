"""Addresses have the names people use."""

from __future__ import annotations

from hypothesis import given

from tdxfuzz.case.names import TDMR_BASE
from tdxfuzz.case.world import World
from tdxfuzz.host.layout import Layout
from tdxfuzz.strategies import worlds


@given(worlds())
def test_no_two_guest_pages_are_one(world: World) -> None:
    layout = Layout(world)
    pfns = [layout.guest_pfn(td, slot) for td in range(world.tds) for slot in range(world.slots)]
    assert len(set(pfns)) == len(pfns)
    ranges = {layout.range_pfn(r) >> 9 for r in world.guest_ranges}
    assert {pfn >> 9 for pfn in pfns} <= ranges


@given(worlds())
def test_guest_pages_stay_clear_of_the_kernels(world: World) -> None:
    layout = Layout(world)
    for td in range(world.tds):
        for slot in range(world.slots):
            assert layout.guest_pfn(td, slot) % 256 < 128


@given(worlds())
def test_a_slot_is_found_by_its_guest_address(world: World) -> None:
    layout = Layout(world)
    assert [layout.slot_of(layout.gpa(slot)) for slot in range(world.slots)] == list(
        range(world.slots)
    )


def test_ranges_are_letters_and_pages_numbers() -> None:
    assert Layout.name_of_range(TDMR_BASE) == "A"
    assert Layout.name_of_page(TDMR_BASE + (2 << 21) + (17 << 12)) == "C17"
    assert Layout.name_of_page(0x1000) == "0x1000"
