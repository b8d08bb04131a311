"""How leaves reach the S-EPT entries of L2 VMs. Source: l2_sept_walk in helpers.c.

The caller holds the L1 entry of the same range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.module.codes import L2_SEPT_WALK_FAILED
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.sept_l2 import alias_bit, details
from tdxfuzz.sim import READ, WRITE

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.sept import SeptEntry
    from tdxfuzz.module.td import Tdcs


def set_alias(m: TdxModule, entry: SeptEntry, vm: int) -> None:
    """Note in an L1 entry that an L2 VM has an alias (sept_set_aliased): a load and a store."""
    m.sim.step(entry, READ)
    raw = entry.raw
    store_l2(m, entry, raw | alias_bit(vm))


def store_l2(m: TdxModule, entry: SeptEntry, raw: int) -> None:
    """Write an entry with a plain store."""
    m.sim.step(entry, WRITE)
    entry.raw = raw


def walk_l2(call: Call, tdcs: Tdcs, vm: int, gpa: int, level: int) -> SeptEntry:
    """The entry of an L2 VM that a call asks for (l2_sept_walk).

    Raises:
        Refused: L2_SEPT_WALK_FAILED. RCX and RDX tell where the walk ended.
    """
    entry, raw = tdcs.l2_septs[vm - 1].walk(gpa, level)
    if entry.level != level:
        report_l2(call, raw, vm, entry.level)
        raise Refused(with_details(L2_SEPT_WALK_FAILED, vm, entry.level))
    return entry


def l2_alias_of(tdcs: Tdcs, vm: int, gpa: int, level: int, fatal_id: int) -> SeptEntry:
    """The entry of an L2 VM for which the L1 entry has an alias.

    Raises:
        ModuleFatal: there is none.
    """
    entry, _ = tdcs.l2_septs[vm - 1].walk(gpa, level)
    if entry.level != level:
        raise ModuleFatal(fatal_id, f"VM {vm} has no S-EPT entry for {gpa:#x}, level {level}")
    return entry


def report_l2(call: Call, raw: int, vm: int, level: int) -> None:
    """Put an entry's details in RCX and RDX (set_arch_l2_septe_details_in_vmm_regs)."""
    call.regs.rcx, call.regs.rdx = details(raw, vm, level)


def with_details(status: int, vm: int, level: int) -> int:
    """A status that names a VM and a level (api_error_with_l2_details)."""
    return status | vm << 16 | level
