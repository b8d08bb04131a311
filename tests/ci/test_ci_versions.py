"""Versions: lower bounds that are tested, and the lock file of CI."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from golden_files import ROOT

LOWEST = ROOT / "constraints/lowest.txt"
LOCKED = ROOT / "constraints/locked.txt"
PINNED = re.compile(r"uses: \S+@[0-9a-f]{40} # v\d+(\.\d+)*$")


def requirements() -> list[Requirement]:
    """What the package and its extras need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(each) for group in (project["dependencies"], *extras) for each in group]


def lower_bounds() -> Iterator[tuple[str, Version]]:
    for requirement in requirements():
        (bound,) = requirement.specifier
        assert bound.operator == ">=", f"{requirement} has no lower bound"
        yield canonicalize_name(requirement.name), Version(bound.version)


def versions_in(text: str) -> dict[str, Version]:
    """Of a file of constraints: a name and a version at the start of a line."""
    pairs = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_the_lowest_versions_that_are_tested_are_the_lower_bounds() -> None:
    """A package in two extras has one bound."""
    assert set(lower_bounds()) == set(versions_in(LOWEST.read_text("utf-8")).items())


def test_the_build_needs_the_setuptools_that_the_tests_have() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (build,) = project["build-system"]["requires"]
    assert Requirement(build) in requirements()


def test_the_lock_file_has_all_that_is_needed_and_no_version_below_a_bound() -> None:
    locked = versions_in(LOCKED.read_text("utf-8"))
    for name, bound in lower_bounds():
        assert locked[name] >= bound, name


def test_each_file_of_the_lock_has_a_hash_and_comes_from_the_index() -> None:
    text = LOCKED.read_text("utf-8")
    entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > len(requirements())
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_make_installs_the_clone_editable() -> None:
    """A copy in its place would not follow the sources: `make fuzz` must not leave one."""
    text = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    own = [
        line for line in text.splitlines() if re.search(r"^[^#]*pip install .*['\s]\.(\W|$)", line)
    ]
    assert len(own) >= 4
    assert [line for line in own if "--editable" not in line] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "ci/github").glob("*.yml")), ids=lambda path: path.name
)
def test_actions_are_named_by_commit_with_the_version_beside_it(path: Path) -> None:
    """A tag can be moved to other code."""
    used = [line for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not PINNED.search(line)] == []
