"""What users install: the package as a wheel, with the files that are no Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.version import Version

import tdxfuzz
from c_layers import LAYERS, needs_compiler
from target_libraries import FLAGS, SOURCES
from tdxfuzz.host.c.compiler import compiler
from tiers import long, slow

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


def test_what_a_registry_shows_has_no_link_into_the_repository() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / project["readme"]).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert [target for target in targets if not target.startswith("https://")] == []


Tried = Callable[..., str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel; it takes other packages from ours."""
    if Version(version("setuptools")) < _needed():
        pytest.skip("setuptools is too old")
    folder = tmp_path_factory.mktemp("wheel")
    source, home = folder / "source", folder / "environment"
    # A build writes beside the sources, so it gets a copy of them.
    for name in ("tdxfuzz", "pyproject.toml", "PACKAGE.md", "LICENSE"):
        _copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    shutil.rmtree(source)
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin/python"
    ours = sysconfig.get_path("purelib")
    (_packages(home) / "ours.pth").write_text(f"{ours}\n", encoding="utf-8")
    install = ["--python", str(python), "install", "--no-deps", "--ignore-installed", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    return home / "bin"


def _packages(home: Path) -> Path:
    (packages,) = (home / "lib").glob("python*/site-packages")
    return packages


@pytest.fixture
def tried(installed: Path, tmp_path: Path) -> Tried:
    """Run a program of the environment, in an empty folder; what it says. ``code`` is its exit
    code.
    """

    def run(program: str, *arguments: str | Path, code: int = 0, **more: str) -> str:
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **more}
        environment.pop("PYTHONPATH", None)
        environment["PATH"] = f"{installed}:{environment['PATH']}"
        done = subprocess.run(
            [installed / program, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, (program, arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return run


@slow
def test_the_environment_has_the_wheel_and_not_the_clone(tried: Tried, installed: Path) -> None:
    where = tried("python", "-c", "import tdxfuzz; print(tdxfuzz.__file__)")
    assert where.strip() == str(_packages(installed.parent) / "tdxfuzz/__init__.py")


@slow
def test_a_race_is_found_replayed_shown_and_decided_from_the_wheel(
    tried: Tried, tmp_path: Path
) -> None:
    assert "pamt-in-use" in tried(
        "tdxfuzz", "hunt", "hint", "--seed", "1", "--cases", "300", code=1
    )
    assert "FAILED" in tried("tdxfuzz", "replay", "reproducers", code=1)
    (file,) = (tmp_path / "reproducers").iterdir()
    for form in ("mail", "c", "page", "pytest", "svg"):
        assert tried("tdxfuzz", "show", file, "--as", form)
    assert "pass" in tried("tdxfuzz", "verify", "v6", "--scenario", "map-zap").lower()


@slow
def test_the_model_agrees_with_the_recordings_of_the_wheel(tried: Tried) -> None:
    assert tried("tdxfuzz", "conform").count(" agree") == 4


@long
@slow
def test_the_tests_that_init_writes_pass_with_the_wheel(tried: Tried) -> None:
    tried("tdxfuzz", "init", "mylayer.py")
    # The quick profile: what is asked here is whether all is there.
    assert " passed" in tried("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")


@slow
@needs_compiler
def test_a_layer_in_c_runs_from_the_wheel(tried: Tried, tmp_path: Path) -> None:
    said = tried("tdxfuzz", "verify", LAYERS / "merged.c", "--scenario", "map-zap")
    assert "Merged map-zap: pass" in said
    assert list((tmp_path / "cache/tdxfuzz/c").glob("runtime-*.so"))


@slow
@needs_compiler
def test_a_library_is_built_with_the_header_of_the_wheel(tried: Tried, tmp_path: Path) -> None:
    find = "from tdxfuzz.targets.library.build import INCLUDE; print(INCLUDE)"
    include = tried("python", "-c", find).strip()
    compiler().must(
        [*FLAGS, f"-I{include}", str(SOURCES / "reference.c"), "-o", str(tmp_path / "module.so")]
    )
    tried("tdxfuzz", "diff", "--library", "./module.so", "--cases", "2", "--seed", "1")


@slow
def test_seeds_and_fuzz_targets_are_commands_of_the_wheel(tried: Tried, tmp_path: Path) -> None:
    """libFuzzer starts its command again: ``-merge`` shows whether that works."""
    tried("tdxfuzz-seeds", "seeds")
    if find_spec("atheris") is None:
        assert "extra [atheris]" in tried("tdxfuzz-fuzz-hostile", code=2)
        return
    for target in ("host-ops", "hostile", "status-words", "reproducers"):
        seeds = "seeds/" + target.replace("-", "_")
        said = tried(f"tdxfuzz-fuzz-{target}", "-runs=50", seeds)
        assert re.search(r"^Done \d+ runs", said, re.MULTILINE)
    (tmp_path / "merged").mkdir()
    tried("tdxfuzz-fuzz-hostile", "-merge=1", "merged", "seeds/hostile")
    assert list((tmp_path / "merged").iterdir())
