"""What a user's class must not declare, and its functions must not return."""

from __future__ import annotations

import inspect
from collections.abc import Set

from tdxfuzz.abi.status_codes import CODES
from tdxfuzz.sim import HarnessError

LEAKS = frozenset({"idle-pair"})
"""What a design may declare to be left over."""


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


def check_declarations(kind: type) -> None:
    """Whether a design's declarations say something: a name that is mistyped would declare nothing,
    and change verdicts.

    Raises:
        ResultError: one does not.
    """
    for field, known in (("tolerates", CODES), ("kvm_repeats", CODES), ("declared_leaks", LEAKS)):
        names = getattr(kind, field)
        if names is None and field == "kvm_repeats":
            continue
        if not isinstance(names, Set | tuple | list):
            raise _wrong(kind, field, f"is {names!r}, and not a set of names")
        for name in sorted(map(str, names)):
            if name not in known:
                what = "status" if known is CODES else "leak"
                raise _wrong(kind, field, f"names {name!r}, but there is no such {what}")
    for field in ("kworkers", "pamt_cache_pages"):
        number = getattr(kind, field)
        if not isinstance(number, int) or number < 0:
            raise _wrong(kind, field, f"is {number!r}, and not a number from 0 on")


def _wrong(kind: type, field: str, message: str) -> ResultError:
    return ResultError(kind, field, f"{kind.__name__}.{field} {message}")


def _runs_nothing(function: object) -> bool:
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )
