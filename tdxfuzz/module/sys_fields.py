"""The fields of the module itself that SYS.RD and SYS.RDALL reach: ids and values.

Source: include/auto_gen_1_5/global_sys_fields_lookup.c for the table, metadata_sys.c for
the values, metadata_generic.c for what an id means. The table has what bears on PAMT,
TDMRs, HKIDs, features and the size of control structures. CPUID and MSR configuration, the
platform's family and stepping, build date and numbers, handoff data, migration, service TDs
and partitioning are left out, and answered as if no module had them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.td import MIN_TDCS_PAGES, MIN_TDVPS_PAGES
from tdxfuzz.module.td_fields import CLASS, CODE, NO_FIELD, RESERVED
from tdxfuzz.module.td_params import (
    ATTRIBUTES_ALLOWED,
    CONFIG_FLAGS_ALLOWED,
    MAX_VCPUS_PER_TD,
    XFAM_ALLOWED,
    XFAM_FIXED1,
)
from tdxfuzz.module.tdmr_config import (
    MAX_CMRS,
    MAX_DYNAMIC_PAMT_HKID_START_BIT,
    MAX_RESERVED_AREAS,
    MAX_TDMRS,
    PAMT_ENTRY_SIZE,
)

if TYPE_CHECKING:
    from tdxfuzz.module.platform import Platform

VENDOR_ID = 0x8086
MAJOR_VERSION, MINOR_VERSION, UPDATE_VERSION = 1, 5, 25
TDCS_PAGES_PER_L2_VM = 1
TDVPS_PAGES_PER_L2_VM = 3
MODULE_HV, MIN_UPDATE_HV, NO_DOWNGRADE = 1, 0, 1
"""Handoff versions: what this module writes and reads, and that none may be older."""
ELEMENT_SIZE = 3 << 32
"""Where an id keeps the size of its field's elements."""

FEATURES0: dict[str, int] = {
    "TD_MIGRATION": 0,
    "TD_PRESERVING": 1,
    "SERVICE_TD": 2,
    "TDG_VP_RDWR": 3,
    "RELAXED_MEM_MNG_CONCURRENCY": 4,
    "CPUID_VIRT_GUEST_CTRL": 5,
    "TD_PARTITIONING": 7,
    "LOCAL_ATTESTATION": 8,
    "TD_ENTRY_ENHANCEMENTS": 9,
    "HOST_PRIORITY_LOCKS": 10,
    "CONFIG_IA32_ARCH_CAP": 11,
    "PENDING_EPT_VIOLATION_V2": 16,
    "FMS_CONFIG": 17,
    "NO_RBP_MOD": 18,
    "L2_TLB_INVD_OPT": 19,
    "TOPOLOGY_ENUM": 20,
    "PARTITIONED_TD_MIGRATION": 21,
    "EVENT_FILTERING": 24,
    "ICSSD": 25,
    "FIXED_CTR12_PROF": 26,
    "MAXPA_VIRT": 27,
    "CPUID2_VIRT": 29,
    "VE_REDUCTION": 30,
    "MAXGPA_VIRT": 33,
    "DYNAMIC_PAMT": 36,
    "FATAL_DIAGNOSTICS": 37,
    "ENHANCED_INTR_STATE": 40,
    "IMPORT_PAGE_STATUS": 44,
    "VE_INFO_INTR_STATE": 46,
    "UPDATE_COMPATIBILITY": 47,
}
"""Bits of TDX_FEATURES0 on a platform that lacks nothing (get_tdx_features_enum0)."""


@frozen
class SysField:
    """A field, or several of the same kind; each has one element.

    ``first`` is the id of the first one; ``read`` gives the value of the ``n``-th.
    """

    name: str
    first: int
    read: Callable[[Platform, int], int]
    fields: int = 1


def _always(value: int) -> Callable[[Platform, int], int]:
    return lambda platform, n: value


def _cmr(part: int) -> Callable[[Platform, int], int]:
    """Base (0) or size (1) of the ``n``-th CMR; zero beyond the last one."""
    return lambda platform, n: platform.cmrs[n][part] if n < len(platform.cmrs) else 0


_ENTRY_SIZE = _always(PAMT_ENTRY_SIZE)

