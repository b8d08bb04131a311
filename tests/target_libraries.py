"""Libraries for tests that implement ``tdxfuzz_target.h``: built once, by the user's compiler."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tdxfuzz.host.c.compiler import compiler
from tdxfuzz.targets.library.build import INCLUDE

SOURCES = Path(__file__).parent / "targets/libraries"
FLAGS = ("-std=gnu11", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")

ERROR = "REFERENCE_ERROR"
"""The environment variable that names a deliberate error of the reference library."""


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@cache
def build(name: str) -> Path:
    """A library of these folders."""
    made = Path(_folder().name) / f"{name}.so"
    compiler().must([*FLAGS, f"-I{INCLUDE}", str(SOURCES / f"{name}.c"), "-o", str(made)])
    return made


def build_text(folder: Path, text: str) -> Path:
    """A library of this text."""
    source, made = folder / "library.c", folder / "library.so"
    source.write_text(text, encoding="utf-8")
    compiler().must([*FLAGS, f"-I{INCLUDE}", str(source), "-o", str(made)])
    return made
