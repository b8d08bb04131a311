"""The documentation site: its table of contents, its links, and that it builds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tdxfuzz
from golden_files import ROOT
from tools.docs_site import OUTSIDE, contents

PAGES = sorted((ROOT / "docs").glob("*.md"))
AT_ROOT = sorted(ROOT.glob("*.md"))


def test_every_page_is_in_the_navigation_once() -> None:
    targets = [
        target for pages in contents().values() for page in pages for target in page.values()
    ]
    assert len(targets) == len(set(targets))
    assert {path.name for path in PAGES} - set(targets) == {"index.md"}
    assert {path.name for path in AT_ROOT} - set(targets) == {"README.md", "PACKAGE.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_page_leads_to_the_glossary(path: Path) -> None:
    assert path.name == "glossary.md" or "](glossary.md)" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*PAGES, *AT_ROOT], ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]*)?\)", text):
        assert (path.parent / target).exists(), target
    if path.name != "CHANGELOG.md":  # which tells of files that are gone
        for name in re.findall(r"`((?:ci|tdxfuzz|tests|tools)/[\w/.-]+)`", text):
            assert (ROOT / name).exists(), name


def test_links_out_of_docs_are_to_files_that_come_along() -> None:
    for path in PAGES:
        for target in OUTSIDE.findall(path.read_text(encoding="utf-8")):
            assert (ROOT / target).is_file(), f"{path.name}: {target}"


def test_glossary_is_alphabetical() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^- \*\*(.+?)\*\*:", text, re.MULTILINE)]
    assert words == sorted(words)
    assert len(words) > 70


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tdxfuzz.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev0)?", tdxfuzz.__version__)


def test_fragments_of_the_changelog_are_named_as_towncrier_wants() -> None:
    kinds = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    known = "|".join(kinds["towncrier"]["fragment"])
    for path in (ROOT / "changelog.d").glob("*.md"):
        if path.name != "README.md":
            assert re.fullmatch(rf"\d{{3}}\.({known})(\.\d+)?\.md", path.name), path.name
            assert path.read_text(encoding="utf-8").startswith("- "), path.name


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("material", "mkdocstrings")),
    reason="the extra [docs] is not installed",
)
def test_the_site_builds_without_a_broken_link(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "CONTRIBUTING.html").is_file()
    assert ":func:" not in (tmp_path / "api.html").read_text(encoding="utf-8")
