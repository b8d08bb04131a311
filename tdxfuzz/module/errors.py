"""How a leaf gives up, how the module dies, and what the model lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.sim import HarnessError

if TYPE_CHECKING:
    from tdxfuzz.sim import Contents


class Refused(Exception):
    """A leaf ends with this status; the exit path releases what the call holds."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ModuleFatal(Exception):
    """A sanity check of the module failed: it shuts down until the next reboot.

    ``fatal_id`` is the number behind FATAL_ERROR_ID_ in the source.
    """

    def __init__(self, fatal_id: int, why: str) -> None:
        super().__init__(f"fatal error {fatal_id}: {why}")
        self.fatal_id = fatal_id
        self.why = why

    def in_key(self, read: Contents) -> object:
        """A module that has shut down is as any other that has."""
        return 0


class LeafNotModelledError(HarnessError):
    """The leaf exists in module 1.5.25, but this model does not have it. The text begins with
    its name.
    """
