"""docs/json.md lists the keys of each document, and no others."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from c_layers import needs_compiler
from commands import Answer, Invoke
from golden_files import HINT_RACE, ROOT
from target_libraries import ERROR, build
from tiers import slow

PAGE = (ROOT / "docs/json.md").read_text(encoding="utf-8")

HUNT = ("hunt", "hint", "--seed", 1, "--cases", 100, "--workers", 1)
CAMPAIGN = ("campaign", "run", "kept", "hint", "--cases", 100, "--batch", 50, "--workers", 1)
COMPARE = ("matrix", "hint", "v6", "--compare", "--scenario", "map-zap", "--time", "1s")
LISTS = (
    "designs",
    "scenarios",
    "checks",
    "leaves",
    "engines",
    "variants",
    "locks",
    "statuses",
    "events",
)

RUNS: dict[str, tuple[tuple[object, ...], ...]] = {
    "hunt": (HUNT,),
    "verify": (("verify", "hint", "--scenario", "map-zap", "--workers", 1),),
    "replay": (("replay", HINT_RACE), ("replay", HINT_RACE, "--design", "merged")),
    "shrink": (("shrink", HINT_RACE, "--out", "small.tdx.toml"),),
    "contention": (("contention", "merged", "--cpus", 2, "--workload", "storm"),),
    "memory": (
        ("memory", "--ram", "1TiB"),
        ("memory", "--ram", "1TiB", "--tds", 2, "--td-memory", "1GiB"),
    ),
    "doctor": (("doctor",),),
    "list": tuple(("list", what) for what in LISTS),
    "conform": (("conform", "few.jsonl.gz"),),
}
SLOW_RUNS: dict[str, tuple[tuple[object, ...], ...]] = {
    "matrix": (("matrix", "hint", "--scenario", "map-zap", "--time", "1s"),),
    "matrix --compare": (COMPARE,),
    "campaign run, campaign status": (CAMPAIGN, ("campaign", "status", "kept")),
    "campaign report": (CAMPAIGN, ("campaign", "report", "kept")),
}
LIBRARY_RUNS: dict[str, tuple[tuple[object, ...], ...]] = {
    "diff": (("diff", "--cases", 3, "--seed", 1),),
    "record": (("record", "--out", "r.jsonl", "--cases", 2),),
    "hunt hostile --library": (("hunt", "hostile", "--cases", 2, "--seed", 1),),
}
FINDING = "A finding"


def listed(section: str) -> tuple[set[str], set[str]]:
    """The keys of a section that are always there, and those that are there sometimes."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cells = [row.split("|")[1] for row in text.splitlines() if row.startswith("| ")]
    names = [each for cell in cells for each in re.findall(r"(\*?)`([^`]+)`", cell)]
    return {name for mark, name in names if not mark}, {name for mark, name in names if mark}


def keys(value: object, path: str = "") -> Iterator[str]:
    """The path of each key of a document; lists of plain values are a key too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else key
            yield name
            yield from keys(inner, name)
    elif isinstance(value, list):
        yield f"{path}[]"
        for inner in value:
            yield from keys(inner, f"{path}[]")


def covers(pattern: str, key: str) -> bool:
    """Whether a listed key is this one, or one in which it lies, or is the data below it."""
    stem = pattern.removesuffix(".*").removesuffix("[]")
    below = pattern.endswith(".*") and key.startswith(f"{stem}.")
    around = pattern.startswith((f"{key}.", f"{key}[]"))
    return key in (pattern, stem) or below or around


def compare(section: str, documents: list[dict[str, object]]) -> None:
    always, sometimes = listed(section)
    assert always, f"docs/json.md has no section {section}"
    for row in documents[0].get("findings") or []:  # type: ignore[attr-defined]
        assert set(listed(FINDING)[0]) <= set(row)
    seen = {key for document in documents for key in keys(document)}
    seen = {key for key in seen if not _is_listed_in_words(key)}
    assert {k for k in seen if not any(covers(p, k) for p in always | sometimes)} == set()
    assert {p for p in always if not any(covers(p, k) for k in seen)} == set()


def _is_listed_in_words(key: str) -> bool:
    """Rows whose keys stand behind them, in the column of meanings."""
    return re.search(r"(findings|divergences|known|changes)\[\]\.", key) is not None


def answers(invoke: Invoke, runs: tuple[tuple[object, ...], ...]) -> list[Answer]:
    return [invoke(*run, "--format", "json") for run in runs]


@pytest.fixture(autouse=True)
def recording(tmp_path: Path) -> None:
    """Few lines of a recording, with the file that it needs."""
    corpus = ROOT / "corpus/conformance"
    shutil.copy(corpus / "td_params.json", tmp_path)
    with gzip.open(corpus / "sequential.jsonl.gz", "rt") as file:
        lines = [next(file) for _ in range(2)]
    with gzip.open(tmp_path / "few.jsonl.gz", "wt") as few:
        few.writelines(lines)


@pytest.mark.parametrize("section", RUNS)
def test_the_page_has_the_keys_of_a_document(invoke: Invoke, section: str) -> None:
    compare(section, [each.json for each in answers(invoke, RUNS[section])])


@slow
@pytest.mark.parametrize("section", SLOW_RUNS)
def test_the_page_has_the_keys_of_a_long_command(invoke: Invoke, section: str) -> None:
    compare(section, [answers(invoke, SLOW_RUNS[section])[-1].json])


@needs_compiler
@pytest.mark.parametrize("section", LIBRARY_RUNS)
def test_the_page_has_the_keys_of_a_command_about_a_library(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    shutil.copy(build("reference"), "module.so")
    monkeypatch.setenv(ERROR, "status")
    runs = tuple((*run, "--library", "module.so") for run in LIBRARY_RUNS[section])
    compare(section, [each.json for each in answers(invoke, runs)])


def test_a_key_that_the_page_lacks_is_seen() -> None:
    assert set(keys({"a": [{"b": 1}], "c": {"d": []}})) == {
        "a",
        "a[]",
        "a[].b",
        "c",
        "c.d",
        "c.d[]",
    }
    assert covers("a[].b", "a")
    assert covers("c.*", "c.d[]")
    assert not covers("a[].b", "a[].bc")
    with pytest.raises(AssertionError):
        compare("doctor", [{"version": "1", "other": 1}])
