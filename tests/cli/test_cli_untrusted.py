"""Commands that read files, given files of every kind that is none: one error each, no trace."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from commands import Invoke
from hostile_files import LABORIOUS, LONG_JSON, TEXT, special_files
from tiers import slow

SECONDS = 2.0
"""CPU time of a command within the test's process."""

RAW = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What must reach neither a terminal nor a page."""


def one_error(invoke: Invoke, *arguments: object) -> str:
    begin = time.process_time()
    answer = invoke(*arguments)
    assert time.process_time() - begin < SECONDS
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert not RAW.search(answer.out + answer.err)
    assert "internal error" not in answer.err
    return answer.err


@pytest.mark.parametrize("suffix", [".tdx.toml", ".jsonl"])
def test_a_folder_of_special_files_has_an_entry_for_each(invoke: Invoke, suffix: str) -> None:
    Path("f").mkdir()
    paths = special_files(Path("f"), suffix)
    begin = time.process_time()
    answer = invoke("replay", "f", "--format", "json")
    assert time.process_time() - begin < SECONDS * 2
    assert answer.code == 2
    rows = answer.json["results"]
    assert isinstance(rows, list)
    assert sorted(row["path"] for row in rows) == sorted(map(str, paths))
    assert {row["result"] for row in rows} == {"ERROR"}
    assert all(row["error"] for row in rows)
    assert answer.err.count("\n") == len(paths)
    answer = invoke("replay", "f")
    assert (answer.code, answer.out.count("ERROR"), answer.out.count("\n")) == (
        2,
        *[len(paths)] * 2,
    )
    assert not RAW.search(answer.out + answer.err)


@pytest.mark.parametrize(
    "command", [["replay"], ["show"], ["shrink"], ["decode", "--design", "hint"], ["conform"]]
)
def test_each_command_refuses_each_special_file(invoke: Invoke, command: list[str]) -> None:
    suffix = ".jsonl" if command == ["conform"] else ".tdx.toml"
    for path in special_files(Path(), suffix):
        if command[0] == "decode" and not path.is_symlink() and path.is_file():
            continue  # bytes of every kind are a case for it
        said = one_error(invoke, command[0], path, *command[1:])
        name = path.name.partition(".")[0]
        assert name in said or not name.isprintable()


def test_laborious_files_have_an_entry_each_and_the_good_one_is_replayed(invoke: Invoke) -> None:
    Path("f").mkdir()
    for number, text in enumerate(LABORIOUS.values()):
        Path(f"f/{number:02}.tdx.toml").write_text(text, encoding="utf-8")
    for number, text in enumerate(LONG_JSON.values()):
        Path(f"f/{number:02}.jsonl").write_text(text, encoding="utf-8")
    Path("f/good.tdx.toml").write_text(TEXT, encoding="utf-8")
    answer = invoke("replay", "f")
    assert answer.code == 2
    assert answer.out.count("ERROR ") == len(LABORIOUS) + len(LONG_JSON)
    assert answer.out.count("FAILED ") == 1
    assert max(map(len, answer.err.splitlines())) < 1_200


HOSTILE = "\x1b[31m\u202e\u2066\x9b\r\nx<script>'''\"\\`|"


@pytest.mark.parametrize(
    "view", ["columns", "page", "mail", "steps", "c", "svg", "mermaid", "pytest", "json"]
)
def test_what_a_file_says_reaches_no_view_raw(invoke: Invoke, view: str) -> None:
    quoted = "".join(f"\\u{ord(c):04x}" for c in HOSTILE)
    text = re.sub(
        r'(message = "|name = "|engine = ")[^"]*',
        rf"\g<1>{quoted.replace(chr(92), chr(92) * 2)}",
        TEXT,
    )
    text = text.replace(
        "[design]\n",
        f'[design]\nfile = "{quoted}"\nclass_name = "{quoted}"\nsha256 = "{"0" * 64}"\n',
    )
    Path("x.tdx.toml").write_text(text, encoding="utf-8")
    answer = invoke("show", "x.tdx.toml", "--as", view, "--design", "hint")
    if view != "pytest":
        source = Path(__file__).parents[2] / "tdxfuzz/host/designs/hint.py"
        Path("mine.py").write_text(source.read_text("utf-8"), encoding="utf-8")
        answer = invoke("show", "x.tdx.toml", "--as", view, "--design", "mine.py:Hint")
    assert answer.code == 0
    shown = answer.out.replace("\t", "")
    assert not RAW.search(shown)
    assert not RAW.search(answer.err)
    assert "x<script>" not in shown or view not in ("page", "svg", "mermaid")


@slow
def test_a_design_file_with_a_name_that_is_no_text_keeps_its_finding(invoke: Invoke) -> None:
    source = Path(__file__).parents[2] / "tdxfuzz/host/designs/hint.py"
    name = os.fsdecode(b"m\xff\x1b[31m.py")
    Path(name).write_text(source.read_text("utf-8"), encoding="utf-8")
    answer = invoke("hunt", f"{name}:Hint", "--cases", 500, "--seed", 1)
    assert answer.code == 1
    assert not RAW.search(answer.out + answer.err)
    (found,) = Path("reproducers").iterdir()
    assert invoke("replay", found, "--design", f"{name}:Hint").code == 1
