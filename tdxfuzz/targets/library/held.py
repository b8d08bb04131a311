"""Which locks events leave held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tdxfuzz.targets.recording import LockEvent

_ENTRY = "SEPTE["
"""An entry's lock can go with a compare-exchange of the entry: events do not tell."""


def held_after(events: Iterable[LockEvent]) -> Counter[tuple[str, str]]:
    """Locks by resource and mode, as far as they are held once more than they were released."""
    held: Counter[tuple[str, str]] = Counter()
    for op, mode, what, ok in events:
        if not ok or what.startswith(_ENTRY):
            continue
        if op == "acq":
            held[what, mode] += 1
        elif op == "promote":
            held[what, "SH"] -= 1
            held[what, mode] += 1
        elif op == "rel":
            held[what, mode] -= 1
    return Counter({lock: number for lock, number in held.items() if number})
