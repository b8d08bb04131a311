"""One observer that passes everything on to the checks that want to hear it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.watch import HostWatch
from tdxfuzz.module.watch import ModuleWatch
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.host.host import Host

WATCHES: tuple[type, ...] = (HostWatch, ModuleWatch)

HOOKS = tuple(name for watch in WATCHES for name in vars(watch) if not name.startswith("_"))


class Judge(HostWatch):
    """Calls, for each hook, those listeners that do something in it; costs nothing for others."""

    STATE: ClassVar = Declared(fixed=" ".join(HOOKS))

    def __init__(self, listeners: Sequence[ModuleWatch | Host]) -> None:
        for hook, numbers in _plan(tuple(map(type, listeners))):
            targets = [getattr(listeners[i], hook) for i in numbers]
            setattr(self, hook, targets[0] if len(targets) == 1 else _fan_out(targets))


@lru_cache
def _plan(kinds: tuple[type, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """For each hook that any of some kinds of listeners overrides, which ones do.

    Remembered: a hunt makes a judge for the same kinds again and again.
    """
    wanted: dict[str, list[int]] = {}
    for i, kind in enumerate(kinds):
        for hook in overridden(kind):
            wanted.setdefault(hook, []).append(i)
    return tuple((hook, tuple(numbers)) for hook, numbers in wanted.items())


_OVERRIDDEN: dict[type, tuple[str, ...]] = {}


def overridden(listener: type) -> tuple[str, ...]:
    """The hooks that a class does something in; worked out once for each class."""
    if listener not in _OVERRIDDEN:
        silent = {getattr(watch, name, None) for watch in WATCHES for name in HOOKS}
        _OVERRIDDEN[listener] = tuple(
            name for name in HOOKS if getattr(listener, name, None) not in silent
        )
    return _OVERRIDDEN[listener]


def _fan_out(targets: list[Callable[..., None]]) -> Callable[..., None]:
    if len(targets) == 2:
        first, second = targets

        def call_both(*args: object) -> None:
            first(*args)
            second(*args)

        return call_both

    def call_all(*args: object) -> None:
        for target in targets:
            target(*args)

    return call_all
