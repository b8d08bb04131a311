"""Tables on terminals of all widths: nothing is lost, and no word or number is cut."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from io import StringIO

import pytest

from tdxfuzz.cli.output import Output

CHECKS = ("refcount", "alloc-failure", "interrupted", "entropy", "livelock", "2MB", "running TDs")
Rows = Sequence[Sequence[object]]
MATRIX: tuple[Sequence[str], Rows] = (
    ("design", *CHECKS),
    [("v4", "FOUND", *["clean"] * 6), ("merged", *["clean"] * 4, "declared", "?", "")],
)
CALLS: tuple[Sequence[str], Rows] = (
    ("leaf", "status", "code", "calls"),
    [
        ("TDH.PHYMEM.PAMT.REMOVE", "SUCCESS", "0x0000000000000000", 1_234_567),
        ("TDH.PHYMEM.PAMT.REMOVE", "OPERAND_BUSY", "0x8000020000000000", 89),
    ],
)
MEMORY: tuple[Sequence[str], Rows] = (
    ("", "bytes", "", "of memory"),
    [
        ("dynamic PAMT, no TD yet", 134_234_112, "128.0 MiB", "0.0122 %"),
        ("  2MB entries", 8_388_608, "8.0 MiB", "0.0008 %"),
        ("  2MB entries", 8_388_608, "8.0 MiB", "0.0008 %"),
    ],
)
COSTS: tuple[Sequence[str], Rows] = (
    ("of all runs", "hint", "v4", "merged"),
    [("runs in which a CPU waited for a lock", 1_048_576, 0, 131_072), ("runs", 9, 8, 7)],
)


class Terminal(StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(
    monkeypatch: pytest.MonkeyPatch, columns: int, heads: Sequence[str], rows: Rows, prose: bool
) -> str:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    Output(as_json=False).table(heads, rows, prose)
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
@pytest.mark.parametrize(
    ("heads", "rows"),
    [MATRIX, CALLS, MEMORY, COSTS],
    ids=["a matrix", "calls", "memory", "costs"],
)
def test_each_word_and_number_is_there_whole(
    monkeypatch: pytest.MonkeyPatch, columns: int, heads: Sequence[str], rows: Rows
) -> None:
    words = Counter(shown(monkeypatch, columns, heads, rows, prose=False).split())
    cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for row in rows for cell in row]
    assert Counter(" ".join(cells).split()) <= words
    assert set(" ".join(heads[1:]).split()) <= {word.rstrip(":") for word in words}


@pytest.mark.parametrize("columns", [40, 80])
def test_a_matrix_that_is_too_wide_is_a_line_for_each_cell(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    text = shown(monkeypatch, columns, *MATRIX, prose=False)
    lines = [re.split("  +", line) for line in text.splitlines()]
    assert ["v4", "refcount", "FOUND"] in lines
    assert ["merged", "livelock", "declared"] in lines
    assert len(lines) == 7 + 6, "an empty cell says nothing"
    assert max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize("columns", [40, 80])
def test_a_number_stands_with_its_head_where_first_cells_are_alike(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    text = shown(monkeypatch, columns, *CALLS, prose=False)
    if columns == 40:
        assert "status: OPERAND_BUSY" in text
        assert "calls: 1,234,567" in text
    assert max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize("columns", [40, 80])
def test_sentences_are_wrapped_between_words(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    rows = [("hint", "No refcount: ADD before each use, REMOVE when the module hints so.", "found")]
    text = shown(monkeypatch, columns, ("name", "what", "verdict"), rows, prose=True)
    assert "refcount: ADD before each use, REMOVE when the module hints so." in " ".join(
        text.split()
    )
    assert max(map(len, text.splitlines())) <= columns


def test_a_table_that_fits_is_as_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = shown(monkeypatch, 200, *MATRIX, prose=False)
    pipe = StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    Output(as_json=False).table(*MATRIX)
    assert wide == pipe.getvalue()
