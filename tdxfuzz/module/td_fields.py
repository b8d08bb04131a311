"""The fields of a TD that TDH.MNG.RD and WR reach: ids, and where the model keeps them.

Source: include/auto_gen_1_5/tdr_tdcs_fields_lookup.c for the table, metadata_generic.c
and metadata_td.c for what an id means. The table has the fields that the model has; XFAM,
EPTP, TSC, CPUID and virtual MSRs, measurement, migration, service TDs, addresses of control
pages and S-EPT roots are left out, and answered as if no module had them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from tdxfuzz.sim import READ

if TYPE_CHECKING:
    from tdxfuzz.module.platform import Platform
    from tdxfuzz.module.td import Tdr

NO_FIELD = (1 << 64) - 1
"""The id that stands for none; asked for, it means the first field."""
CONTEXT = 7 << 52
CODE = 0xFF_FFFF
CLASS = 0x3F << 56
RESERVED = 0xFF << 24 | 0xF << 34 | 0x1FF << 38 | 7 << 47 | 1 << 55 | 1 << 62

MIN_HP_LOCK_TIMEOUT_USEC = 10_000
MAX_HP_LOCK_TIMEOUT_USEC = 100_000_000
_TSC_MASK = 0xFFFF_FFFF


@frozen
class TdField:
    """A field of one or more elements.

    ``first`` is the id of its first element; ``read`` gives the value of an element.
    ``debug_only``: the host can read it in a TD with ATTRIBUTES.DEBUG alone. ``write``
    takes the one value and says whether it is valid; without it nothing can be written.
    """

    name: str
    first: int
    read: Callable[[Platform, Tdr, int], int]
    elements: int = 1
    debug_only: bool = False
    write: Callable[[Platform, Tdr, int], bool] | None = None

    def id_of(self, element: int) -> int:
        """The id of an element."""
        return self.first + element


def _refcount(_: Platform, tdr: Tdr, element: int) -> int:
    epoch = tdr.tdcs.td_epoch
    epoch.sim.step(epoch, READ)
    return epoch.refcount[element]


def _hp_lock_timeout(platform: Platform, tdr: Tdr, element: int) -> int:
    return platform.usec(tdr.tdcs.hp_lock_timeout.read())


def _set_hp_lock_timeout(platform: Platform, tdr: Tdr, usec: int) -> bool:
    """In ticks of the TSC only 32 bits are kept: a long timeout can become a short one.

    check_hp_lock_timeout_and_translate_to_tsc.
    """
    if not MIN_HP_LOCK_TIMEOUT_USEC <= usec <= MAX_HP_LOCK_TIMEOUT_USEC:
        return False
    tdr.tdcs.hp_lock_timeout.write(platform.tsc_ticks(usec) & _TSC_MASK)
    return True


FIELDS: tuple[TdField, ...] = (
    TdField("FATAL", 0x8010_0000_0000_0001, lambda _p, tdr, _n: 0),
    TdField("NUM_TDCX", 0x8010_0002_0000_0002, lambda _p, tdr, _n: tdr.num_tdcx),
    TdField("CHLDCNT", 0x8010_0003_0000_0004, lambda _p, tdr, _n: tdr.chldcnt.read()),
    TdField("LIFECYCLE_STATE", 0x8010_0002_0000_0005, lambda _p, tdr, _n: tdr.lifecycle),
    TdField("HKID", 0x8110_0001_0000_0001, lambda _p, tdr, _n: tdr.hkid),
    TdField("PKG_CONFIG_BITMAP", 0x8110_0003_0000_0002, lambda _p, tdr, _n: tdr.pkg_config_bitmap),
    TdField("NUM_VCPUS", 0x9010_0002_0000_0001, lambda _p, tdr, _n: tdr.tdcs.num_vcpus),
    TdField("NUM_ASSOC_VCPUS", 0x9010_0002_0000_0002, lambda _p, tdr, _n: tdr.tdcs.num_assoc_vcpus),
    TdField("OP_STATE", 0x9010_0002_0000_0004, lambda _p, tdr, _n: tdr.tdcs.op_state),
    TdField("NUM_L2_VMS", 0x9010_0001_0000_0005, lambda _p, tdr, _n: tdr.tdcs.num_l2_vms),
    TdField("ATTRIBUTES", 0x1110_0003_0000_0000, lambda _p, tdr, _n: tdr.tdcs.attributes),
    TdField("MAX_VCPUS", 0x1110_0002_0000_0002, lambda _p, tdr, _n: tdr.tdcs.max_vcpus),
    TdField("GPAW", 0x1110_0000_0000_0003, lambda _p, tdr, _n: int(tdr.tdcs.gpaw)),
    TdField("HP_LOCK_TIMEOUT", 0x9110_0003_0000_0011, _hp_lock_timeout, write=_set_hp_lock_timeout),
    TdField(
        "TD_CTLS",
        0x9110_0003_0000_0017,
        lambda _p, tdr, _n: int(tdr.tdcs.pending_ve_disable),
        debug_only=True,
    ),
    TdField("TD_EPOCH", 0x9210_0003_0000_0000, lambda _p, tdr, _n: tdr.tdcs.td_epoch.read()),
    TdField("REFCOUNT", 0x9210_0001_0000_0001, _refcount, elements=2),
)
"""In the order of the module's table."""

_BY_PLACE = {
    (field.first & CLASS, (field.first & CODE) + element): (field, element)
    for field in FIELDS
    for element in range(field.elements)
}


def find_field(field_id: int) -> tuple[TdField, int] | None:
    """The field and the element an id names; size, context and bit 63 are ignored."""
    if field_id & RESERVED:
        return None
    return _BY_PLACE.get((field_id & CLASS, field_id & CODE))


def next_field_id(field: TdField | None, element: int, debug: bool) -> int:
    """The id of the readable element after this one, or of the first; NO_FIELD at the end."""
    if field is not None and element + 1 < field.elements:
        return field.id_of(element + 1)
    later = FIELDS if field is None else FIELDS[FIELDS.index(field) + 1 :]
    return next((f.first for f in later if debug or not f.debug_only), NO_FIELD)
