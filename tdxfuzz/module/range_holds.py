"""What each CPU's call holds of 2MB ranges, where a variant locks ranges as wholes.

A call may need several pages of one range, as MNG.ADDCX does with a TDR and a TDCX page. It must
not be refused over what it holds itself. So it holds a range once, however often it asks, in the
stronger of the modes that it asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.module.pamt_entry import Pamt2M
    from tdxfuzz.sim import Simulator


class RangeHolds:
    """The ranges that are held, by CPU and address: how often, and whether exclusive."""

    __slots__ = ("_held", "_sim")

    STATE: ClassVar = Declared(shared="_held", fixed="_sim")

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._held: dict[tuple[int, int], tuple[int, bool]] = {}

    def acquire(self, range_: Pamt2M, exclusive: bool) -> bool:
        """Hold a range once more; False, and nothing has changed, if another CPU is in the way."""
        key = self._sim.current.id, range_.hpa
        count, is_exclusive = self._held.get(key, (0, False))
        if not count and not range_.acquire_sh():
            return False
        if exclusive and not is_exclusive and not range_.promote():
            if not count:
                range_.release_sh()
            return False
        self._held[key] = count + 1, is_exclusive or exclusive
        return True

    def release(self, range_: Pamt2M) -> None:
        """Hold it once less. It is free for others when the call needs it no more."""
        key = self._sim.current.id, range_.hpa
        count, is_exclusive = self._held.pop(key)
        if count > 1:
            self._held[key] = count - 1, is_exclusive
        elif is_exclusive:
            range_.release_ex()
        else:
            range_.release_sh()
