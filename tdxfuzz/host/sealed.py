"""Objects of a user's class: what ``setup`` has made of them stays as it is."""

from __future__ import annotations

from typing import ClassVar

from tdxfuzz.sim import Declared, HarnessError


def _contents(value: object) -> object:
    """A copy of containers all the way down; anything else stands for itself."""
    if isinstance(value, dict):
        return {key: _contents(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_contents(inner) for inner in value]
    if isinstance(value, set | bytearray):
        return value.copy()
    return value


class Sealed:
    """Attributes may be set until :meth:`seal`. State that CPUs share must be in cells, because
    races on other state are not seen.
    """

    STATE: ClassVar = Declared(fixed="_frozen_state _sealed")

    _sealed: bool
    _frozen_state: dict[str, object]

    def __init__(self) -> None:
        object.__setattr__(self, "_sealed", False)

    def seal(self) -> None:
        """From now on no attribute may be set."""
        object.__setattr__(self, "_frozen_state", self._plain_state())
        object.__setattr__(self, "_sealed", True)

    def check_sealed(self) -> None:
        """Called by the harness when a run has ended.

        Raises:
            HarnessError: a container made in ``setup`` was changed afterwards.
        """
        for name, value in self._plain_state().items():
            if value != self._frozen_state[name]:
                raise HarnessError(
                    f"{type(self).__name__}.{name} was changed after setup(); keep state that "
                    "CPUs share in cells (self.atomic, self.refcount, locks), because races on "
                    "other state are not seen"
                )

    def _plain_state(self) -> dict[str, object]:
        return {
            name: _contents(value)
            for name, value in vars(self).items()
            if isinstance(value, list | dict | set | bytearray) and name != "_frozen_state"
        }

    def __setattr__(self, name: str, value: object) -> None:
        if getattr(self, "_sealed", False):
            raise HarnessError(
                f"{type(self).__name__}.{name} is set outside setup(); keep state that CPUs "
                "share in cells (self.atomic, self.refcount, locks), because races on other "
                "state are not seen"
            )
        object.__setattr__(self, name, value)
