"""What the machine under the module is like."""

from __future__ import annotations

from attrs import field, frozen

from tdxfuzz.abi import KeyIdBits

_USEC_PER_SEC = 1_000_000


@frozen
class Platform:
    """HKIDs, packages and address bits; the defaults are the recordings' machine.

    ``cache_sub_blocks`` is into how many parts TDH.PHYMEM.CACHE.WB divides the cache.
    ``cmrs`` are the convertible memory ranges, as (address, size) pairs in bytes; MCHECK
    lists them by address, and no more than 32. ``tsc_frequency`` is that of the time-stamp
    counter, in Hz; the module dies of less than 152,588 and of more than 32 bits.
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
    tsc_frequency: int = 2_000_000_000

    def tsc_ticks(self, usec: int) -> int:
        """Microseconds in ticks of the time-stamp counter (translate_usec_to_tsc)."""
        return usec * self.tsc_frequency // _USEC_PER_SEC

    def usec(self, tsc_ticks: int) -> int:
        """Ticks of the time-stamp counter in microseconds."""
        return tsc_ticks * _USEC_PER_SEC // self.tsc_frequency
