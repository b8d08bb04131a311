"""What the targets that run cases share: bytes to a case, a verdict, similar bytes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tdxfuzz.check.rerun import Worlds
from tdxfuzz.check.run import SetupError
from tdxfuzz.host.faults import WHAT_IF
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.search.codec import decode, encode
from tdxfuzz.search.mutate import cross, mutate

BLIND = 0.2
"""How often libFuzzer mutates bytes without knowing what they mean."""

ByteMutator = Callable[[bytes, int], bytes]


class Found(Exception):
    """An invariant is broken."""


class Cases:
    """Cases of one design, or "hostile" ones, for libFuzzer.

    Buckets of ``known`` findings are passed over: under a design, or a module, whose findings
    are known the fuzzer goes on to what is new.
    """

    def __init__(self, design: str, known: frozenset[str] = frozenset()) -> None:
        self.design = design
        self.known = known
        self._worlds = Worlds()

    def test_one_input(self, data: bytes) -> None:
        """Run the case that the bytes stand for; one whose setup fails says nothing, nor does
        a what-if: another module, or a BUSY that nobody caused.

        Raises:
            Found: with bucket and message.
        """
        case = decode(data, self.design)
        if case.world.module_variant != DEFAULT.name or any(f.kind in WHAT_IF for f in case.faults):
            return
        try:
            finding = self._worlds.run(case).finding
        except SetupError:
            return
        if finding is not None and finding.bucket not in self.known:
            raise Found(f"{finding.bucket}: {finding.message}")

    def mutated(self, data: bytes, max_size: int, seed: int, blindly: ByteMutator) -> bytes:
        """The bytes of a similar case; now and then ``blindly``, libFuzzer's own idea."""
        rng = Random(seed)
        if rng.random() < BLIND:
            return blindly(data, max_size)
        try:
            similar = encode(mutate(decode(data, self.design), rng, self._worlds))
        except (SetupError, ValueError):
            return data[:max_size]
        return similar if len(similar) <= max_size else data[:max_size]

    def crossed(self, data: bytes, other: bytes, max_size: int, seed: int) -> bytes:
        """The bytes of a child of two cases."""
        rng = Random(seed)
        try:
            child = encode(cross(decode(data, self.design), decode(other, self.design), rng))
        except ValueError:
            return data[:max_size]
        return child if len(child) <= max_size else data[:max_size]
