"""The 2MB ranges that a world uses when nothing speaks against it: those of the default world.

Which ranges a bug needs is often a matter of chance. So every case is tried in the usual ones, and
two cases of one bug end in the same ranges.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from tdxfuzz.case.world import MAX_RANGES, World

_KERNEL_FROM = 2
"""So many ranges are counted for the kernel before the last one: one range is C, two are B and C,
as in the default world."""


def usual_ranges(world: World, apart: bool = False) -> Iterator[World]:
    """The world in the usual ranges: as few as possible first, guests and kernel apart first, or
    always with ``apart``.

    It never has more ranges of a kind than ``world``.
    """
    counts = [
        (guests, kernels, fresh)
        for guests in range(1, len(world.guest_ranges) + 1)
        for kernels in range(1, len(world.kernel_ranges) + 1)
        for fresh in range(len(world.fresh_ranges) + 1)
    ]
    for chosen in sorted(counts, key=lambda each: (sum(each), each)):
        for shared in (False,) if apart else (False, True):
            usual = _with(world, *chosen, shared)
            if usual is not None:
                yield usual


def _with(world: World, guests: int, kernels: int, fresh: int, shared: bool) -> World | None:
    """The world with so many ranges; with ``shared`` the kernel's begin with the guests' first."""
    end = guests + max(kernels, _KERNEL_FROM)
    kernel_ranges = (0, *range(1, kernels)) if shared else tuple(range(end - kernels, end))
    above = max(guests - 1, *kernel_ranges) + 1
    if above + fresh > MAX_RANGES:
        return None
    try:
        return evolve(
            world,
            guest_ranges=tuple(range(guests)),
            kernel_ranges=kernel_ranges,
            fresh_ranges=tuple(range(above, above + fresh)),
        )
    except ValueError:  # no room for the areas
        return None


def unusual(world: World) -> tuple[int, ...]:
    """How far a world's ranges are from the usual ones, for worlds with as many ranges: how many
    serve both guests and kernel, then whether they have other numbers, then these numbers.
    """
    both = len(set(world.guest_ranges) & set(world.kernel_ranges))
    counts = len(world.guest_ranges), len(world.kernel_ranges), len(world.fresh_ranges)
    usual = _with(world, *counts, shared=both > 0)
    numbers = (*world.guest_ranges, *world.kernel_ranges, *world.fresh_ranges)
    return both, int(world != usual), *numbers