FIELDS: tuple[SysField, ...] = (
    SysField("NUM_PKGS", 0x0000_0002_0000_0000, lambda platform, _: platform.packages),
    SysField("VENDOR_ID", 0x0800_0002_0000_0000, _always(VENDOR_ID)),
    SysField("MINOR_VERSION", 0x0800_0001_0000_0003, _always(MINOR_VERSION)),
    SysField("MAJOR_VERSION", 0x0800_0001_0000_0004, _always(MAJOR_VERSION)),
    SysField("UPDATE_VERSION", 0x0800_0001_0000_0005, _always(UPDATE_VERSION)),
    SysField("MODULE_HV", 0x8900_0001_0000_0000, _always(MODULE_HV)),
    SysField("MIN_UPDATE_HV", 0x8900_0001_0000_0001, _always(MIN_UPDATE_HV)),
    SysField("NO_DOWNGRADE", 0x8900_0000_0000_0002, _always(NO_DOWNGRADE)),
    SysField("SYS_ATTRIBUTES", 0x0A00_0002_0000_0000, _always(0)),
    SysField("NUM_TDX_FEATURES", 0x0A00_0000_0000_0001, _always(1)),
    SysField(
        "TDX_FEATURES0", 0x0A00_0003_0000_0008, _always(sum(1 << n for n in FEATURES0.values()))
    ),
    SysField("NUM_CMRS", 0x9000_0001_0000_0000, _always(MAX_CMRS)),
    SysField("CMR_BASE", 0x9000_0003_0000_0080, _cmr(0), fields=MAX_CMRS),
    SysField("CMR_SIZE", 0x9000_0003_0000_0100, _cmr(1), fields=MAX_CMRS),
    SysField("MAX_TDMRS", 0x9100_0001_0000_0008, _always(MAX_TDMRS)),
    SysField("MAX_RESERVED_PER_TDMR", 0x9100_0001_0000_0009, _always(MAX_RESERVED_AREAS)),
    SysField("PAMT_4K_ENTRY_SIZE", 0x9100_0001_0000_0010, _ENTRY_SIZE),
    SysField("PAMT_2M_ENTRY_SIZE", 0x9100_0001_0000_0011, _ENTRY_SIZE),
    SysField("PAMT_1G_ENTRY_SIZE", 0x9100_0001_0000_0012, _ENTRY_SIZE),
    SysField("PAMT_PAGE_BITMAP_ENTRY_BITS", 0x9100_0000_0000_0013, _always(1)),
    SysField(
        "MIN_DYNAMIC_PAMT_NUM_HKID_BITS",
        0x9100_0000_0000_0014,
        lambda platform, _: max(0, platform.max_pa - MAX_DYNAMIC_PAMT_HKID_START_BIT),
    ),
    SysField("TDR_BASE_SIZE", 0x9800_0001_0000_0000, _always(SIZE_4K)),
    SysField("TDCS_BASE_SIZE", 0x9800_0001_0000_0100, _always(MIN_TDCS_PAGES * SIZE_4K)),
    SysField("TDCS_SIZE_PER_L2_VM", 0x9800_0001_0000_0101, _always(TDCS_PAGES_PER_L2_VM * SIZE_4K)),
    SysField("TDVPS_BASE_SIZE", 0x9800_0001_0000_0200, _always(MIN_TDVPS_PAGES * SIZE_4K)),
    SysField(
        "TDVPS_SIZE_PER_L2_VM", 0x9800_0001_0000_0201, _always(TDVPS_PAGES_PER_L2_VM * SIZE_4K)
    ),
    SysField("ATTRIBUTES_FIXED0", 0x1900_0003_0000_0000, _always(ATTRIBUTES_ALLOWED)),
    SysField("ATTRIBUTES_FIXED1", 0x1900_0003_0000_0001, _always(0)),
    SysField("XFAM_FIXED0", 0x1900_0003_0000_0002, _always(XFAM_ALLOWED)),
    SysField("XFAM_FIXED1", 0x1900_0003_0000_0003, _always(XFAM_FIXED1)),
    SysField("CONFIG_FLAGS_FIXED0", 0x9900_0003_0000_0006, _always(CONFIG_FLAGS_ALLOWED)),
    SysField("CONFIG_FLAGS_FIXED1", 0x9900_0003_0000_0007, _always(0)),
    SysField("MAX_VCPUS_PER_TD", 0x9900_0001_0000_0008, _always(MAX_VCPUS_PER_TD)),
)
"""In the order of the module's table."""


@frozen
class Element:
    """One readable element: its id in the table, and its value."""

    id: int
    field: SysField
    n: int

    def read(self, platform: Platform) -> int:
        """The value."""
        return self.field.read(platform, self.n)

    def is_followed_by(self, other: Element) -> bool:
        """The other can share a sequence with it: next code, same size of elements."""
        return other.id == self.id + 1


ELEMENTS: tuple[Element, ...] = tuple(
    Element(field.first + n, field, n) for field in FIELDS for n in range(field.fields)
)
"""All there is to read, in order."""

_INDEX = {(e.id & CLASS, e.id & CODE): i for i, e in enumerate(ELEMENTS)}


def index_of(field_id: int) -> int | None:
    """Where in :data:`ELEMENTS` an id leads: only class and code matter (md_find_entry_idx)."""
    return _INDEX.get((field_id & CLASS, field_id & CODE))


def is_single_element_id(field_id: int) -> bool:
    """Nothing reserved is set, and no sequence described (md_check_as_single_element_id)."""
    return not field_id & RESERVED


def id_at(index: int) -> int:
    """The id of an element; NO_FIELD behind the last one."""
    return ELEMENTS[index].id if index < len(ELEMENTS) else NO_FIELD


def sequences(start: int, room: int) -> Iterator[tuple[Element, ...]]:
    """The elements from index ``start`` on, in runs that take up to ``room`` bytes in all.

    A run takes eight bytes and eight per element (md_dump_list, md_dump_sequence).
    """
    index = start
    while index < len(ELEMENTS) and room >= 16:
        run = [ELEMENTS[index]]
        room -= 16
        index += 1
        while room >= 8 and index < len(ELEMENTS) and run[-1].is_followed_by(ELEMENTS[index]):
            run.append(ELEMENTS[index])
            room -= 8
            index += 1
        yield tuple(run)
        if index < len(ELEMENTS) and run[-1].is_followed_by(ELEMENTS[index]):
            return  # cut off for lack of room
