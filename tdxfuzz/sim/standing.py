"""Where CPUs are in their code, for people who want to know why a run does not end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType

from tdxfuzz.sim.cpu import Cpu
from tdxfuzz.sim.errors import CodePlace, Standing


def places_of(frame: FrameType | None) -> tuple[CodePlace, ...]:
    """The functions that a frame is in, the innermost first."""
    places: list[CodePlace] = []
    while frame is not None:
        code = frame.f_code
        places.append(CodePlace(code.co_filename, frame.f_lineno, code.co_qualname))
        frame = frame.f_back
    return tuple(places)


def standing(cpus: Sequence[Cpu], current: Cpu) -> Standing:
    """The places of all CPUs that could go on; to be asked from the current one."""
    found = []
    for cpu in cpus:
        if cpu.runnable and (cpu is current or cpu.greenlet is not None):
            inner = sys._getframe() if cpu is current else _frame_of(cpu.greenlet)
            found.append((cpu.id, places_of(inner)))
    return tuple(found)


def _frame_of(suspended: object) -> FrameType | None:
    frame = getattr(suspended, "gr_frame", None)
    return frame if isinstance(frame, FrameType) else None
