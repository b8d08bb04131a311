"""Runs that do not end: what is said of one that has used up its steps, and the fair ones too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tdxfuzz.check.base import NOBODY, kind_of
from tdxfuzz.check.finding import Finding
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.run.blame import own_place
from tdxfuzz.sim import Cpu, StepBound

CUT_OFF = "cut-off"
"""What the buckets of such runs begin with. No check has this name: nothing is proved."""


def cut_off(
    bound: StepBound,
    layer: RefcountLayer,
    waiting: Sequence[tuple[Cpu, str]],
    step: int,
) -> Finding:
    """Where the CPUs of a run were when it was cut off.

    Args:
        bound: what ended the run.
        layer: the design.
        waiting: the CPUs that wait for a lock, and its name.
        step: the last step.
    """
    functions: list[str] = []
    told: list[str] = []
    for cpu, places in bound.standing:
        place = layer.place_of(cpu) or own_place(places, type(layer))
        if place is None:
            told.append(f"CPU {cpu} goes on")
            continue
        functions.append(place.function)
        told.append(f"CPU {cpu} is in {place.function} ({Path(place.file).name}:{place.line})")
    told += [f"{cpu} waits for {lock}" for cpu, lock in waiting]
    return Finding(
        check=CUT_OFF,
        leaf=" ".join(sorted(set(functions))) or NOBODY,
        status=NOBODY,
        objects=" ".join(sorted({kind_of(lock) for _, lock in waiting})) or NOBODY,
        step=step,
        cpu=bound.standing[0][0] if bound.standing else 0,
        message=f"{bound}, and did not end when every CPU got its turn: {', '.join(told)}",
    )
