"""A function of a library that returns a negative number: what was asked, and what to do."""

from __future__ import annotations

from tdxfuzz.targets.world import AtReset

_TO_DO = {
    "tdxt_reset": "worlds have 1 to 4 LPs on one or two packages, and HKID bits in one of three "
    "places; a library has to do them all",
    "tdxt_mem_read": "each page below MAXPA that the module does not use has to be there",
    "tdxt_mem_write": "each page below MAXPA that the module does not use has to be there",
    "tdxt_seamcall": "what the module refuses is a status in RAX; a leaf that the library cannot "
    "do has no bit in tdxt_caps",
    "tdxt_snapshot": "parts that the library cannot give are left out of the text; without any, do "
    "not set TDXT_HAS_SNAPSHOT",
    "tdxt_interrupt": "without it, do not set TDXT_HAS_INTERRUPT",
    "tdxt_tsc": "without it, do not set TDXT_HAS_TSC",
    "tdxt_guest": "without it, do not set TDXT_HAS_GUEST",
}


def refusal_text(function: str, why: str, asked: str, world: AtReset | None) -> str:
    """One line about a negative number. ``why`` is that number and what ``tdxt_error`` says,
    ``asked`` what the function was called for, and ``world`` where.
    """
    if not function:
        return why
    number, _, reason = why.partition(": ")
    parts = [f"{function} returned {number}: {reason or 'tdxt_error gives no reason'}"]
    if asked:
        parts.append(f"asked for {asked}")
    if world is not None:
        parts.append(f"in a world of {world_text(world)}")
    return "; ".join([*parts, _TO_DO[function]])


def world_text(world: AtReset) -> str:
    """A machine in a few words."""
    platform, bits = world.platform, world.platform.key_bits
    return (
        f"{len(world.packages)} LPs (packages {', '.join(map(str, world.packages))}), "
        f"MAXPA {platform.max_pa}, HKID bits {bits.start} to {bits.start + bits.width - 1}, "
        f"{len(platform.cmrs)} CMRs"
    )
