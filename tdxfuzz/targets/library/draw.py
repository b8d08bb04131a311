"""Trials at random: a boot, then calls whose operands fit, nearly fit, or are garbage.

The model is called while a trial is drawn, so that what comes next fits where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from attrs import evolve, frozen

from tdxfuzz.abi import BY_NUMBER, Leaf
from tdxfuzz.abi.registers import L2_PAGES
from tdxfuzz.generate.hostile_calls import kind_of
from tdxfuzz.targets.library.boot import boot_calls, draw_plan, seamcall, spoiled
from tdxfuzz.targets.library.caps import Caps
from tdxfuzz.targets.library.draw_guest import draw_script
from tdxfuzz.targets.library.goals import fill_call, next_call
from tdxfuzz.targets.library.model import ModelSide
from tdxfuzz.targets.library.pools import FIT_TOGETHER, Pools
from tdxfuzz.targets.library.trial import EVERY, Outcome, Trial
from tdxfuzz.targets.recording import COMPARED, RecordedCall
from tdxfuzz.targets.world import TSC_AT_START

LENGTHS = (40, 200)
"""Calls of a trial behind its boot."""

LENGTHS_RUNNING = (60, 160)
"""The same for those that go straight to a running vCPU."""

LENGTHS_BEFORE_PROGRAMS = (3, 60)
"""The same if programs on several LPs follow: there are free pages then."""

WITHIN_BOOT = 0.1
"""Share of these in which the LPs go on with the boot."""

SPOILED = 0.12
"""Share of the trials whose machine or TDMRs are not as they should be."""

INTERLEAVED = 0.3
"""Share of the trials that end with programs on several LPs."""

GOALS = (0.0, 0.5, 0.8)
"""Share of the calls of a trial that lead on with a TD's life."""

RUNNING = 0.25
"""Share of the trials that go straight to a running vCPU, if the library has guests."""

FILLING = 0.02
"""Share of the trials that fill a range, with many calls: what depends on how many there are, or
on how many pages are in use, shows in no short one.
"""

LENGTHS_FILLING = (300, 900)
"""Calls of those."""

LOOK_EVERY = 12
"""Calls that succeed until such a trial sees anew what there is: that takes long there."""

TICKS = 0.1
"""Share of the calls before which time-stamp counters move, if the library lets them."""

STEPS = (1, 1000, 1 << 24, 1 << 32, -1, -(1 << 20))
"""By how many ticks: back, too, as on a machine that slept."""

STRAIGHT = 0.95
"""Share of their calls that do."""

SAME_LEAF = 0.5
"""Share of these in which all LPs begin with the same leaf."""

_WEIGHTS = {
    "TDH.PHYMEM.PAMT.ADD": 10,
    "TDH.PHYMEM.PAMT.REMOVE": 5,
    "TDH.PHYMEM.PAGE.RDMD": 5,
    "TDH.PHYMEM.PAGE.RECLAIM": 6,
    "TDH.MNG.CREATE": 8,
    "TDH.MNG.KEY.CONFIG": 6,
    "TDH.MNG.ADDCX": 12,
    "TDH.MNG.INIT": 4,
    "TDH.MNG.VPFLUSHDONE": 2,
    "TDH.MNG.KEY.FREEID": 3,
    "TDH.PHYMEM.CACHE.WB": 3,
    "TDH.MEM.SEPT.ADD": 6,
    "TDH.MEM.PAGE.AUG": 6,
}
_RARE = ("TDH.SYS.", "TDH.MNG.RD", "TDH.MNG.WR")
_VP_ENTER = 0
_NO_LEAVES = (200, 255, 61, 300, 0xFFFF)


@frozen
class Drawn:
    """A trial, and what the model did."""

    trial: Trial
    model: Outcome


