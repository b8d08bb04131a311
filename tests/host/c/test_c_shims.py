"""The header shim: each function does what the kernel's does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from c_layers import LAYERS, needs_clang, needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import Session, run
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


WARNED = {
    "a refcount of 0": (
        (
            "static refcount_t r = REFCOUNT_INIT(0); bool more = refcount_dec_not_one(&r); "
            "BUG_ON(!more || refcount_read(&r));"
        ),
        "underflow; use-after-free",
    ),
    "a refcount of 0, and a lock": (
        (
            "static refcount_t r = REFCOUNT_INIT(0); static DEFINE_SPINLOCK(lock); "
            "BUG_ON(refcount_dec_and_lock(&r, &lock) || spin_is_locked(&lock));"
        ),
        "underflow; use-after-free",
    ),
    "an empty cache of KVM": (
        (
            "struct kvm_mmu_memory_cache c = { .init_value = 5 }; "
            "u64 *page = kvm_mmu_memory_cache_alloc(&c); "
            "BUG_ON(page[511] != 5); free_page((unsigned long)page);"
        ),
        "cache->nobjs",
    ),
}
"""What the kernel warns of, and goes on."""


@pytest.mark.parametrize("what", WARNED)
def test_what_the_kernel_warns_of_is_a_warning_and_goes_on(what: str, tmp_path: Path) -> None:
    code, said = WARNED[what]
    before = "#include <linux/kvm_types.h>\n#include <linux/refcount.h>\n"
    before += f"static int topup(void)\n{{\n	{code}\n	return 0;\n}}\n"
    layer = class_in(write(tmp_path, text_of(before=before, glue=".topup = topup,")))
    ended = run(SCENARIOS["map-zap"].case("C"), layer)
    assert ended.finding is not None
    assert ended.finding.check == "unexpected-status"
    assert said in ended.finding.message


UNDER_UBSAN = """
from tdxfuzz.host.c import build

build.RUNTIME_FLAGS = (
    *build.RUNTIME_FLAGS,
    "-fsanitize=undefined",
    "-fno-sanitize=nonnull-attribute",  # the kernel may copy no bytes from nowhere
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
