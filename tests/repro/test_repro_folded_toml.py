"""TOML in short lines says what it said before."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.repro.folded_toml import folded
from tdxfuzz.repro.write import _value

texts = st.text(alphabet=st.sampled_from("ab\"\\\\ \t\n#'[],=\u202e\u00e9\U0001f600"), max_size=60)
pairs = st.lists(st.integers(0, 10**6) | texts, max_size=4)
values = texts | st.lists(texts | st.integers(0, 10**9) | pairs, max_size=8)


@given(st.dictionaries(st.sampled_from(["a", "operations", "z1"]), values), st.integers(40, 72))
def test_any_value_of_the_writer_reads_as_before(table: dict[str, object], width: int) -> None:
    text = "[t]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in table.items())
    short = folded(text, width)
    assert tomllib.loads(short) == tomllib.loads(text)
    indented = "".join(f"    {line}\n" for line in short.splitlines())
    assert tomllib.loads(indented) == tomllib.loads(text)
    for line in short.splitlines():
        assert len(line) <= width or line.lstrip().startswith("["), (
            "an array in an array stays whole"
        )


@pytest.mark.parametrize("width", range(40, 60))
def test_breaks_lose_no_space(width: int) -> None:
    for text in ("a" * 100, "ab " * 40, " " * 90, f"{'x' * 38}  {'y' * 50}", "\\" * 70):
        short = folded(f"k = {_value(text)}", width)
        assert tomllib.loads(short) == {"k": text}
        assert max(map(len, short.splitlines())) <= width


def test_short_lines_and_comments_stay_comments() -> None:
    text = "# one\nformat = 1\n# " + "word " * 30 + "\n"
    short = folded(text, 40)
    assert short.startswith("# one\nformat = 1\n# word")
    assert all(line.startswith(("#", "format")) and len(line) <= 40 for line in short.splitlines())
