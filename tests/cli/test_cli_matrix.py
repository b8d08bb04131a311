"""``tdxfuzz matrix``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from commands import Invoke
from tdxfuzz.cli import matrix
from tdxfuzz.survey.matrix import COLUMNS, MatrixEntry
from tdxfuzz.survey.matrix import row as real
from tiers import slow

QUICK = ("--scenario", "zap-remap", "--time", "4s")


@slow
def test_a_page_with_links_to_reproducers(invoke: Invoke) -> None:
    answer = invoke("matrix", "v4", *QUICK, "--markdown", "page.md", "--out", "cases")
    assert answer.code == 1
    page = Path("page.md").read_text(encoding="utf-8")
    command = "tdxfuzz matrix v4 --scenario zap-remap --time 4s --markdown page.md --out cases"
    assert f"Made by `{command}`." in page
    row = next(line for line in page.splitlines() if line.startswith("| v4 |"))
    assert row.count("|") == len(COLUMNS) + 2
    links = [part.split(")")[0] for part in row.split("](")[1:]]
    assert links
    for link in links:
        assert invoke("replay", link).code == 1


@slow
def test_json_has_every_cell_with_its_bounds(invoke: Invoke) -> None:
    answer = invoke("matrix", "v6", *QUICK, "--format", "json", "--module-variant", "ranges-ex")
    cells = answer.json["cells"]
    assert isinstance(cells, list)
    assert [cell["check"] for cell in cells] == list(COLUMNS)
    assert all("on the module variant ranges-ex" in cell["bounds"] for cell in cells)


@slow
def test_ctrl_c_ends_it_with_what_there_is(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str, *arguments: Any) -> list[MatrixEntry]:
        if name == "merged":
            signal.raise_signal(signal.SIGINT)
        return real(name, *arguments)

    monkeypatch.setattr(matrix, "row", interrupted)
    options = ("--scenario", "zap-zap", "--time", "1s", "--format", "json", "--workers", "1")
    answer = invoke("matrix", "v6", "merged", "v5", *options)
    assert answer.code == 3
    cells = answer.json["cells"]
    assert isinstance(cells, list)
    assert list(dict.fromkeys(cell["design"] for cell in cells)) == ["v6", "merged"]
    assert {cell["verdict"] for cell in cells if cell["design"] == "merged"} == {"unknown"}
    assert answer.json["not_begun"] == ["v5"]


@slow
def test_compare_puts_designs_through_the_same_programs(invoke: Invoke) -> None:
    answer = invoke("matrix", "v6", "merged", "--compare", "--time", "2s", "--format", "json")
    assert answer.code == 0
    document = answer.json
    designs = document["designs"]
    assert isinstance(designs, list)
    assert [design["design"] for design in designs] == ["v6", "merged"]
    assert len({design["costs"]["runs"] for design in designs}) == 1
    assert document["broken"] == {"none": document["programs"]}


@slow
def test_compare_names_what_breaks(invoke: Invoke) -> None:
    answer = invoke("matrix", "v6", "rfc", "--compare", "--time", "3s")
    assert answer.code == 1
    assert "page-owner/" in answer.out
    assert "reproducer of rfc: reproducers/rfc-page-owner-" in answer.out
    assert "reproducer of v6" not in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("v6", "--compare"), "--compare needs two designs or more"),
        (("v6", "v6", "--compare"), "v6 is named twice; name each design once"),
        (
            ("v6", "v5", "--compare", "--scenario", "zap-zap", "--scenario", "zap-remap"),
            "--compare takes one --scenario at most",
        ),
        (("v6", "--scenario", "zip-zap"), "unknown scenario 'zip-zap'"),
    ],
)
def test_wrong_usage_is_one_line(invoke: Invoke, arguments: tuple[str, ...], message: str) -> None:
    answer = invoke("matrix", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


@slow
def test_below_the_table_stands_what_is_unknown_and_why(invoke: Invoke) -> None:
    answer = invoke("matrix", "merged", "--scenario", "zap-zap", "--time", "1s")
    assert "?: unknown. Nothing was found, but\n" in answer.out
    (line,) = [line for line in answer.out.splitlines() if line.startswith("  merged, 2MB pages")]
    assert line.endswith(": it never happened that a 2MB page was split")
