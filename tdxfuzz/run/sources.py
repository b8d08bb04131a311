"""Which line of a design's code is at work, for traces that name it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import isfunction, unwrap
from pathlib import Path
from types import CodeType, FrameType

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.host import Host
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.sim import Simulator

_METHODS = {"get": "get", "put": "put", "enter": "get"}
"""By kind of record: the method that it is about, where no line of the design is at work."""


class Sources:
    """Finds the line of a design that the current CPU is in.

    Args:
        layer: the design. What it inherits from another design counts as its own, and so does
            a KVM of the user's.
        sim: knows the current CPU.
    """

    def __init__(self, layer: RefcountLayer, sim: Simulator) -> None:
        layer_class = type(layer)
        self._layer = layer
        self._sim = sim
        written = layer_class.__mro__ if layer_class.c_file is None else ()
        own = [each for each in written if each not in RefcountLayer.__mro__]
        if layer_class.kvm is not None:
            own += [each for each in layer_class.kvm.__mro__ if each not in Kvm.__mro__]
        self._files = {code.co_filename for each in own for code in _codes(each)}
        self._methods = {
            kind: f"{Path(code.co_filename).name}:{code.co_firstlineno}"
            for kind, name in _METHODS.items()
            if (code := _code(getattr(layer_class, name))) is not None
            and code.co_filename in self._files
        }

    def __call__(self, kind: str) -> str:
        """As ``file.py:12``; empty for a record that is not about the design."""
        if kind == "step":
            return ""
        place = self._layer.place_of(self._sim.current.id, _METHODS.get(kind, ""))
        if place is not None:
            return f"{Path(place.file).name}:{place.line}"
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename in self._files:
                return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            frame = frame.f_back
        return self._methods.get(kind, "")


Look = Callable[[Host], None]
"""Is shown a host, and changes nothing."""


class Looking:
    """Shows the host to somebody before each record of a trace.

    Args:
        look: is shown the host.
        host: the host.
        sources: knows the line of code, if records are to name it.
    """

    def __init__(self, look: Look, host: Host, sources: Sources | None) -> None:
        self._look = look
        self._host = host
        self._sources = sources

    def __call__(self, kind: str) -> str:
        """As :class:`Sources`."""
        self._look(self._host)
        return "" if self._sources is None else self._sources(kind)


def _codes(layer_class: type) -> list[CodeType]:
    codes = (_code(thing) for thing in vars(layer_class).values())
    return [code for code in codes if code is not None]


def _code(method: object) -> CodeType | None:
    """The code that a method was written as, whatever it was decorated with."""
    return unwrap(method).__code__ if isfunction(method) else None
