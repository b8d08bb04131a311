"""Shared by the targets that run cases: bytes to a case, a verdict, similar bytes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import WHAT_IF
from tdxfuzz.engines.hunt import check_harness
from tdxfuzz.generate.codec import decode, encode
from tdxfuzz.generate.mutate import cross, mutate
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.footprint import Conflicts
from tdxfuzz.run.session import Design, SetupError
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import Schedule

BLIND = 0.2
"""How often libFuzzer mutates bytes without knowing what they mean."""

MOST_BYTES = 256
"""What is longer libFuzzer cuts off: the longest cases have a set-up of their own, and all calls
spelled out.
"""

MOST_CPUS = 4
MOST_OPERATIONS = 8
"""Of a case that is handed to libFuzzer. For the sake of counts it would keep cases of eight CPUs
and twenty operations, which take several times as long.
"""

MOST_WORLDS = 256
"""Of 128 KB or so."""

KEPT = 1024
"""Cases whose bytes need not be decoded again."""

ByteMutator = Callable[[bytes, int], bytes]


class FoundByFuzzing(Exception):
    """An invariant is broken."""


class Cases:
    """Cases of one design, or "hostile" ones, for libFuzzer.

    Buckets of ``known`` findings are passed over: under a design, or a module, whose findings
    are known the fuzzer goes on to what is new. ``layer`` is the class of a user's design.
    """

    def __init__(
        self, design: str, known: frozenset[str] = frozenset(), layer: Design = None
    ) -> None:
        self.design = design
        self.known = known
        self._layer = layer
        self._worlds = Worlds(layer, most=MOST_WORLDS)
        self._conflicts = Conflicts(self._worlds)
        self._met: dict[bytes, Case] = {}
        self._runs = 0

    def test_one_input(self, data: bytes) -> None:
        """Run the case that the bytes stand for; one whose setup fails says nothing, nor does
        a what-if: another module, or a BUSY that nobody caused.

        Raises:
            FoundByFuzzing: with bucket and message.
            HarnessError: a run was not deterministic, or the model contradicts itself.
        """
        case = self._case(data)
        if case.world.module_variant != DEFAULT.name or any(f.kind in WHAT_IF for f in case.faults):
            return
        try:
            attempt = self._worlds.run(case)
        except SetupError:
            return
        finding = attempt.finding
        is_new = finding is not None and finding.bucket not in self.known
        self._runs += 1
        check_harness(attempt, self._runs, self._layer, is_new)
        if finding is not None and is_new:
            raise FoundByFuzzing(f"{finding.bucket}: {finding.message}")

    def mutated(self, data: bytes, max_size: int, seed: int, blindly: ByteMutator) -> bytes:
        """The bytes of a similar case; now and then of libFuzzer's own idea, ``blindly``."""
        rng = Random(seed)
        if rng.random() < BLIND:
            similar = self._small_case(blindly(data, max_size))
        else:
            try:
                similar = mutate(self._small_case(data), rng, self._conflicts)
            except SetupError:
                return data[:max_size]
        return self._bytes(similar, data, max_size)

    def crossed(self, data: bytes, other: bytes, max_size: int, seed: int) -> bytes:
        """The bytes of a child of two cases."""
        child = cross(self._small_case(data), self._small_case(other), Random(seed))
        return self._bytes(child, data, max_size)

    def _bytes(self, case: Case, instead: bytes, max_size: int) -> bytes:
        """Bytes of a case, or of its beginning if it has grown; others if there are none."""
        small = _small(case)
        try:
            data = encode(small)
        except ValueError:
            return instead[:max_size]
        if len(data) > max_size:
            return instead[:max_size]
        self._remembered(data, small)
        return data

    def _case(self, data: bytes) -> Case:
        case = self._met.get(data)
        return self._remembered(data, decode(data, self.design)) if case is None else case

    def _small_case(self, data: bytes) -> Case:
        return _small(self._case(data))

    def _remembered(self, data: bytes, case: Case) -> Case:
        """The case, kept for its bytes: what a mutation made is run next, and then mutated."""
        if len(self._met) >= KEPT:
            del self._met[next(iter(self._met))]
        self._met[data] = case
        return case


def _small(case: Case) -> Case:
    """The case with what is beyond the limits left out: CPUs, the ends of programs, and
    switches to who is not there any more.
    """
    cpus = min(case.world.cpus, MOST_CPUS)
    longest = MOST_OPERATIONS // cpus
    if cpus == case.world.cpus and max(map(len, case.programs)) <= longest:
        return case
    world = evolve(case.world, cpus=cpus)
    programs = tuple(program[:longest] for program in case.programs[:cpus])
    switches = case.schedule
    if world != case.world:
        switches = Schedule(tuple(switch for switch in switches if switch.cpu < cpus))
    return evolve(case, world=world, programs=programs, schedule=switches)
