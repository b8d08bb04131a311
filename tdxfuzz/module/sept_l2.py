"""The S-EPT of an L2 VM, and the values of its entries, bit for bit.

Each L2 VM of a TD (1 to 3) has a tree of its own, whose root is a TDCX page. An L1 entry has
a bit for each L2 VM that has the same range in its tree: an alias. L2 entries have no lock.
The lock of the L1 entry stands in for one, and stores are plain.

Source: src/common/memory_handlers/sept_manager.[ch]; encodings in auto_gen sept_state_lookup.
Only a guest makes aliases of pages (TDG.MEM.PAGE.ATTR.WR), which is not modelled: here only
lower S-EPT pages have aliases.
"""

from __future__ import annotations

from collections.abc import Iterator

from tdxfuzz.module.sept import SecureEpt, SeptPage
from tdxfuzz.module.sept_entry import BASE, PS, RWX, SUPPRESS_VE, TDMEM

L2_FREE = 0
_READABLE = 1 << 0
_BLOCKED = 1 << 55
_STATE = _READABLE | TDMEM | PS | _BLOCKED
_PUBLIC_FREE, _PUBLIC_NL_MAPPED, _PUBLIC_NL_BLOCKED = 0x40, 0xC4, 0xC1
ALL_ATTRIBUTES = 1 << 15 | 0xF
"""Those of a non-leaf entry: valid, and every access is left to the entries below it."""


class L2SecureEpt(SecureEpt):
    """The S-EPT of an L2 VM. Its pages are full of FREE entries in the beginning, as L1's are."""

    __slots__ = ()

    def is_free(self, raw: int) -> bool:
        return is_free(raw)


def is_free(raw: int) -> bool:
    """Whether an entry with this value is FREE."""
    return not raw & _STATE


def non_leaf(pa: int) -> int:
    """A mapped entry for a lower S-EPT page (address with HKID)."""
    return pa & BASE | RWX


def blocked(raw: int) -> int:
    """The value of a mapped entry once it is blocked (block_l2_sept_entry)."""
    return raw & ~RWX | _BLOCKED


def unblocked(raw: int) -> int:
    """The value of a blocked entry as it was before (sept_l2_unblock)."""
    return raw & ~_BLOCKED | RWX


def is_page_free(page: SeptPage) -> bool:
    """Whether all 512 entries of a page are FREE (is_l2_sept_page_valid_for_merge)."""
    filled = [page.fill, *(entry.raw for entry in page.entries.values())]
    return all(map(is_free, filled))


def aliases(raw: int, num_l2_vms: int) -> Iterator[int]:
    """The L2 VMs that have an alias of an L1 entry."""
    return (vm for vm in range(1, num_l2_vms + 1) if raw & alias_bit(vm))


def alias_bit(vm: int) -> int:
    """The bit of an L1 entry that says that an L2 VM has an alias (TDAL1 to TDAL3)."""
    return 1 << 57 + vm


def details(raw: int, vm: int, level: int) -> tuple[int, int]:
    """What RCX and RDX report of an entry: its architectural value; VM, level and state."""
    if is_free(raw):
        value, state = SUPPRESS_VE, _PUBLIC_FREE
    else:
        value = raw & (RWX | PS)
        state = _PUBLIC_NL_BLOCKED if raw & _BLOCKED else _PUBLIC_NL_MAPPED
    return value, level | state << 8 | vm << 16
