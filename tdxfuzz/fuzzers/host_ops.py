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

import atheris

with atheris.instrument_imports(include=["tdxfuzz.module", "tdxfuzz.host"]):
    from tdxfuzz.check.run import run
    from tdxfuzz.host.designs import DESIGNS
    from tdxfuzz.search.codec import decode

DESIGN = os.environ.get("TDXFUZZ_DESIGN", "merged")


class Found(Exception):
    """An invariant is broken."""


def test_one_input(data: bytes) -> None:
    """Run the case that the bytes stand for.

    Raises:
        Found: with bucket and message.
    """
    finding = run(decode(data, DESIGN)).finding
    if finding is not None:
        raise Found(f"{finding.bucket}: {finding.message}")


def main() -> None:
    """Hand over to libFuzzer."""
    if DESIGN not in DESIGNS:
        sys.exit(f"TDXFUZZ_DESIGN={DESIGN} is not one of: {', '.join(DESIGNS)}")
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
