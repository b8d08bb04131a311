"""What a user's function must not return."""

from __future__ import annotations

from tdxfuzz.sim import HarnessError


class ResultError(HarnessError):
    """A function of a design, or of a user's KVM, has returned what it must not."""

    def __init__(self, function: str, message: str) -> None:
        super().__init__(message)
        self.function = function
