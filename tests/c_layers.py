"""Layers in C for tests: the twins of built-in designs, and variants of one of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.design_file import class_in

LAYERS = Path(__file__).parent / "host/c/layers"

TWINS = ("rfc", "v2", "v3", "v4", "v5", "v6", "merged")

needs_compiler = pytest.mark.skipif(
    shutil.which("gcc") is None and shutil.which("clang") is None, reason="no C compiler"
)
needs_clang = pytest.mark.skipif(shutil.which("clang") is None, reason="no clang")

Layer = Callable[..., type[RefcountLayer]]

GET = "	ret = alloc_pair(pages, cache);\n"
PUT = "	spin_lock(&dpamt_lock);\n	if (atomic_read(refcount) > 1) {"
LOCKED = "	if (atomic_inc_not_zero(refcount))\n		goto out_free;\n"
DONE = "	atomic_set(refcount, 1);\n"
GLUE = "TDX_LAYER("


def twin(name: str) -> type[RefcountLayer]:
    """The twin of a built-in design."""
    return class_in(LAYERS / f"{name}.c")


def text_of(
    before: str = "",
    get: str = "",
    locked: str = "",
    put: str = "",
    glue: str = "",
    replace: Sequence[tuple[str, str]] = (),
) -> str:
    """``merged.c`` with more in it: in front of all functions, at the beginning of get, where get
    holds the lock, at the beginning of put, and in the glue; and with parts replaced.
    """
    text = (LAYERS / "merged.c").read_text(encoding="utf-8")
    text = text.replace('#include "pamt.h"', f'#include "{LAYERS}/pamt.h"')
    parts = (
        ("static DEFINE_SPINLOCK", f"{before}\nstatic DEFINE_SPINLOCK"),
        (GET, f"{get}\n{GET}"),
        (LOCKED, f"{locked}\n{LOCKED}"),
        (PUT, f"{put}\n{PUT}"),
        (GLUE, f"{GLUE}{glue}\n	  "),
        *replace,
    )
    for old, new in parts:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def write(folder: Path, text: str, name: str = "layer.c") -> Path:
    """A file with a layer."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
