"""What a user's function must not return."""

from __future__ import annotations

import inspect

from tdxfuzz.sim import HarnessError


class ResultError(HarnessError):
    """A function of ``owner``, a design or a user's KVM, has returned what it must not."""

    def __init__(self, owner: type, function: str, message: str) -> None:
        super().__init__(message)
        self.owner = owner
        self.function = function


def check_calls_run(kind: type, base: type) -> None:
    """Whether the functions of a user's class are plain functions, where those of ``base`` are.

    Raises:
        ResultError: one is ``async`` or holds ``yield``, so that calling it runs nothing.
    """
    for owner in kind.__mro__[: kind.__mro__.index(base)]:
        for name, own in vars(owner).items():
            if hasattr(base, name) and _runs_nothing(own):
                raise ResultError(
                    kind,
                    name,
                    f"{kind.__name__}.{name}() is async or holds a yield, so that calling it runs "
                    "nothing; make it a plain function",
                )


def _runs_nothing(function: object) -> bool:
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )
