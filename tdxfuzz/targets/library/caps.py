"""What a library says that it has."""

from __future__ import annotations

from attrs import frozen

from tdxfuzz.abi import BY_NAME
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.targets.library.boot import BOOT_LEAVES
from tdxfuzz.targets.library.errors import LibraryError

_HOOK, _SNAPSHOT, _INTERRUPT, _TSC, _GUEST = 1, 2, 4, 8, 16


@frozen
class Caps:
    """What a library has. ``leaves`` are those of its leaves that the model has too."""

    version: str
    leaves: frozenset[int]
    hook: bool = True
    snapshot: bool = True
    interrupt: bool = True
    tsc: bool = True
    guest: bool = True

    @classmethod
    def of(cls, version: str, flags: int, bits: int) -> Caps:
        """From ``struct tdxt_caps``, its leaves as one number.

        Raises:
            LibraryError: a leaf is missing without which no module comes up.
        """
        leaves = {number for number in range(256) if bits >> number & 1}
        for name in BOOT_LEAVES:
            if BY_NAME[f"TDH.{name}"].number not in leaves:
                raise LibraryError(
                    f"its tdxt_caps lack TDH.{name}, without which no module comes up"
                )
        return cls(
            version,
            frozenset(leaves & HANDLERS.keys()),
            hook=bool(flags & _HOOK),
            snapshot=bool(flags & _SNAPSHOT),
            interrupt=bool(flags & _INTERRUPT),
            tsc=bool(flags & _TSC),
            guest=bool(flags & _GUEST),
        )
