"""What users install: the package as a wheel, with the files that are no Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

import tdxfuzz
from c_layers import LAYERS, needs_compiler
from tiers import slow

PACKAGE = Path(tdxfuzz.__file__).parent
ROOT = PACKAGE.parent


def _needed() -> Version:
    """The first version of setuptools that can build the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (required,) = project["build-system"]["requires"]
    return Version(required.removeprefix("setuptools>="))


def test_each_file_of_the_package_is_put_into_the_wheel() -> None:
    """Code is found by itself; all other files are named by patterns."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["tdxfuzz"]
    named = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    others = {
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert others <= named


def _copy(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.is_dir():
        shutil.copytree(old, new, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(old, new)


@slow
@needs_compiler
@pytest.mark.skipif(Version(version("setuptools")) < _needed(), reason="setuptools is too old")
def test_a_layer_in_c_runs_from_the_wheel(tmp_path: Path) -> None:
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--quiet"]
    source, installed = tmp_path / "source", tmp_path / "installed"
    # A build writes beside the sources, so it gets a copy of them.
    for name in ("tdxfuzz", "pyproject.toml", "README.md", "LICENSE"):
        _copy(ROOT / name, source / name)
    build: list[str | Path] = ["wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    hunt: list[str | Path] = ["-m", "tdxfuzz", "hunt", LAYERS / "merged.c", "--cases", "20"]
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *hunt],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "nothing found in 20 cases" in done.stdout, done.stderr
    assert list((tmp_path / "tdxfuzz/c").glob("runtime-*.so"))
