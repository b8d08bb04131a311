#!/usr/bin/env python3
"""Atheris target: host operations under a design; a finding is a crash.

    TDXFUZZ_DESIGN=hint tdxfuzz/fuzzers/host_ops.py -max_total_time=60 CORPUS
    TDXFUZZ_DESIGN=mylayer.c tdxfuzz/fuzzers/host_ops.py -max_total_time=60 CORPUS

All options are libFuzzer's (``-merge=1``, ``-minimize_crash=1``, ``-fork=2`` …; they
start this file again, so it must be executable). ``tdxfuzz decode crash-…`` turns a
crash file into a shrunk reproducer.
"""

from __future__ import annotations

import os
import sys

from tdxfuzz.fuzzers.engine import fuzz_cases
from tdxfuzz.host.design_file import DesignFileError, class_in, names_file, split
from tdxfuzz.host.designs import DESIGNS

DESIGN = os.environ.get("TDXFUZZ_DESIGN", "merged")


def main() -> None:
    """Fuzz until an input crashes, or as the options say."""
    if names_file(DESIGN):
        try:
            layer = class_in(*split(DESIGN))
        except DesignFileError as error:
            sys.exit(f"TDXFUZZ_DESIGN={DESIGN}: {error}")
        fuzz_cases(layer.__name__, layer=layer)
    elif DESIGN in DESIGNS:
        fuzz_cases(DESIGN)
    else:
        sys.exit(
            f"TDXFUZZ_DESIGN={DESIGN} is not a built-in design; known: {', '.join(DESIGNS)}; a "
            "design of your own is FILE.py:Class or FILE.c"
        )


if __name__ == "__main__":
    main()
