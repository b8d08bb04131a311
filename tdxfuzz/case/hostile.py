"""Cases without a host layer: their name, their world, and the states that they start from."""

from __future__ import annotations

from functools import cache

from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World

HOSTILE = "hostile"
"""The name that cases give in place of a design's."""

WORLD = World(tds=2, slots=2, guest_ranges=(0,), kernel_ranges=(1, 2))

_PAIR = ("TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B0 r8=B1",)
_CREATED = (*_PAIR, "TDH.MNG.CREATE rcx=A0 rdx=33")
_MAPPED = ("create 0", "map 0 0")
_BLOCKED = (*_MAPPED, "TDH.MEM.RANGE.BLOCK rcx=0 rdx=B128", "TDH.MEM.TRACK rcx=B128")
_TORN_DOWN = (
    "TDH.MNG.VPFLUSHDONE rcx=B128",
    "TDH.PHYMEM.CACHE.WB rcx=0",
    "TDH.MNG.KEY.FREEID rcx=B128",
)
_HUGE = (
    "create 0",
    "TDH.MEM.SEPT.ADD rcx=0x3 rdx=B128 r8=B200",
    "TDH.MEM.SEPT.ADD rcx=0x2 rdx=B128 r8=B201",
    "TDH.MEM.PAGE.AUG rcx=0x1 rdx=B128 r8=D0",
)

SETUPS: dict[str, tuple[str, ...]] = {
    "bare": (),
    "pair": _PAIR,
    "created": _CREATED,
    "keyed": (*_CREATED, "TDH.MNG.KEY.CONFIG rcx=A0"),
    "td": ("create 0",),
    "mapped": _MAPPED,
    "vcpu": ("create 0", "vcpu 0", "map 0 0"),
    "blocked": _BLOCKED,
    "two-tds": ("create 0", "create 1", "map 0 0", "map 1 1"),
    "teardown": (*_MAPPED, *_TORN_DOWN),
    "huge": _HUGE,
    "huge-blocked": (*_HUGE, "TDH.MEM.RANGE.BLOCK rcx=0x1 rdx=B128", "TDH.MEM.TRACK rcx=B128"),
    "empty-teardown": ("create 0", *_TORN_DOWN),
}
"""States that hostile calls start from, by name: what runs first, alone. In ``WORLD`` the
first TD's TDR is page B128, and its first guest page, A0, is mapped at GPA 0."""


@cache
def setup_ops(name: str) -> tuple[Op, ...]:
    """The operations of a set-up."""
    return tuple(Op.parse(text) for text in SETUPS[name])
