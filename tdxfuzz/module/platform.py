"""What the machine under the module is like."""

from __future__ import annotations

from attrs import field, frozen

from tdxfuzz.abi import KeyIdBits


@frozen
class Platform:
    """HKIDs, packages and address bits; the defaults are the recordings' machine.

    ``cache_sub_blocks`` is into how many parts TDH.PHYMEM.CACHE.WB divides the cache.
    ``cmrs`` are the convertible memory ranges, as (address, size) pairs in bytes; MCHECK
    lists them by address, and no more than 32.
    """

    max_pa: int = 46
    key_bits: KeyIdBits = field(factory=KeyIdBits)
    private_hkid_min: int = 32
    private_hkid_max: int = 63
    global_hkid: int = 32
    packages: int = 1
    cache_sub_blocks: int = 4
    pml5: bool = True
    cmrs: tuple[tuple[int, int], ...] = ((0, 1 << 40),)
