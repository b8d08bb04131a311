"""The atheris targets as commands, ``tdxfuzz-fuzz-TARGET``: they need no clone.

libFuzzer starts its command again for ``-merge``, ``-fork`` and ``-minimize_crash``, so each is a
command of its own. This imports nothing of the model, because the engine says first what of it is
watched.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

NEEDS = "fuzzing needs Python 3.11 to 3.13 and the extra [atheris]: pip install 'tdxfuzz[atheris]'"


def host_ops() -> None:
    """``tdxfuzz-fuzz-host-ops``."""
    _start("host_ops")


def hostile() -> None:
    """``tdxfuzz-fuzz-hostile``."""
    _start("hostile")


def status_words() -> None:
    """``tdxfuzz-fuzz-status-words``."""
    _start("status_words")


def reproducers() -> None:
    """``tdxfuzz-fuzz-reproducers``."""
    _start("reproducers")


def _start(target: str) -> None:
    if find_spec("atheris") is None:
        print(f"error: {NEEDS}", file=sys.stderr)
        sys.exit(2)
    import_module(f"tdxfuzz.fuzzers.{target}").main()
