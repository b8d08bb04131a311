"""What a vCPU does between its entry and its exit, at random."""

from __future__ import annotations

from random import Random

from tdxfuzz.abi import GUEST_BY_NUMBER
from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.leaves import GUEST_HANDLERS
from tdxfuzz.module.td_exit import EXTERNAL_INTERRUPT, TRIPLE_FAULT
from tdxfuzz.targets.guest import GuestScript, Leave, Tdcall, Touch
from tdxfuzz.targets.library.pools import Pools

MOST_STEPS = 6
_NO_LEAVES = (13, 200, 0xFFFF)
"""Numbers that no TDCALL has."""


def draw_script(rng: Random, pools: Pools) -> GuestScript:
    """Touches of private memory and TDCALLs; at times an exit before the end."""
    steps: list[Touch | Tdcall | Leave] = []
    for _ in range(rng.randint(1, MOST_STEPS)):
        if rng.random() < 0.06:
            reason = TRIPLE_FAULT if rng.random() < 0.03 else EXTERNAL_INTERRUPT
            steps.append(Leave(reason))
        elif rng.random() < 0.45:
            steps.append(Touch(_gpa(rng, pools.any_of("plain gpa")), rng.random() < 0.5, None))
        else:
            steps.append(_tdcall(rng, pools))
    return GuestScript(tuple(steps))


def _gpa(rng: Random, other: int) -> int:
    """Most often of the pages that goals map."""
    return rng.choice((0, SIZE_4K)) if rng.random() < 0.7 else other


def _tdcall(rng: Random, pools: Pools) -> Tdcall:
    number = rng.choice(tuple(GUEST_HANDLERS)) if rng.random() < 0.97 else rng.choice(_NO_LEAVES)
    leaf = GUEST_BY_NUMBER.get(number)
    inputs = {"rcx": _gpa(rng, pools.fitting("gpa"))}
    if leaf is not None:
        others = [name for name in leaf.inputs if name != "rcx"]
        inputs |= {name: rng.choice((0, 0, 1, 7, pools.garbage(0))) for name in others}
    version = 1 if rng.random() < 0.02 else 0
    name = f"LEAF_{number}" if leaf is None else leaf.identifier
    return Tdcall(number, name, version, inputs, None)
