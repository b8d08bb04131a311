"""``tdxfuzz diff``, ``record``, ``conform --against`` and ``replay --library``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from c_layers import needs_compiler
from commands import Invoke
from target_libraries import ERROR, SOURCES, build, build_text
from tdxfuzz.module.platform import Platform
from tdxfuzz.targets.library.boot import seamcall
from tdxfuzz.targets.library.compare import Divergence
from tdxfuzz.targets.library.files import write
from tdxfuzz.targets.library.judge import ONE_SIDE
from tdxfuzz.targets.library.model import play
from tdxfuzz.targets.library.trial import Trial
from tdxfuzz.targets.world import AtReset

pytestmark = needs_compiler


def test_a_library_that_agrees_passes(invoke: Invoke) -> None:
    answer = invoke("diff", "--library", build("reference"), "--cases", "20", "--seed", "1")
    assert answer.code == 0
    last = answer.out.splitlines()[-1]
    told = re.fullmatch(r"pass: no divergence; compared ([\d,]+) of ([\d,]+) calls in .*", last)
    assert told is not None
    assert told[1] == told[2]
    assert "not compared: leaves that the library lacks (TDH.VP.ENTER, " in answer.out


def test_a_divergence_is_told_written_and_replayed(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = build("reference")
    monkeypatch.setenv(ERROR, "status")
    arguments = ("--library", library, "--cases", "3", "--seed", "1", "--format", "json")
    answer = invoke("diff", *arguments)
    assert answer.code == 1
    document = answer.json
    assert document["verdict"] == "fail"
    rows = document["divergences"]
    assert isinstance(rows, list)
    assert [(row["leaf"], row["field"], row["model"], row["library"]) for row in rows] == [
        (
            "TDH.MNG.CREATE",
            "status",
            "HKID_NOT_FREE (0xc000082000000000)",
            "OPERAND_INVALID|RDX (0xc000010000000002)",
        )
    ]
    path = rows[0]["reproducer"]
    failed = invoke("replay", path, "--format", "json")
    assert failed.code == 1
    expected = {"path": path, "check": "divergence", "bucket": "TDH.MNG.CREATE/status"}
    sides = {"model": rows[0]["model"], "library": rows[0]["library"]}
    assert failed.json["results"] == [{**expected, "result": "FAILED", **sides}]
    assert invoke("replay", path, "--library", library).code == 1
    assert invoke("conform", path).code == 1
    monkeypatch.delenv(ERROR)
    fixed = invoke("replay", path, "--library", library, "--format", "json")
    assert fixed.code == 0
    assert fixed.json["results"] == [
        {"path": path, "check": "divergence", "bucket": "TDH.MNG.CREATE/status", "result": "FIXED"}
    ]


def test_a_divergent_call_of_the_boot_is_shown_and_each_side_is_named(
    invoke: Invoke, tmp_path: Path
) -> None:
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    begin = "static u64 sys_key_config(struct call *call)\n{\n"
    assert begin in text
    harm = f"{begin}\tcall->regs[TDXT_R9] = 0x77;\n"
    library = build_text(tmp_path, text.replace(begin, harm, 1))
    arguments = ("diff", "--library", library, "--cases", "2", "--seed", "1")
    answer = invoke(*arguments)
    assert "TDH.SYS.KEY.CONFIG, r9 differs:\n  model    0x0\n  library  0x77\n" in answer.out
    assert re.search(r"\n    TDH\.SYS\.KEY\.CONFIG\(\) = \w.*\n  seen after ", answer.out)
    path = next(Path("divergences").iterdir())
    shown = invoke("show", path)
    assert shown.code == 0
    assert shown.out in answer.out
    assert invoke("show", path, "--as", "svg").code == 2
    lines = [line.strip() for line in invoke("replay", path, "--library", library).out.split("\n")]
    assert lines[1:5] == [
        "TDH.SYS.KEY.CONFIG()",
        "model now        0x0",
        "library now      0x77",
        "library in file  0x77",
    ]
    fixed = invoke("replay", path, "--library", build("reference"))
    assert "the library now does what the model does" in fixed.out
    assert "library  0x77" in fixed.out


def test_files_of_earlier_runs_stay_and_are_told_from_new_ones(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--library", build("reference"), "--cases", "4", "--seed", "1")
    monkeypatch.setenv(ERROR, "status")
    first = invoke("diff", *arguments)
    assert "in divergences: " not in first.out
    old = Path("divergences/01-phymem-x.jsonl")
    Path("divergences/01-mng-create-status.jsonl").rename(old)
    text = old.read_text()
    again = invoke("diff", *arguments)
    assert f"{old}, which an earlier run had written too" in again.out
    assert "in divergences: 0 files new, 1 of earlier runs seen again" in again.out
    monkeypatch.setenv(ERROR, "register")
    other = invoke("diff", *arguments, "--format", "json")
    rows = other.json["divergences"]
    assert isinstance(rows, list)
    assert [(row["reproducer"], row["new"]) for row in rows] == [
        ("divergences/02-phymem-pamt-remove-r8.jsonl", True)
    ]
    assert other.json["not_seen"] == [str(old)]
    assert json.loads(old.read_text())["expect"] == json.loads(text)["expect"]


def test_what_is_known_is_left_out_with_its_reason(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ERROR, "status")
    known = Path("known.toml")
    known.write_text('[[known]]\nleaf = "TDH.MNG.CREATE"\nreason = "fixed in the next build"\n')
    arguments = ("--library", build("reference"), "--cases", "3", "--seed", "1")
    answer = invoke("diff", *arguments, "--ignore", known)
    assert answer.code == 0
    assert "(fixed in the next build)" in answer.out
    known.write_text('[[known]]\nleaf = "TDH.MNG.CREATE"\n')
    refused = invoke("diff", *arguments, "--ignore", known)
    assert refused.code == 2
    assert "known 1: needs a 'reason'" in refused.err


KNOWN_EVENT = """
[[known]]
leaf = "TDH.SYS.INIT"
field = "event"
reason = "another lock"
"""


@pytest.mark.parametrize(
    ("harm", "code", "found"),
    [
        ("\t*(volatile int *)8 = 1;\n", 1, ["crash"]),
        ("\tcall->regs[TDXT_R8] = 5;\n\treturn 3;\n", 3, []),
    ],
    ids=["crash", "wrong answer"],
)
def test_what_lies_behind_a_known_divergence_is_told_or_not_passed(
    invoke: Invoke, tmp_path: Path, harm: str, code: int, found: list[str]
) -> None:
    """The boot takes another lock than the model, and no snapshot shows that this is harmless."""
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    remove = "static u64 pamt_remove(struct call *call)\n{\n"
    take = "take(call, &global_lock, TDXT_EXCLUSIVE, TDXT_GLOBAL, 0)"
    for old, new in (
        (remove, f"static u64 pamt_remove(struct call *call)\n{{\n{harm}"),
        (take, take.replace("EXCLUSIVE", "SHARED")),
        ("TDXT_HAS_HOOK | TDXT_HAS_SNAPSHOT", "TDXT_HAS_HOOK"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    Path("known.toml").write_text(KNOWN_EVENT)
    arguments = ("--library", build_text(tmp_path, text), "--cases", "30", "--seed", "1")
    answer = invoke("diff", *arguments, "--ignore", "known.toml", "--format", "json")
    rows = answer.json["divergences"]
    assert isinstance(rows, list)
    assert [row["field"] for row in rows] == found
    assert answer.code == code
    assert int(str(answer.json["hidden"])) > 15
    assert int(str(answer.json["compared"])) < int(str(answer.json["calls"]))


def test_a_recording_agrees_with_the_model_and_two_versions_are_told_apart(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--library", build("reference"), "--seed", "1", "--cases", "15")
    interleaved = (*arguments, "--kind", "interleaved")
    assert invoke("record", *interleaved, "--out", "one.jsonl.gz").code == 0
    assert invoke("conform", "one.jsonl.gz").code == 0
    assert invoke("record", *arguments, "--kind", "locks", "--out", "locks.jsonl").code == 0
    assert "locks.jsonl: locks, 15 traces: 15 of 15 agree" in invoke("conform", "locks.jsonl").out
    monkeypatch.setenv(ERROR, "lock-kind")
    assert invoke("record", *interleaved, "--out", "two.jsonl.gz").code == 0
    answer = invoke("conform", "two.jsonl.gz", "--against", "one.jsonl.gz", "--format", "json")
    assert answer.code == 1
    changes = answer.json["changes"]
    assert isinstance(changes, list)
    assert ("programs", "locks", "acq EX KOT", "acq SH KOT") in [
        tuple(change[key] for key in ("leaf", "what", "before", "now")) for change in changes
    ]
    assert invoke("conform", "one.jsonl.gz", "--against", "one.jsonl.gz").code == 0


@pytest.mark.parametrize("kind", ["sequential", "locks", "interleaved"])
def test_recordings_without_final_states_agree_and_say_so(
    invoke: Invoke, tmp_path: Path, kind: str
) -> None:
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    text = text.replace("TDXT_HAS_HOOK | TDXT_HAS_SNAPSHOT", "TDXT_HAS_HOOK", 1)
    for name, library in (("less", build_text(tmp_path, text)), ("more", build("reference"))):
        arguments = ("--library", library, "--seed", "1", "--cases", "4", "--kind", kind)
        assert invoke("record", *arguments, "--out", f"{name}.jsonl").code == 0
    answer = invoke("conform", "less.jsonl")
    assert answer.code == 0
    lacking = "not compared: the final state of 4 traces, which was not recorded"
    assert lacking in answer.out
    assert "not compared" not in invoke("conform", "more.jsonl").out
    both = invoke("conform", "less.jsonl", "--against", "more.jsonl", "--format", "json")
    assert both.code == 0
    assert (both.json["changes"], both.json["without_state"]) == ([], 4)


VERSION_77 = (
    "it has version 77 of the ABI, and this is version 1: build it with this tdxfuzz_target.h"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("int nothing;", "it does not export tdxt_abi; tdxfuzz_target.h says what that is"),
        (
            (SOURCES / "reference.c").read_text().replace("return TDXT_ABI;", "return 77;"),
            VERSION_77,
        ),
    ],
    ids=["empty", "another version"],
)
def test_what_is_no_library_is_named(invoke: Invoke, tmp_path: Path, text: str, why: str) -> None:
    answer = invoke("diff", "--library", build_text(tmp_path, text), "--cases", "1")
    assert answer.code == 2
    assert answer.err == f"tdxfuzz: library.so: {why}\n"


def test_a_library_that_is_not_there(invoke: Invoke) -> None:
    answer = invoke("diff", "--library", "none.so", "--cases", "1")
    assert answer.code == 2
    assert answer.err == "tdxfuzz: none.so: no such file\n"


def test_a_file_that_is_no_divergence(invoke: Invoke) -> None:
    Path("some.jsonl").write_text(json.dumps({"id": "x"}) + "\n")
    answer = invoke("replay", "some.jsonl")
    assert answer.code == 2
    assert "field 'expect' is missing" in answer.err


@pytest.mark.parametrize("field", ["reset", "repeat", "lock-leak", "crash", "linearizable"])
def test_what_is_about_the_library_alone_is_replayed_with_a_library_only(
    field: str, invoke: Invoke, tmp_path: Path
) -> None:
    trial = Trial(AtReset(Platform(), (0,), ()), (seamcall("SYS.INIT"),))
    model = "SUCCESS" if field in ("reset", "repeat") else ONE_SIDE
    found = Divergence("TDH.SYS.INIT", field, model, "what it did", ("", field, "", ""), 0)
    path = tmp_path / "01.jsonl"
    write(path, found, trial, play(trial))
    answer = invoke("replay", path, "--format", "json")
    assert answer.code == 2
    row = answer.json["results"][0]  # type: ignore[index]
    assert (row["result"], row["bucket"]) == ("ERROR", f"TDH.SYS.INIT/{field}")
    assert answer.err.endswith("is about the library alone; give it with --library\n")


@pytest.mark.parametrize("field", ["crash", "hang"])
def test_a_recorded_crash_or_hang_is_no_agreement(
    field: str, invoke: Invoke, tmp_path: Path
) -> None:
    trial = Trial(AtReset(Platform(), (0,), ()), (seamcall("SYS.INIT"),))
    text = f"{field}: in sys_init"
    found = Divergence("TDH.SYS.INIT", field, "SUCCESS", text, ("", field, "", ""), 0)
    path = tmp_path / "01.jsonl"
    write(path, found, trial, play(trial))
    answer = invoke("conform", path)
    assert answer.code == 1
    assert f"the file records that the library died: TDH.SYS.INIT: {text}" in answer.out


def test_a_recording_of_nothing_is_unknown(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    trial = Trial(AtReset(Platform(), (0,), ()), ())
    write(path, Divergence("reset", "reset", "", "", ("", "", "", ""), 0), trial, play(trial))
    answer = invoke("conform", path, "--format", "json")
    assert answer.code == 3
    assert answer.json["datasets"][0]["verdict"] == "unknown"  # type: ignore[index]
    assert "unknown: nothing was compared" in invoke("conform", path).out


@pytest.mark.parametrize(("alone", "code"), [(1, 0), (2, 3)])
def test_versions_of_which_few_traces_are_in_both_files_are_unknown(
    alone: int, code: int, invoke: Invoke
) -> None:
    arguments = ("--library", build("reference"), "--cases", str(1 + alone), "--seed", "1")
    assert invoke("record", *arguments, "--out", "more.jsonl").code == 0
    lines = Path("more.jsonl").read_text().splitlines(keepends=True)
    Path("few.jsonl").write_text(lines[0])
    answer = invoke("conform", "few.jsonl", "--against", "more.jsonl")
    assert answer.code == code
    assert ("unknown: fewer than half of the traces" in answer.out) == (code == 3)


def with_snapshot(folder: Path, body: str) -> Path:
    """The reference library with another snapshot."""
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    head, name, rest = text.partition("int64_t tdxt_snapshot(")
    arguments, brace, tail = rest.partition("\n{\n")
    assert brace
    return build_text(folder, head + name + arguments + brace + body + tail)


def test_parts_of_the_snapshot_that_never_came_are_named(invoke: Invoke, tmp_path: Path) -> None:
    body = '\tif (size >= 10)\n\t\tmemcpy(buffer, "{\\"hp\\": []}", 10);\n\treturn 10;\n'
    arguments = ("--library", with_snapshot(tmp_path, body), "--cases", "2", "--seed", "1")
    never = "parts of the snapshot that the library never gave (ranges, pages, bitmap, kot, tds)"
    assert never in invoke("diff", *arguments).out
    assert (
        "parts of the snapshot"
        not in invoke("diff", "--library", build("reference"), *arguments[2:]).out
    )


def test_a_part_that_no_snapshot_has_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    body = '\tif (size >= 10)\n\t\tmemcpy(buffer, "{\\"td\\": {}}", 10);\n\treturn 10;\n'
    answer = invoke("diff", "--library", with_snapshot(tmp_path, body), "--cases", "2")
    assert answer.code == 2
    assert answer.err.endswith(
        "tdxt_snapshot gives the part 'td'; there are ranges, pages, bitmap, hp, kot, tds\n"
    )
