"""CI files: valid, and the build script runs as far as it can here."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from golden_files import ROOT
from tdxfuzz.cli.main import COMMANDS

CI = ROOT / "ci"
WORKFLOWS = sorted((CI / "github").glob("*.yml"))
TARGETS = ("host_ops", "hostile", "status_words", "reproducers")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_what_github_s_schema_says(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    said = subprocess.run(
        [*command, "vendor.github-workflows", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_commands_in_workflows_exist(path: Path) -> None:
    for name in re.findall(r"tdxfuzz (\w+)", path.read_text("utf-8")):
        assert name in COMMANDS, name


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build script writes."""
    out = tmp_path_factory.mktemp("out")
    environment = {**os.environ, "OUT": str(out), "PYTHON": sys.executable}
    environment.pop("SRC", None)
    said = subprocess.run(
        [str(CI / "fuzz/build.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return out


def test_the_build_has_programs_seeds_and_dictionaries(built: Path) -> None:
    for target in TARGETS:
        assert os.access(built / target, os.X_OK)
        with zipfile.ZipFile(built / f"{target}_seed_corpus.zip") as seeds:
            assert len(seeds.namelist()) >= 5
    assert {path.name for path in built.glob("*.dict")} == {
        "reproducers.dict",
        "status_words.dict",
    }


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="the extra [atheris] is not installed"
)
@pytest.mark.parametrize("target", TARGETS)
def test_what_was_built_runs(built: Path, target: str) -> None:
    said = subprocess.run(
        [str(built / target), "-runs=20"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "Done 20 runs" in said.stderr


def test_without_a_folder_it_says_so() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OUT"}
    said = subprocess.run(
        [str(CI / "fuzz/build.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode != 0
    assert "OUT: the folder for what is built" in said.stderr


def test_the_container_runs_a_campaign() -> None:
    text = (CI / "Containerfile").read_text("utf-8")
    assert 'ENTRYPOINT ["tdxfuzz", "campaign", "run", "/campaign"]' in text
    for path in re.findall(r"^COPY (\S+)", text, re.MULTILINE):
        assert (ROOT / path).exists()