class Drawer:
    """Draws trials for a library: of leaves that both sides have."""

    def __init__(self, caps: Caps, interleaved: float = INTERLEAVED) -> None:
        self._caps = caps
        self._interleaved = interleaved if caps.hook else 0.0
        self._tsc = TSC_AT_START
        self._runs = False
        self._fills = False
        self._leaves = [leaf for number, leaf in BY_NUMBER.items() if number in caps.leaves]
        # TDH.SYS.SHUTDOWN ends everything that could still be learnt.
        self._leaves = [leaf for leaf in self._leaves if leaf.name != "TDH.SYS.SHUTDOWN"]
        self._weights = [
            1 if leaf.name.startswith(_RARE) else 2 * _WEIGHTS.get(leaf.name, 2)
            for leaf in self._leaves
        ]

    def draw(self, rng: Random) -> Drawn:
        """A trial."""
        is_interleaved = rng.random() < self._interleaved
        cpus = rng.choice((2, 2, 3, 4)) if is_interleaved else rng.choice((1, 2))
        plan = draw_plan(rng, cpus)
        is_spoiled = not is_interleaved and rng.random() < SPOILED
        if is_spoiled:
            plan = spoiled(rng, plan)
        self._tsc = TSC_AT_START
        side = ModelSide(plan.world, cpus if is_interleaved else 1)
        pools = Pools(rng, plan)
        calls: list[RecordedCall] = []
        boot = list(boot_calls(plan, version=int(rng.random() < 0.1)))
        is_within_boot = is_interleaved and rng.random() < WITHIN_BOOT
        at = rng.randrange(2, 8) if is_within_boot else len(boot)
        self._boot(rng, side, calls, boot[:at], pools)
        goals = rng.choice(GOALS)
        lengths = LENGTHS_BEFORE_PROGRAMS if is_interleaved else LENGTHS
        self._runs = self._caps.guest and rng.random() < RUNNING
        self._fills = not is_interleaved and not is_spoiled and rng.random() < FILLING
        if self._fills:
            goals, lengths, self._runs = STRAIGHT, LENGTHS_FILLING, False
            pools.want_all()
        elif self._runs:
            goals, lengths = STRAIGHT, LENGTHS_RUNNING
            pools.want_more()
        done = 0
        for _ in range(0 if is_within_boot else 8 if is_spoiled else rng.randint(*lengths)):
            if self._make(rng, side, calls, self._next(rng, side, pools, goals)):
                done += 1
                if not self._fills or done < LOOK_EVERY or done % LOOK_EVERY == 0:
                    pools.look(side.bench.module)
        programs: dict[int, tuple[RecordedCall, ...]] = {}
        order: tuple[int, ...] = ()
        if is_interleaved and side.stop is None:
            pools.fit = FIT_TOGETHER
            if is_within_boot:
                near = boot[at : at + 6]
                programs = {lp: (evolve(rng.choice(near), cpu=lp),) for lp in range(cpus)}
            else:
                leaf = self._leaf(rng) if rng.random() < SAME_LEAF else None
                firsts = [self._next(rng, side, pools, goals, leaf) for _ in range(cpus)]
                programs = {
                    lp: self._program(rng, pools, lp, first) for lp, first in enumerate(firsts)
                }
            order = draw_order(rng, cpus)
        outcome = side.end(programs, order)
        return Drawn(Trial(plan.world, tuple(calls), programs, order), outcome)

    def _boot(
        self,
        rng: Random,
        side: ModelSide,
        calls: list[RecordedCall],
        boot: list[RecordedCall],
        pools: Pools,
    ) -> None:
        """Bring the module up, with other calls in between."""
        pools.look(side.bench.module)
        for call in boot:
            while rng.random() < 0.02:
                self._make(rng, side, calls, self.call(rng, pools, len(side.bench.lps)))
            if not self._make(rng, side, calls, call) and call.name != "SYS_TDMR_INIT":
                break  # the rest would be refused for the same reason
        pools.look(side.bench.module)

    def call(self, rng: Random, pools: Pools, lps: int, leaf: Leaf | None = None) -> RecordedCall:
        """Any call, or any of a leaf."""
        if rng.random() < 0.01:
            return _no_leaf(rng.choice(_NO_LEAVES))
        leaf = leaf or self._leaf(rng)
        call = seamcall(leaf.name.removeprefix("TDH."), rng.randrange(lps))
        call = evolve(
            call,
            inputs=self._inputs(rng, pools, leaf),
            version=self._version(rng, leaf),
            interrupted=self._caps.interrupt and rng.random() < 0.05,
        )
        if rng.random() < 0.01:  # bits that make it no leaf: reserved ones, or another number
            number = leaf.number | 1 << rng.choice((*range(8, 16), *range(24, 64)))
            if number not in BY_NUMBER:
                return evolve(_no_leaf(number), inputs=call.inputs, cpu=call.cpu)
        return self._with_guest(rng, pools, call)

    def _next(
        self, rng: Random, side: ModelSide, pools: Pools, goals: float, leaf: Leaf | None = None
    ) -> RecordedCall:
        """A call that leads on, in a share of ``goals``; else any, or any of a leaf."""
        module, lps = side.bench.module, len(side.bench.lps)
        if side.stop is None and module.pamt.tdmrs and rng.random() < goals:
            call = (
                fill_call(rng, module, pools, lps)
                if self._fills
                else next_call(rng, module, pools, lps, self._runs)
            )
            if call.leaf in self._caps.leaves:
                interrupted = call.interrupted or rng.random() < 0.03
                call = evolve(call, interrupted=interrupted and self._caps.interrupt)
                return self._with_guest(rng, pools, call)
        return self.call(rng, pools, lps, leaf)

    def _with_guest(self, rng: Random, pools: Pools, call: RecordedCall) -> RecordedCall:
        """A call that may enter a vCPU, with what that does."""
        if call.leaf != _VP_ENTER or not self._caps.guest or rng.random() < 0.2:
            return call
        return evolve(call, guest=draw_script(rng, pools))

    def _leaf(self, rng: Random) -> Leaf:
        return rng.choices(self._leaves, self._weights)[0]

    def _make(
        self, rng: Random, side: ModelSide, calls: list[RecordedCall], call: RecordedCall
    ) -> bool:
        """Make a call on the model; whether it succeeded."""
        if side.stop is not None:
            return False
        if len(calls) % EVERY == 0:
            side.look()
        if self._caps.tsc and rng.random() < TICKS:
            self._tsc = max(0, self._tsc + rng.choice(STEPS))
            call = evolve(call, tsc=self._tsc)
        calls.append(call)
        result = side.call(call)
        return result is not None and result.status.ok

    def _inputs(self, rng: Random, pools: Pools, leaf: Leaf) -> Mapping[str, int]:
        inputs: dict[str, int] = {}
        for register, meaning in leaf.inputs.items():
            if meaning.startswith("TD_PARAMS"):
                inputs[register] = pools.fitting("params")
            elif register in L2_PAGES and meaning.startswith("L2"):
                continue
            elif (kind := kind_of(leaf, register)) is not None:
                inputs[register] = pools.fitting(kind)
            else:
                inputs[register] = rng.choice((0, 0, 0, 1, 2, pools.garbage(0)))
        if rng.random() < 0.05:  # registers that nobody reads come back as they were
            inputs |= {name: rng.getrandbits(64) for name in COMPARED if name not in inputs}
        return inputs

    def _version(self, rng: Random, leaf: Leaf) -> int:
        if rng.random() < 0.02:
            return rng.choice((1, 2, 255))
        return rng.choice(leaf.versions)

    def _program(
        self, rng: Random, pools: Pools, lp: int, first: RecordedCall
    ) -> tuple[RecordedCall, ...]:
        """One to three calls."""
        calls = [first]
        calls += [self.call(rng, pools, lp + 1) for _ in range(rng.choice((0, 0, 1, 2)))]
        return tuple(evolve(call, cpu=lp) for call in calls)


def _no_leaf(rax: int) -> RecordedCall:
    """A call that no module knows."""
    return RecordedCall(rax, f"LEAF_{rax:#x}", 0, {}, False, None, {}, 0)


def draw_order(rng: Random, cpus: int) -> tuple[int, ...]:
    """Whose turn it is, event by event: at random, or in a few pieces, which reach deeper."""
    if rng.random() < 0.5:
        return tuple(rng.randrange(cpus) for _ in range(rng.choice((10, 40, 120))))
    order: list[int] = []
    for _ in range(rng.randint(1, 5)):
        order += [rng.randrange(cpus)] * rng.randint(1, 12)
    return tuple(order)
