#!/usr/bin/env python3
"""Atheris target: bytes as a reproducer file, which is untrusted input.

    tdxfuzz/fuzzers/reproducers.py -dict=SEEDS/reproducers.dict -max_total_time=60 CORPUS

``python -m tools.seeds SEEDS`` makes corpora and dictionaries.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["tdxfuzz"]):
    from tdxfuzz.fuzzers.properties import check_reproducer

from tdxfuzz.fuzzers.engine import fuzz_bytes

if __name__ == "__main__":
    fuzz_bytes(check_reproducer)
