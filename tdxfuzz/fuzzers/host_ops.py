#!/usr/bin/env python3
"""Atheris target: host operations under a design; a finding is a crash.

    TDXFUZZ_DESIGN=hint tdxfuzz/fuzzers/host_ops.py -max_total_time=60 CORPUS

All options are libFuzzer's (``-merge=1``, ``-minimize_crash=1``, ``-fork=2`` …; they
start this file again, so it must be executable). ``tdxfuzz decode crash-…`` turns a
crash file into a shrunk reproducer.
"""

from __future__ import annotations

import os
import sys
from random import Random

import atheris

# What is imported before is not instrumented: coverage of locks and tables would cost
# twice the time and tells little that leaves, KVM's paths and designs do not.
import tdxfuzz.host.design
import tdxfuzz.host.kernel.lock
import tdxfuzz.module.access

with atheris.instrument_imports(include=["tdxfuzz"]):
    import tdxfuzz.host.host  # noqa: F401  (imported here to be instrumented)
    from tdxfuzz.host.designs import DESIGNS

from tdxfuzz.check.run import SetupError, run
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.search.codec import decode, encode
from tdxfuzz.search.mutate import mutate

BLIND = 0.2
"""How often libFuzzer mutates bytes without knowing what they mean."""

DESIGN = os.environ.get("TDXFUZZ_DESIGN", "merged")


class Found(Exception):
    """An invariant is broken."""


def test_one_input(data: bytes) -> None:
    """Run the case that the bytes stand for; one whose setup fails says nothing, nor does a
    what-if: another module, or a BUSY that nobody caused.

    Raises:
        Found: with bucket and message.
    """
    case = decode(data, DESIGN)
    if case.world.module_variant != DEFAULT.name or any(f.kind == "busy" for f in case.faults):
        return
    try:
        finding = run(case).finding
    except SetupError:
        return
    if finding is not None:
        raise Found(f"{finding.bucket}: {finding.message}")


def mutate_input(data: bytes, max_size: int, seed: int) -> bytes:
    """The bytes of a similar case; now and then libFuzzer's own idea of similar."""
    rng = Random(seed)
    if rng.random() < BLIND:
        mutated: bytes = atheris.Mutate(data, max_size)
        return mutated
    try:
        mutated = encode(mutate(decode(data, DESIGN), rng))
    except (SetupError, ValueError):
        return data[:max_size]
    return mutated if len(mutated) <= max_size else data[:max_size]


def main() -> None:
    """Hand over to libFuzzer."""
    if DESIGN not in DESIGNS:
        sys.exit(f"TDXFUZZ_DESIGN={DESIGN} is not one of: {', '.join(DESIGNS)}")
    # The length limit that libFuzzer grows slowly is for inputs that it mutates itself.
    arguments = [*sys.argv[:1], "-len_control=0", *sys.argv[1:]]
    atheris.Setup(arguments, test_one_input, custom_mutator=mutate_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
