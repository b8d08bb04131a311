#!/usr/bin/env python3
"""Atheris target: bytes as words of the ABI, and as the text of an operation.

    tdxfuzz/fuzzers/status_words.py -dict=SEEDS/status_words.dict -max_total_time=60 CORPUS

``python -m tools.seeds SEEDS`` makes corpora and dictionaries.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["tdxfuzz"]):
    from tdxfuzz.fuzzers.properties import check_words

from tdxfuzz.fuzzers.engine import fuzz_bytes

if __name__ == "__main__":
    fuzz_bytes(check_words)
