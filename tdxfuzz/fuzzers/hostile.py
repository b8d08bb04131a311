#!/usr/bin/env python3
"""Atheris target: raw SEAMCALLs with no host layer; a finding that is new is a crash.

    tdxfuzz/fuzzers/hostile.py -max_total_time=60 CORPUS

What docs/findings.md describes is passed over; with ``TDXFUZZ_ALL=1`` it is not. ``tdxfuzz
decode crash-… --design hostile`` turns a crash file into a shrunk reproducer.
"""

from __future__ import annotations

import os

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.fuzzers.engine import fuzz_cases
from tdxfuzz.fuzzers.known import KNOWN_HOSTILE


def main() -> None:
    """Fuzz until an input crashes, or as the options say."""
    everything = os.environ.get("TDXFUZZ_ALL", "") not in ("", "0")
    fuzz_cases(HOSTILE, frozenset() if everything else KNOWN_HOSTILE)


if __name__ == "__main__":
    main()
