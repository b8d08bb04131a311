"""What can be wrong with a layer in C: one line each, with file and line."""

from __future__ import annotations

from tdxfuzz.sim import HarnessError


class BuildError(HarnessError):
    """A file does not compile or link; ``details`` are further errors, one line each."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class CodeError(HarnessError):
    """C code crashed, does not end, or broke a rule of the kernel's API: never a finding.

    ``what`` is a word for it, and ``function`` the name of the function where it happened: they
    tell two errors apart. ``hangs``: it does not end.
    """

    def __init__(self, message: str, what: str, function: str, hangs: bool = False) -> None:
        super().__init__(message)
        self.what = what
        self.function = function
        self.hangs = hangs
