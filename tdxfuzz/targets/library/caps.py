"""What a library says that it has."""

from __future__ import annotations

from attrs import frozen

from tdxfuzz.abi import BY_NAME, BY_NUMBER
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.targets.library.boot import BOOT_LEAVES
from tdxfuzz.targets.library.errors import LibraryError

_HOOK, _SNAPSHOT, _INTERRUPT, _TSC, _GUEST = 1, 2, 4, 8, 16


@frozen
class Caps:
    """What a library has. ``leaves`` are those of its leaves that the model has too;
    ``not_modelled`` are others, which the model lacks, and ``no_leaf`` numbers that no leaf has.
    """

    version: str
    leaves: frozenset[int]
    hook: bool = True
    snapshot: bool = True
    interrupt: bool = True
    tsc: bool = True
    guest: bool = True
    not_modelled: tuple[str, ...] = ()
    no_leaf: tuple[int, ...] = ()

    @classmethod
    def of(cls, version: str, flags: int, bits: int) -> Caps:
        """From ``struct tdxt_caps``, its leaves as one number.

        Raises:
            LibraryError: leaves are missing without which no module comes up.
        """
        leaves = {number for number in range(256) if bits >> number & 1}
        boot = [BY_NAME[f"TDH.{name}"] for name in BOOT_LEAVES]
        missing = [f"{leaf.name} ({leaf.number})" for leaf in boot if leaf.number not in leaves]
        if missing:
            raise LibraryError(
                f"its tdxt_caps lack {', '.join(missing)}, without which no module comes up"
            )
        others = sorted(leaves - HANDLERS.keys())
        return cls(
            version,
            frozenset(leaves & HANDLERS.keys()),
            hook=bool(flags & _HOOK),
            snapshot=bool(flags & _SNAPSHOT),
            interrupt=bool(flags & _INTERRUPT),
            tsc=bool(flags & _TSC),
            guest=bool(flags & _GUEST),
            not_modelled=tuple(BY_NUMBER[n].name for n in others if n in BY_NUMBER),
            no_leaf=tuple(n for n in others if n not in BY_NUMBER),
        )
