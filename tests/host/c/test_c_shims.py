"""The header shim: each function does what the kernel's does."""

from __future__ import annotations

import pytest
from attrs import evolve

from c_layers import LAYERS, needs_clang, needs_compiler
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import Session

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
