#!/usr/bin/env python3
"""Atheris target: bytes as a reproducer file, which is untrusted input.

    tdxfuzz/fuzzers/reproducers.py -dict=SEEDS/reproducers.dict -max_total_time=60 CORPUS

``tdxfuzz-seeds SEEDS`` makes corpora and dictionaries.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["tdxfuzz"]):
    from tdxfuzz.fuzzers.properties import check_reproducer

from tdxfuzz.fuzzers.engine import fuzz_bytes


def main() -> None:
    """Fuzz until an input crashes, or as the options say."""
    fuzz_bytes(check_reproducer)


if __name__ == "__main__":
    main()
