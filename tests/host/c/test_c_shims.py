"""The header shim: each function does what the kernel's does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from c_layers import LAYERS, needs_clang, needs_compiler
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import Session
from tiers import slow

pytestmark = needs_compiler


def _init() -> None:
    case = evolve(SCENARIOS["map-map"].case("C"), setup=(), programs=((), ()))
    Session(case, class_in(LAYERS / "shims.c"))


def test_the_shims_do_what_the_kernel_does() -> None:
    _init()


@needs_clang
def test_the_shims_do_so_under_clang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "clang")
    _init()


UNDER_UBSAN = """
from tdxfuzz.host.c import build

build.RUNTIME_FLAGS = (
    *build.RUNTIME_FLAGS,
    "-fsanitize=undefined",
    "-fsanitize-undefined-trap-on-error",
    "-Wno-builtin-declaration-mismatch",
)
from c_layers import twin
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from test_c_shims import _init

_init()
case = SCENARIOS["split-map"].case("merged")
assert verify(case, twin("merged"), Bounds(1)).verdict is Verdict.PASS
print("sound")
"""


@slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_the_runtime_has_no_undefined_behaviour(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is undefined traps, and ends the process."""
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.setenv("PYTHONPATH", ":".join([*sys.path, str(Path(__file__).parent)]))
    done = subprocess.run(
        [sys.executable, "-c", UNDER_UBSAN], capture_output=True, text=True, check=False
    )
    assert done.stdout == "sound\n", done.stderr
