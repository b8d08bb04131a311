"""What is wrong with a library as a test object: never a finding."""

from __future__ import annotations

from tdxfuzz.sim import HarnessError


class LibraryError(HarnessError):
    """It cannot be loaded, lacks what is needed, or refuses what the host asks of it."""
