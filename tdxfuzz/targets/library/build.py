"""The program that loads a library: built at first use, kept by content."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from tdxfuzz.host.c.build import cache_folder
from tdxfuzz.host.c.compiler import compiler
from tdxfuzz.host.c.errors import BuildError
from tdxfuzz.targets.library.errors import LibraryError

TARGETS = Path(__file__).parents[1]
INCLUDE = TARGETS / "include"
"""The folder of ``tdxfuzz_target.h``."""

FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror")

_SOURCE = TARGETS / "runner/runner.c"


@cache
def runner() -> Path:
    """The program.

    Raises:
        LibraryError: there is no compiler, or it fails.
    """
    try:
        cc = compiler()
        text = _SOURCE.read_bytes() + (INCLUDE / "tdxfuzz_target.h").read_bytes()
        key = hashlib.sha256(repr((cc.version, FLAGS, text)).encode()).hexdigest()[:24]
        built = cache_folder() / f"runner-{key}"
        if not built.exists():
            made = built.with_suffix(f".{os.getpid()}.tmp")
            try:
                cc.must([*FLAGS, f"-I{INCLUDE}", str(_SOURCE), "-o", str(made), "-ldl"])
                made.rename(built)
            finally:
                made.unlink(missing_ok=True)
    except BuildError as error:
        raise LibraryError(
            f"the program that loads a library is built at first use: {error}"
        ) from None
    return built
