"""The guest-side leaves (TDCALL) of module 1.5.25: numbers, names, versions, operands.

Source: include/tdx_api_defs.h for the numbers, tdx_td_dispatcher.c for versions and for
the registers each leaf is given. Operands are listed for the leaves that touch S-EPT.
"""

from __future__ import annotations

from collections.abc import Mapping

from tdxfuzz.abi.leaf import Leaf

_V1 = (0, 1)


def _leaf(
    number: int,
    name: str,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    versions: tuple[int, ...] = (0,),
) -> Leaf:
    return Leaf(number, f"TDG.{name}", inputs or {}, outputs or {}, versions)


GUEST_LEAVES: tuple[Leaf, ...] = (
    _leaf(0, "VP.VMCALL"),
    _leaf(1, "VP.INFO"),
    _leaf(2, "MR.RTMR.EXTEND"),
    _leaf(3, "VP.VEINFO.GET", versions=_V1),
    _leaf(4, "MR.REPORT"),
    _leaf(5, "VP.CPUIDVE.SET"),
    _leaf(6, "MEM.PAGE.ACCEPT", {"rcx": "GPA | level"}),
    _leaf(7, "VM.RD", versions=_V1),
    _leaf(8, "VM.WR"),
    _leaf(9, "VP.RD"),
    _leaf(10, "VP.WR"),
    _leaf(11, "SYS.RD"),
    _leaf(12, "SYS.RDALL"),
    _leaf(18, "SERVTD.RD"),
    _leaf(20, "SERVTD.WR"),
    _leaf(22, "MR.VERIFYREPORT"),
    _leaf(
        23,
        "MEM.PAGE.ATTR.RD",
        {"rcx": "GPA"},
        {"rcx": "GPA | level, pending in bit 62", "rdx": "attributes, 16 bits a VM"},
    ),
    _leaf(
        24,
        "MEM.PAGE.ATTR.WR",
        {"rcx": "GPA | level", "rdx": "attributes, 16 bits a VM", "r8": "mask and flags"},
        {"rcx": "GPA | level, pending in bit 62", "rdx": "attributes, 16 bits a VM"},
    ),
    _leaf(25, "VP.ENTER"),
    _leaf(26, "VP.INVEPT"),
    _leaf(27, "VP.INVVPID"),
)

GUEST_BY_NUMBER: dict[int, Leaf] = {leaf.number: leaf for leaf in GUEST_LEAVES}
GUEST_BY_NAME: dict[str, Leaf] = {leaf.name: leaf for leaf in GUEST_LEAVES}
