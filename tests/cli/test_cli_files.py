"""``replay``, ``show``, ``shrink`` and ``decode``: commands about files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from commands import Invoke
from golden_files import HINT_RACE, REGRESSIONS, check_golden
from tdxfuzz.generate.codec import encode
from tdxfuzz.repro.read import read
from tdxfuzz.shrink import order_search
from tiers import slow

FIRST = HINT_RACE
TEXT = FIRST.read_text(encoding="utf-8")


def test_replaying_a_folder_answers_for_each_file(invoke: Invoke) -> None:
    answer = invoke("replay", FIRST.parent)
    assert answer.code == 1
    assert answer.out.count("FAILED") == len(REGRESSIONS)


def test_replay_json_has_the_keys_scripts_rely_on(invoke: Invoke) -> None:
    rows = invoke("replay", FIRST, "--format", "json").json["results"]
    assert isinstance(rows, list)
    assert rows[0] == {
        "path": str(FIRST),
        "result": "FAILED",
        "check": "pamt-in-use",
        "bucket": "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range",
        "trace_hash": (Path(__file__).parent.parent / "golden" / FIRST.name)
        .with_name(FIRST.name.replace(".tdx.toml", ".hash"))
        .read_text(encoding="utf-8")
        .strip(),
    }


def test_a_bug_that_is_gone_is_fixed_and_exit_0(invoke: Invoke) -> None:
    path = Path("clean.tdx.toml")
    path.write_text(TEXT.replace("[[120, 1]]", "[]"), encoding="utf-8")
    answer = invoke("replay", path)
    assert (answer.code, answer.out.split()[0]) == (0, "FIXED")


def test_another_bug_is_changed_and_exit_1(invoke: Invoke) -> None:
    path = Path("other.tdx.toml")
    path.write_text(TEXT.replace('"pamt-in-use/', '"page-leak/'), encoding="utf-8")
    answer = invoke("replay", path)
    assert (answer.code, answer.out.split()[0]) == (1, "CHANGED")


def test_a_broken_file_is_an_error_and_the_others_are_replayed_all_the_same(
    invoke: Invoke,
) -> None:
    bad, good = Path("a.tdx.toml"), Path("b.tdx.toml")
    bad.write_text(TEXT.replace("tds = 2", "tds = 22"), encoding="utf-8")
    good.write_text(TEXT, encoding="utf-8")
    before = bad.read_bytes()
    answer = invoke("replay", ".")
    assert answer.code == 2
    assert [line.split()[0] for line in answer.out.splitlines() if "toml" in line] == [
        "ERROR",
        "FAILED",
    ]
    assert answer.err == "tdxfuzz: a.tdx.toml:21: world.tds: must be <= 4: 22\n"
    assert bad.read_bytes() == before


def test_a_set_up_call_that_is_refused_is_an_error_not_a_fix(invoke: Invoke) -> None:
    """B128 is no TDR in this world; the call and its status are named."""
    setup = '["create 0", "TDH.MR.FINALIZE rcx=B128"]'
    path = Path("refused.tdx.toml")
    path.write_text(re.sub(r"(?<=\[setup\]\noperations = ).*", setup, TEXT), encoding="utf-8")
    answer = invoke("replay", path)
    assert (answer.code, answer.out.split()[0]) == (2, "ERROR")
    assert (
        "set-up operation 'TDH.MR.FINALIZE rcx=B128' failed: PAGE_METADATA_INCORRECT|RCX; it must"
        in answer.err
    )


@pytest.mark.parametrize("command", ["replay", "show", "shrink"])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (TEXT[:300], "x.tdx.toml:"),
        (TEXT.replace("format = 1", "format = 7"), "format: 7 is later than 1"),
        (TEXT.replace("seed = ", "seeed = "), "origin.seeed: unknown field; did you mean seed?"),
        (TEXT.replace("steps = 20000", "steps = -1"), "schedule.steps: must be >= 1"),
        (TEXT.replace('name = "hint"', 'name = "hunt"'), "design.name: hunt is not a built-in"),
    ],
)
def test_every_command_refuses_a_broken_file_in_one_line(
    invoke: Invoke, command: str, text: str, complaint: str
) -> None:
    Path("x.tdx.toml").write_text(text, encoding="utf-8")
    answer = invoke(command, "x.tdx.toml")
    assert answer.code == 2
    assert complaint in answer.err
    assert answer.err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["x.tdx.toml"]


def test_a_file_that_is_not_there_is_named(invoke: Invoke) -> None:
    answer = invoke("replay", "gone.tdx.toml")
    assert answer.code == 2
    assert answer.err == "tdxfuzz: gone.tdx.toml: No such file or directory\n"


def test_a_folder_without_reproducers_is_an_error(invoke: Invoke) -> None:
    answer = invoke("replay", ".")
    assert (answer.code, "no reproducers" in answer.err) == (2, True)


def test_of_a_campaign_s_folder_the_corpus_is_left_out(invoke: Invoke) -> None:
    """Its cases expect nothing."""
    for name in ("kept/findings/a", "kept/originals/a", "kept/corpus/b", "kept/corpus/more/c"):
        path = Path(f"{name}.tdx.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT, encoding="utf-8")
    assert invoke("replay", "kept").out.count("FAILED") == 4, "a folder like any other"
    Path("kept/store.sqlite").touch()
    answer = invoke("replay", "kept")
    assert (answer.code, answer.out.count("FAILED"), answer.err) == (1, 2, "")
    assert "no reproducers" in invoke("replay", "kept/corpus").err


@slow
def test_a_test_of_a_design_that_was_named_finds_it_from_there(invoke: Invoke) -> None:
    Path("lib").mkdir()
    source = Path(__file__).parents[2] / "tdxfuzz/host/designs/hint.py"
    Path("lib/mine.py").write_text(source.read_text("utf-8"), encoding="utf-8")
    assert invoke("hunt", "lib/mine.py:Hint", "--cases", "500", "--seed", "1").code == 1
    (found,) = Path("reproducers").iterdir()
    assert "file_above(Path(__file__), 'mine.py')" in invoke("show", found, "--as", "pytest").out
    named = invoke("show", found, "--as", "pytest", "--design", "lib/mine.py:Hint").out
    assert "file_above(Path(__file__), 'lib/mine.py'), 'Hint')" in named


@pytest.mark.parametrize("view", ["columns", "steps"])
def test_show_prints_a_view(invoke: Invoke, view: str) -> None:
    answer = invoke("show", FIRST, "--as", view)
    assert answer.code == 0
    suffix = "100.txt" if view == "columns" else "steps.txt"
    check_golden(FIRST.name.replace("tdx.toml", suffix), answer.out)


def test_show_as_json_is_json(invoke: Invoke) -> None:
    document = json.loads(invoke("show", FIRST, "--as", "json").out)
    assert document["findings"][0]["bucket"].startswith("pamt-in-use/")
    assert len(document["records"]) > 100


def test_shrinking_writes_a_new_file_and_leaves_the_old_one(invoke: Invoke) -> None:
    large = TEXT.replace('operations = ["map 1 0"]', 'operations = ["map 1 0", "zap 1 0"]')
    Path("large.tdx.toml").write_text(large, encoding="utf-8")
    answer = invoke("shrink", "large.tdx.toml")
    assert answer.code == 0
    assert "original: 3 operations, 1 preemption; shrunk: 2 operations, 1 preemption" in answer.out
    assert read(Path("large.shrunk.tdx.toml")).case == read(FIRST).case
    assert Path("large.tdx.toml").read_text(encoding="utf-8") == large


def test_a_shrinker_that_gave_up_says_so(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = invoke("shrink", HINT_RACE, "--out", "whole.tdx.toml", "--format", "json")
    assert whole.json["stopped_early"] is False
    monkeypatch.setattr(order_search, "ENOUGH", 20)
    told = "the shrinker stopped after 10,000 replays with what it had"
    answer = invoke("shrink", HINT_RACE, "--out", "small.tdx.toml")
    assert answer.code == 0
    assert told in answer.out
    answer = invoke("shrink", HINT_RACE, "--out", "small.tdx.toml", "--format", "json")
    assert answer.json["stopped_early"] is True
    answer = invoke("hunt", "hint", "--seed", 1, "--cases", 300, "--workers", 1)
    assert told in answer.out


def test_there_is_nothing_to_shrink_where_nothing_shows(invoke: Invoke) -> None:
    Path("clean.tdx.toml").write_text(TEXT.replace("[[120, 1]]", "[]"), encoding="utf-8")
    answer = invoke("shrink", "clean.tdx.toml")
    assert answer.code == 2
    assert "expect.bucket: a replay shows nothing" in answer.err


def test_a_crash_file_becomes_a_reproducer(invoke: Invoke) -> None:
    Path("crash-1").write_bytes(encode(read(FIRST).case))
    answer = invoke("decode", "crash-1", "--design", "hint")
    assert answer.code == 1
    (path,) = Path("reproducers").iterdir()
    assert read(path).case == read(FIRST).case
    assert invoke("decode", "crash-1", "--design", "merged").code == 0
    assert invoke("decode", "gone", "--design", "hint").code == 2


def test_the_c_program_that_is_printed_is_c(invoke: Invoke) -> None:
    text = invoke("show", HINT_RACE, "--as", "c").out
    assert "\n\twhile (" in text
    assert "\\u0009" not in text
