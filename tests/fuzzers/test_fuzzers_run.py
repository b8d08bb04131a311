"""The atheris targets: executable, and libFuzzer's modes work on them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tdxfuzz
from c_layers import LAYERS, needs_compiler
from golden_files import ROOT
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.fuzzers import commands
from tdxfuzz.fuzzers.seeds import write_seeds
from tdxfuzz.generate.codec import encode
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.sim import Schedule

FUZZERS = Path(tdxfuzz.__file__).parent / "fuzzers"
TARGETS = ("host_ops", "hostile", "status_words", "reproducers")
HINT_BUCKET = "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="the extra [atheris] is not installed"
)


def fuzz(
    target: str, *options: str, cwd: Path, design: str = "merged", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FUZZERS / f"{target}.py"), *options],
        env={**os.environ, "TDXFUZZ_DESIGN": design, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_executable(target: str) -> None:
    path = FUZZERS / f"{target}.py"
    assert os.access(path, os.X_OK)
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")


def test_each_target_is_a_command_by_a_name_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for target in TARGETS:
        place = project["scripts"][f"tdxfuzz-fuzz-{target.replace('_', '-')}"]
        assert place == f"tdxfuzz.fuzzers.commands:{target}"
        assert callable(getattr(commands, target))


@needs_atheris
def test_from_an_empty_corpus_the_target_finds_the_hint_race(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    ended = fuzz("host_ops", "-runs=20000", "-seed=1", "corpus", cwd=tmp_path, design="hint")
    assert HINT_BUCKET in ended.stdout + ended.stderr
    (crash,) = tmp_path.glob("crash-*")
    assert crash.stat().st_size < 200


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is not None, reason="the extra [atheris] is installed"
)
def test_without_atheris_a_target_s_command_says_what_it_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        commands.hostile()
    assert stop.value.code == 2
    assert "the extra [atheris]" in capsys.readouterr().err


@needs_atheris
def test_an_unknown_design_is_refused(tmp_path: Path) -> None:
    ended = fuzz("host_ops", "-runs=1", cwd=tmp_path, design="hnt")
    assert ended.returncode != 0
    assert (
        f"TDXFUZZ_DESIGN=hnt is not a built-in design; known: {', '.join(DESIGNS)}" in ended.stderr
    )


@needs_atheris
@needs_compiler
def test_a_layer_in_c_is_a_design_of_the_target(tmp_path: Path) -> None:
    write_seeds(tmp_path, ROOT / "corpus")
    layer = str(LAYERS / "merged.c")
    ended = fuzz("host_ops", "-runs=300", "-seed=1", "host_ops", cwd=tmp_path, design=layer)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert list(tmp_path.glob("crash-*")) == []


@needs_atheris
@pytest.mark.parametrize("target", TARGETS)
def test_seeds_run_and_nothing_crashes(target: str, tmp_path: Path) -> None:
    write_seeds(tmp_path, ROOT / "corpus")
    ended = fuzz(target, "-runs=200", "-seed=1", target, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert list(tmp_path.glob("crash-*")) == []


@needs_atheris
def test_known_findings_crash_only_when_asked_for(tmp_path: Path) -> None:
    write_seeds(tmp_path, ROOT / "corpus")
    ended = fuzz("hostile", "-runs=1", "hostile", cwd=tmp_path, TDXFUZZ_ALL="1")
    assert ended.returncode != 0
    assert "FoundByFuzzing: " in ended.stderr + ended.stdout


@needs_atheris
def test_corpora_are_merged(tmp_path: Path) -> None:
    write_seeds(tmp_path, ROOT / "corpus")
    (tmp_path / "merged").mkdir()
    ended = fuzz("hostile", "-merge=1", "merged", "hostile", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    kept = {path.read_bytes() for path in (tmp_path / "merged").iterdir()}
    assert kept <= {path.read_bytes() for path in (tmp_path / "hostile").iterdir()}
    assert kept


@needs_atheris
def test_several_processes_share_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    ended = fuzz("host_ops", "-fork=2", "-runs=2000", "-seed=1", "corpus", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert list((tmp_path / "corpus").iterdir())


@needs_atheris
def test_a_crash_is_minimised_and_decoded(tmp_path: Path) -> None:
    case = SCENARIOS["map-zap"].case("hint").with_schedule(Schedule.of([(130, 1), (140, 1)]))
    (tmp_path / "crash-long").write_bytes(encode(case) + bytes(range(40)))
    ended = fuzz(
        "host_ops",
        "-minimize_crash=1",
        "-runs=300",
        "-exact_artifact_path=crash-short",
        "crash-long",
        cwd=tmp_path,
        design="hint",
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    short = tmp_path / "crash-short"
    assert short.stat().st_size < (tmp_path / "crash-long").stat().st_size
    tdxfuzz_command = Path(sys.executable).with_name("tdxfuzz")
    decoded = subprocess.run(
        [str(tdxfuzz_command), "decode", str(short), "--design", "hint", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert decoded.returncode == 1
    assert HINT_BUCKET in decoded.stdout
