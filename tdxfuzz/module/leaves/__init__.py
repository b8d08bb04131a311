"""The modelled leaves, one file per family; importing this package registers them."""

from tdxfuzz.module.leaves import (
    key,
    mem_page,
    mem_range,
    mem_sept,
    mem_size,
    mng,
    phymem,
    phymem_pamt,
    sys,
    vp,
)
from tdxfuzz.module.leaves.registry import HANDLERS

__all__ = [
    "HANDLERS",
    "key",
    "mem_page",
    "mem_range",
    "mem_sept",
    "mem_size",
    "mng",
    "phymem",
    "phymem_pamt",
    "sys",
    "vp",
]
