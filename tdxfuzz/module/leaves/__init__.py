"""The modelled leaves, one file per family; importing this package registers them."""

from tdxfuzz.module.leaves import (
    key,
    mem_page,
    mem_range,
    mem_rd,
    mem_sept,
    mem_size,
    mng,
    mng_rd,
    mr,
    phymem,
    phymem_pamt,
    sys,
    td_call,
    tdg_mem_page,
    vp,
    vp_enter,
)
from tdxfuzz.module.leaves.registry import GUEST_HANDLERS, HANDLERS

__all__ = [
    "GUEST_HANDLERS",
    "HANDLERS",
    "key",
    "mem_page",
    "mem_range",
    "mem_rd",
    "mem_sept",
    "mem_size",
    "mng",
    "mng_rd",
    "mr",
    "phymem",
    "phymem_pamt",
    "sys",
    "td_call",
    "tdg_mem_page",
    "vp",
    "vp_enter",
]
