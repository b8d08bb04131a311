"""The time of a whole command, shared by what it does one after the other."""

from __future__ import annotations

import time

from attrs import field, frozen


@frozen
class Clock:
    """The time of the whole command, from now on; None: it has no bound."""

    seconds: float | None
    _began: float = field(factory=lambda: time.monotonic())

    @property
    def left(self) -> float | None:
        """Seconds, not below 0."""
        if self.seconds is None:
            return None
        return max(0.0, self.seconds - (time.monotonic() - self._began))

    def share(self, parts: float, least: float = 0.0) -> float | None:
        """The seconds for one of several that are still to be served: an equal part of what is
        left, or ``least`` if that is more.
        """
        left = self.left
        return None if left is None else min(left, max(least, left / parts))

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.left == 0.0
