"""Atheris, with the options that all targets have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

from tdxfuzz.fuzzers.cases import Cases

USUAL = ("-len_control=0", "-max_len=128")
"""The length limit that libFuzzer grows slowly is for inputs that it mutates itself; a case of
128 bytes has a dozen calls for each CPU, and longer ones only take longer."""

ByteTest = Callable[[bytes], None]


def fuzz_cases(cases: Cases) -> None:
    """Hand over to libFuzzer with a mutator and a crossover that know what a case is."""

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
