#!/usr/bin/env python3
"""Atheris target: bytes as words of the ABI, and as the text of an operation.

    tdxfuzz/fuzzers/status_words.py -dict=SEEDS/status_words.dict -max_total_time=60 CORPUS

``tdxfuzz-seeds SEEDS`` makes corpora and dictionaries.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["tdxfuzz"]):
    from tdxfuzz.fuzzers.properties import check_words

from tdxfuzz.fuzzers.engine import fuzz_bytes


def main() -> None:
    """Fuzz until an input crashes, or as the options say."""
    fuzz_bytes(check_words)


if __name__ == "__main__":
    main()
