"""What a user's function must not return."""

from __future__ import annotations

from tdxfuzz.sim import HarnessError


class ResultError(HarnessError):
    """A function of ``owner``, a design or a user's KVM, has returned what it must not."""

    def __init__(self, owner: type, function: str, message: str) -> None:
        super().__init__(message)
        self.owner = owner
        self.function = function
