"""The host-side leaves of module 1.5.25: numbers, names, versions, operands.

Source: include/tdx_api_defs.h for the numbers, tdx_vmm_dispatcher.c for versions and
for the registers each leaf is given. Meanings are short and this project's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from attrs import field, frozen


@frozen
class Leaf:
    """One SEAMCALL leaf.

    ``inputs`` and ``outputs`` map a register to what it means there; ``versions`` are
    the values accepted in RAX bits 23:16.
    """

    number: int
    name: str
    inputs: Mapping[str, str] = field(factory=dict, hash=False)
    outputs: Mapping[str, str] = field(factory=dict, hash=False)
    versions: tuple[int, ...] = (0,)

    @property
    def identifier(self) -> str:
        """The name as recordings and C code write it, e.g. ``PHYMEM_PAMT_ADD``."""
        return self.name.removeprefix("TDH.").replace(".", "_")

    def __str__(self) -> str:
        return self.name


_GPA = "GPA | level"
_SEPT_DETAILS = {"rcx": "on error: S-EPT entry", "rdx": "on error: level and state"}
_V1 = (0, 1)


def _leaf(
    number: int,
    name: str,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    versions: tuple[int, ...] = (0,),
) -> Leaf:
    return Leaf(number, f"TDH.{name}", inputs or {}, outputs or {}, versions)


LEAVES: tuple[Leaf, ...] = (
    _leaf(0, "VP.ENTER", {"rcx": "TDVPR HPA and flags"}, {"rcx": "exit details"}),
    _leaf(1, "MNG.ADDCX", {"rcx": "new TDCX HPA", "rdx": "TDR HPA"}),
    _leaf(
        2,
        "MEM.PAGE.ADD",
        {"rcx": _GPA, "rdx": "TDR HPA", "r8": "page HPA", "r9": "source HPA"},
        _SEPT_DETAILS,
    ),
    _leaf(
        3,
        "MEM.SEPT.ADD",
        {"rcx": _GPA, "rdx": "TDR HPA and flags", "r8": "new S-EPT page HPA"},
        _SEPT_DETAILS,
        _V1,
    ),
    _leaf(4, "VP.ADDCX", {"rcx": "new TDCX HPA", "rdx": "TDVPR HPA"}),
    _leaf(
        5,
        "MEM.PAGE.RELOCATE",
        {"rcx": _GPA, "rdx": "TDR HPA", "r8": "new page HPA"},
        {"rcx": "old page HPA, hint in bit 62", "rdx": "on error: level and state"},
    ),
    _leaf(6, "MEM.PAGE.AUG", {"rcx": _GPA, "rdx": "TDR HPA", "r8": "page HPA"}, _SEPT_DETAILS),
    _leaf(7, "MEM.RANGE.BLOCK", {"rcx": _GPA, "rdx": "TDR HPA"}, _SEPT_DETAILS),
    _leaf(8, "MNG.KEY.CONFIG", {"rcx": "TDR HPA"}),
    _leaf(9, "MNG.CREATE", {"rcx": "new TDR HPA", "rdx": "HKID"}),
    _leaf(10, "VP.CREATE", {"rcx": "new TDVPR HPA", "rdx": "TDR HPA"}),
    _leaf(11, "MNG.RD", {"rcx": "TDR HPA", "rdx": "field"}, {"r8": "value"}, _V1),
    _leaf(12, "MEM.RD", {"rcx": "GPA", "rdx": "TDR HPA"}, {"r8": "value"}),
    _leaf(
        13,
        "MNG.WR",
        {"rcx": "TDR HPA", "rdx": "field", "r8": "value", "r9": "mask"},
        {"r8": "old value"},
    ),
    _leaf(14, "MEM.WR", {"rcx": "GPA", "rdx": "TDR HPA", "r8": "value"}, {"r8": "old value"}),
    _leaf(
        15,
        "MEM.PAGE.DEMOTE",
        {
            "rcx": _GPA,
            "rdx": "TDR HPA and flags",
            "r8": "new S-EPT page HPA",
            "r9": "L2 S-EPT page 1",
            "r10": "L2 S-EPT page 2",
            "r11": "L2 S-EPT page 3",
            "r12": "PAMT page 0 HPA",
            "r13": "PAMT page 1 HPA",
        },
        _SEPT_DETAILS,
    ),
    _leaf(16, "MR.EXTEND", {"rcx": "GPA", "rdx": "TDR HPA"}, _SEPT_DETAILS),
    _leaf(17, "MR.FINALIZE", {"rcx": "TDR HPA"}),
    _leaf(18, "VP.FLUSH", {"rcx": "TDVPR HPA"}),
    _leaf(19, "MNG.VPFLUSHDONE", {"rcx": "TDR HPA"}),
    _leaf(20, "MNG.KEY.FREEID", {"rcx": "TDR HPA"}),
    _leaf(
        21,
        "MNG.INIT",
        {"rcx": "TDR HPA", "rdx": "TD_PARAMS HPA", "r8": "event filters"},
        {"rcx": "extended error"},
    ),
    _leaf(22, "VP.INIT", {"rcx": "TDVPR HPA", "rdx": "initial RCX", "r8": "x2APIC id"}, {}, _V1),
    _leaf(
        23,
        "MEM.PAGE.PROMOTE",
        {"rcx": _GPA, "rdx": "TDR HPA"},
        {
            "rcx": "removed S-EPT page HPA, hint in bit 62",
            "r12": "freed PAMT page 0 HPA",
            "r13": "freed PAMT page 1 HPA",
        },
        _V1,
    ),
    _leaf(
        24,
        "PHYMEM.PAGE.RDMD",
        {"rcx": "HPA | level"},
        {
            "rcx": "page type, non-leaf in bit 63",
            "rdx": "owner",
            "r8": "level",
            "r9": "BEPOCH",
            "r10": "PAMT page 0 HPA",
            "r11": "PAMT page 1 HPA",
        },
    ),
    _leaf(
        25,
        "MEM.SEPT.RD",
        {"rcx": _GPA, "rdx": "TDR HPA"},
        {"rcx": "entry", "rdx": "level and state"},
    ),
    _leaf(26, "VP.RD", {"rcx": "TDVPR HPA", "rdx": "field"}, {"r8": "value"}, _V1),
    _leaf(27, "MNG.KEY.RECLAIMID", {"rcx": "TDR HPA"}),
    _leaf(
        28,
        "PHYMEM.PAGE.RECLAIM",
        {"rcx": "page HPA"},
        {"rcx": "page type", "rdx": "owner", "r8": "size", "r9": "hint in bit 62"},
    ),
    _leaf(
        29,
        "MEM.PAGE.REMOVE",
        {"rcx": _GPA, "rdx": "TDR HPA"},
        {"rcx": "page HPA, hint in bit 62", "rdx": "on error: level and state"},
    ),
    _leaf(
        30,
        "MEM.SEPT.REMOVE",
        {"rcx": _GPA, "rdx": "TDR HPA"},
        {"rcx": "S-EPT page HPA, hint in bit 62", "rdx": "on error: level and state"},
        _V1,
    ),
    _leaf(31, "SYS.KEY.CONFIG"),
    _leaf(
        32,
        "SYS.INFO",
        {"rcx": "TDSYSINFO HPA", "rdx": "bytes", "r8": "CMR array HPA", "r9": "entries"},
        {"rdx": "bytes", "r9": "entries"},
    ),
    _leaf(33, "SYS.INIT", {"rcx": "0", "r8": "what to do on a fatal error"}, {}, _V1),
    _leaf(34, "SYS.RD", {"rdx": "field"}, {"rdx": "next field", "r8": "value"}),
    _leaf(35, "SYS.LP.INIT"),
    _leaf(36, "SYS.TDMR.INIT", {"rcx": "TDMR base"}, {"rdx": "next to initialise"}),
    _leaf(37, "SYS.RDALL", {"rdx": "list HPA", "r8": "first field"}, {"r8": "next field"}),
    _leaf(38, "MEM.TRACK", {"rcx": "TDR HPA"}),
    _leaf(39, "MEM.RANGE.UNBLOCK", {"rcx": _GPA, "rdx": "TDR HPA"}, _SEPT_DETAILS),
    _leaf(40, "PHYMEM.CACHE.WB", {"rcx": "0 start, 1 resume"}),
    _leaf(41, "PHYMEM.PAGE.WBINVD", {"rcx": "page HPA with HKID"}),
    _leaf(
        43,
        "VP.WR",
        {"rcx": "TDVPR HPA", "rdx": "field", "r8": "value", "r9": "mask"},
        {"r8": "old value"},
    ),
    _leaf(44, "SYS.LP.SHUTDOWN"),
    _leaf(45, "SYS.CONFIG", {"rcx": "TDMR list HPA", "rdx": "entries", "r8": "HKID and options"}),
    _leaf(
        48,
        "SERVTD.BIND",
        {
            "rcx": "TDR HPA",
            "rdx": "service TDR HPA",
            "r8": "slot",
            "r9": "type",
            "r10": "attributes",
        },
        {"rcx": "binding handle"},
    ),
    _leaf(
        49,
        "SERVTD.PREBIND",
        {"rcx": "TDR HPA", "rdx": "hash HPA", "r8": "slot", "r9": "type", "r10": "attributes"},
    ),
    _leaf(52, "SYS.SHUTDOWN", {"rcx": "handoff version"}),
    _leaf(53, "SYS.UPDATE", {"r9": "options", "r10": "options"}, {}, _V1),
    _leaf(
        58,
        "PHYMEM.PAMT.ADD",
        {"rcx": "2MB range HPA | 1", "rdx": "PAMT page 0 HPA", "r8": "PAMT page 1 HPA"},
    ),
    _leaf(
        59,
        "PHYMEM.PAMT.REMOVE",
        {"rcx": "2MB range HPA | 1"},
        {"rdx": "PAMT page 0 HPA", "r8": "PAMT page 1 HPA"},
    ),
    _leaf(64, "EXPORT.ABORT", {"rcx": "TDR HPA", "r8": "token HPA", "r10": "stream"}),
    _leaf(65, "EXPORT.BLOCKW", {"rcx": "GPA list", "rdx": "TDR HPA"}, {"rcx": "GPA list"}),
    _leaf(66, "EXPORT.RESTORE", {"rcx": "GPA list", "rdx": "TDR HPA"}, {"rcx": "GPA list"}),
    _leaf(
        68,
        "EXPORT.MEM",
        {
            "rcx": "GPA list",
            "rdx": "TDR HPA",
            "r8": "MBMD",
            "r9": "buffers",
            "r10": "stream",
            "r11": "MAC list 0",
            "r12": "MAC list 1",
        },
        {"rcx": "GPA list", "rdx": "pages"},
    ),
    _leaf(70, "EXPORT.PAUSE", {"rcx": "TDR HPA"}),
    _leaf(71, "EXPORT.TRACK", {"rcx": "TDR HPA", "r8": "MBMD", "r10": "stream"}),
    _leaf(
        72,
        "EXPORT.STATE.IMMUTABLE",
        {"rcx": "TDR HPA", "r8": "MBMD", "r9": "page list", "r10": "stream"},
    ),
    _leaf(
        73, "EXPORT.STATE.TD", {"rcx": "TDR HPA", "r8": "MBMD", "r9": "page list", "r10": "stream"}
    ),
    _leaf(
        74,
        "EXPORT.STATE.VP",
        {"rcx": "TDVPR HPA", "r8": "MBMD", "r9": "page list", "r10": "stream"},
    ),
    _leaf(75, "EXPORT.UNBLOCKW", {"rcx": _GPA, "rdx": "TDR HPA"}, _SEPT_DETAILS),
    _leaf(80, "IMPORT.ABORT", {"rcx": "TDR HPA", "r8": "token HPA", "r10": "stream"}),
    _leaf(81, "IMPORT.END", {"rcx": "TDR HPA"}),
    _leaf(82, "IMPORT.COMMIT", {"rcx": "TDR HPA"}),
    _leaf(
        83,
        "IMPORT.MEM",
        {
            "rcx": "GPA list",
            "rdx": "TDR HPA",
            "r8": "MBMD",
            "r9": "buffers",
            "r10": "stream",
            "r11": "MAC list 0",
            "r12": "MAC list 1",
            "r13": "new pages",
        },
        {"rcx": "GPA list"},
    ),
    _leaf(84, "IMPORT.TRACK", {"rcx": "TDR HPA", "r8": "MBMD", "r10": "stream"}),
    _leaf(
        85,
        "IMPORT.STATE.IMMUTABLE",
        {"rcx": "TDR HPA", "r8": "MBMD", "r9": "page list", "r10": "stream"},
    ),
    _leaf(
        86, "IMPORT.STATE.TD", {"rcx": "TDR HPA", "r8": "MBMD", "r9": "page list", "r10": "stream"}
    ),
    _leaf(
        87,
        "IMPORT.STATE.VP",
        {"rcx": "TDVPR HPA", "r8": "MBMD", "r9": "page list", "r10": "stream"},
    ),
    _leaf(96, "MIG.STREAM.CREATE", {"rcx": "new page HPA", "rdx": "TDR HPA"}),
)

BY_NUMBER: dict[int, Leaf] = {leaf.number: leaf for leaf in LEAVES}
BY_NAME: dict[str, Leaf] = {leaf.name: leaf for leaf in LEAVES}


class UnknownLeafError(ValueError):
    """No host leaf has this name or number."""


def find(name: str | int) -> Leaf:
    """A leaf by number or by name (``TDH.PHYMEM.PAMT.ADD``, ``PHYMEM_PAMT_ADD``, any case).

    Raises:
        UnknownLeafError: with the nearest names.
    """
    if isinstance(name, int):
        if name not in BY_NUMBER:
            raise UnknownLeafError(f"module 1.5.25 has no host leaf {name}")
        return BY_NUMBER[name]
    wanted = "TDH." + name.upper().replace("_", ".").removeprefix("TDH.")
    if wanted not in BY_NAME:
        near = get_close_matches(wanted, BY_NAME, n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise UnknownLeafError(f"unknown leaf {name!r}{hint}")
    return BY_NAME[wanted]
