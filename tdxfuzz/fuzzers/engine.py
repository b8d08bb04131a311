"""Atheris, with what all targets have in common: options, and what of us it watches.

A target imports this before anything that brings in the model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

# What is imported before is not instrumented: coverage of locks and tables would cost
# twice the time and tells little that leaves, KVM's paths and designs do not.
import tdxfuzz.host.design
import tdxfuzz.host.kernel.lock
import tdxfuzz.module.access

with atheris.instrument_imports(include=["tdxfuzz"]):
    import tdxfuzz.host.host  # noqa: F401  (imported here to be instrumented)

from tdxfuzz.fuzzers.cases import MOST_BYTES, Cases
from tdxfuzz.run.session import Design

USUAL = ("-len_control=0", f"-max_len={MOST_BYTES}")
"""The length limit that libFuzzer grows slowly is for inputs that it mutates itself."""

ByteTest = Callable[[bytes], None]


def fuzz_cases(design: str, known: frozenset[str] = frozenset(), layer: Design = None) -> None:
    """Hand cases of a design over to libFuzzer, with a mutator and a crossover that know what
    a case is. Arguments are those of :class:`tdxfuzz.fuzzers.cases.Cases`.
    """
    cases = Cases(design, known, layer)

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        return cases.mutated(data, max_size, seed, atheris.Mutate)

    arguments = [*sys.argv[:1], *USUAL, *sys.argv[1:]]
    atheris.Setup(
        arguments,
        cases.test_one_input,
        custom_mutator=mutated,
        custom_crossover=cases.crossed,
    )
    atheris.Fuzz()


def fuzz_bytes(test_one_input: ByteTest) -> None:
    """Hand over to libFuzzer, which mutates as it likes."""
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
