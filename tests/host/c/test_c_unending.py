"""C that does not end, or is at fault: the same kinds of errors as of a design in Python."""

from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path

import pytest

from c_layers import DONE, LAYERS, needs_compiler, text_of, write
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.design_file import class_in
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.repro.read import read
from tdxfuzz.repro.save import save
from tdxfuzz.run.blame import CRASH, HANG, DesignError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import End, watchdog

pytestmark = needs_compiler

CREATE, MAP = Op("create", (0,)), Op("map", (0, 0))
CASE = Case("C", World(cpus=1, tds=1), (CREATE,), ((MAP,),))
IN_SETUP = Case("C", World(cpus=1, tds=1), (CREATE, MAP), ((),))

BEFORE = "#include <linux/processor.h>\nint flag;"
GUEST_PAGE = "	if (pfn == 0x100000)\n		"


def layer(folder: Path, get: str, before: str = "") -> type[RefcountLayer]:
    """The twin of the merged code with more at the beginning of the get of a guest page."""
    text = text_of(before=BEFORE + before, get=GUEST_PAGE + get)
    return class_in(write(folder, text))


@pytest.mark.parametrize("rounds", [2, 10, 400])
@pytest.mark.parametrize("case", [CASE, IN_SETUP], ids=["program", "set-up"])
def test_a_loop_that_counts_its_rounds_in_c_is_no_livelock(
    rounds: int, case: Case, tmp_path: Path
) -> None:
    counts = layer(tmp_path, f"for (int i = 0; i < {rounds}; i++)\n			cpu_relax();")
    assert run(case, counts).finding is None


def test_a_loop_that_comes_back_to_its_state_is_a_livelock(tmp_path: Path) -> None:
    waits = layer(tmp_path, "while (!READ_ONCE(flag))\n			cpu_relax();")
    found = run(CASE, waits)
    assert found.finding is not None
    assert found.finding.check == "livelock"
    assert run(found.case, waits) == found


FOR_EVER = {
    "counts": "for (unsigned long i = 0; i != READ_ONCE(flag) - 1ul; i++)\n			cpu_relax();",
    "spins": "while (!READ_ONCE(flag))\n			;",
}


@pytest.mark.parametrize("get", FOR_EVER.values(), ids=list(FOR_EVER))
def test_a_run_that_is_cut_off_says_where_in_c_it_is(get: str, tmp_path: Path) -> None:
    found = run(CASE, layer(tmp_path, get))
    assert found.outcome.end is End.BOUND
    assert found.cut_off is not None
    assert found.cut_off.bucket == "cut-off/tdx_pamt_get/-/-"
    assert "CPU 0 is in tdx_pamt_get (layer.c:" in found.cut_off.message


def error_of(case: Case, broken: type[RefcountLayer]) -> DesignError:
    with pytest.raises(DesignError) as problem:
        run(case, broken)
    return problem.value


def bucket_of(ended: Run | None) -> str:
    assert ended is not None
    assert ended.finding is not None
    return ended.finding.bucket


ERRORS = {
    "NULL": ("ret = *(volatile int *)NULL;", CRASH, "crash/bad-access/tdx_pamt_get/-"),
    "unlock": ("spin_unlock(&dpamt_lock);", CRASH, "crash/not-held/tdx_pamt_get/-"),
    "loop": ("for (;;)\n			;", HANG, "hang/-/tdx_pamt_get/-"),
}


@pytest.mark.parametrize(("get", "kind", "bucket"), ERRORS.values(), ids=list(ERRORS))
@pytest.mark.parametrize("case", [CASE, IN_SETUP], ids=["program", "set-up"])
def test_an_error_in_c_has_a_run_and_a_file_that_shows_it(
    get: str, kind: str, bucket: str, case: Case, tmp_path: Path
) -> None:
    broken = layer(tmp_path, get)
    error = error_of(case, broken)
    assert (error.kind, bucket_of(error.run)) == (kind, bucket)
    assert error.run is not None
    saved = save(error.run, error.run, tmp_path, broken)
    again = error_of(read(saved.path).case, broken)
    assert str(again) == str(error)


def hangs() -> None:
    while True:
        pass


class Hangs(Merged):
    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        hangs()
        return 0


def test_signals_of_c_and_of_the_watchdog_and_of_faulthandler_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 0.4)
    broken = layer(tmp_path, ERRORS["NULL"][0])
    with (tmp_path / "stack").open("w+") as stack:
        faulthandler.register(signal.SIGUSR1, stack, all_threads=False)
        try:
            for _ in range(2):
                assert error_of(CASE, broken).what == "bad-access"
                assert error_of(CASE, Hangs).kind == HANG
                os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            faulthandler.unregister(signal.SIGUSR1)
        stack.seek(0)
        assert stack.read().count("most recent call first") == 2
    assert error_of(CASE, broken).what == "bad-access"


def test_a_lock_that_is_kept_is_told_by_the_function_that_returns(tmp_path: Path) -> None:
    text = text_of(replace=[(f"{DONE}	spin_unlock(&dpamt_lock);", DONE)])
    error = error_of(CASE, class_in(write(tmp_path, text)))
    assert (error.kind, error.what, error.function) == (CRASH, "unlock", "tdx_pamt_get")


def test_a_set_up_that_steps_for_ever_is_told_with_its_line_of_c(tmp_path: Path) -> None:
    error = error_of(IN_SETUP, layer(tmp_path, FOR_EVER["spins"]))
    assert error.kind == HANG
    assert "hangs in tdx_pamt_get (layer.c:" in str(error)
    assert not error.details


def test_an_init_that_waits_for_ever_is_told_with_its_line_of_c(tmp_path: Path) -> None:
    loops = "\nstatic int waits(void) { while (!READ_ONCE(flag)) cpu_relax(); return 0; }"
    text = text_of(before=BEFORE + loops, replace=[("tdx_layer_init", "waits")])
    error = error_of(CASE, class_in(write(tmp_path, text)))
    assert error.kind == HANG
    assert "hangs in waits (layer.c:" in str(error)


def test_a_trace_with_sources_names_lines_of_c() -> None:
    merged = class_in(LAYERS / "merged.c")
    traced = run(CASE, merged, traced=True, sources=True)
    assert traced.trace is not None
    lines = (LAYERS / "merged.c").read_text(encoding="utf-8").splitlines()
    named = {(each.kind, each.source) for each in traced.trace}

    def place(text: str, after: str) -> str:
        first = next(i for i, line in enumerate(lines) if after in line)
        return next(f"merged.c:{i + 1}" for i in range(first, len(lines)) if text in lines[i])

    assert ("lock", place("spin_lock", "tdx_pamt_get(")) in named
    assert ("unlock", place("spin_unlock", "tdx_pamt_get(")) in named
    assert ("get", place("tdx_pamt_get(", "tdx_pamt_get(")) in named
    assert all(not each.source for each in traced.trace if each.kind == "step")
