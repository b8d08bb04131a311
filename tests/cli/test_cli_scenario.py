"""``--scenario FILE.toml``, ``--check`` and faults by leaf, and how scenarios are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import Invoke
from tiers import slow

RAW = """format = 1
[setup]
operations = []
[[cpu]]
operations = ["TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B0 r8=B1"]
[[cpu]]
operations = ["TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B2 r8=B3"]
"""

BAD_SETUP = RAW.replace("operations = []", 'operations = ["create 0", "create 0"]')


def only(rows: object) -> dict[str, Any]:
    """The only row of a list in a JSON document."""
    assert isinstance(rows, list)
    (row,) = rows
    assert isinstance(row, dict)
    return row


@pytest.fixture
def zaps(invoke: Invoke) -> str:
    """A file with the scenario zap-zap."""
    Path("zaps.toml").write_text(invoke("show", "zap-zap", "--as", "toml").out)
    return "zaps.toml"


def test_verify_says_the_same_of_a_file_and_of_what_it_was_written_from(
    invoke: Invoke, zaps: str
) -> None:
    rows = []
    for name in (zaps, "zap-zap"):
        answer = invoke("verify", "v6", "--scenario", name, "--format", "json")
        rows.append(only(answer.json["results"]))
        assert rows[-1].pop("scenario") == name
        rows[-1].pop("seconds")
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "command",
    [
        ("hunt", "v4", "--cases", 400, "--seed", 1),
        pytest.param(("verify", "v4"), marks=slow),
        pytest.param(("matrix", "v4", "--time", "4s"), marks=slow),
        pytest.param(("matrix", "v4", "merged", "--compare", "--time", "2s"), marks=slow),
        pytest.param(
            ("campaign", "run", "here", "v4", "--cases", 400, "--workers", 1, "--seed", 1),
            marks=slow,
        ),
    ],
)
def test_every_command_takes_a_file(invoke: Invoke, command: tuple[object, ...]) -> None:
    Path("mine.toml").write_text(invoke("show", "zap-remap", "--as", "toml").out)
    answer = invoke(*command, "--scenario", "mine.toml")
    assert answer.code == 1, answer.err


def test_raw_seamcalls_need_no_layer(invoke: Invoke) -> None:
    Path("raw.toml").write_text(RAW)
    assert invoke("verify", "hostile", "--scenario", "raw.toml").code == 0
    hunted = invoke("hunt", "hostile", "--scenario", "raw.toml", "--cases", 50, "--format", "json")
    row = only(hunted.json["designs"])
    assert set(row["stats"]["calls"]) == {"TDH.PHYMEM.PAMT.ADD"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BAD_SETUP, "setup.operations[1]: 'create 0' failed: -EEXIST"),
        (RAW.replace("[setup]", "[setups]"), "setups: unknown field; did you mean setup?"),
        (RAW.replace("= 1", "= 'one'"), "format:"),
        ("[", "not valid TOML"),
    ],
)
@pytest.mark.parametrize("command", ["hunt", "verify", "matrix"])
def test_an_error_names_the_file_and_the_field(
    invoke: Invoke, command: str, text: str, said: str
) -> None:
    Path("bad.toml").write_text(text)
    answer = invoke(command, "merged", "--scenario", "bad.toml", "--time", "2s")
    assert answer.code == 2
    assert answer.err.startswith("tdxfuzz: bad.toml")
    assert said in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "merged", "--scenario", "none.toml"), "none.toml: No such file"),
        (("verify", "merged", "--scenario", "zap-zp"), "did you mean zap-zap"),
        (("verify", "merged", "--scenario", "raw.toml", "--cpus", 3), "it has 2 CPUs"),
        (("verify", "hostile", "--scenario", "zaps.toml"), "name a design"),
        (("hunt", "hostile", "--scenario", "zaps.toml"), "name a design"),
        (("verify", "merged", "--scenario", "raw.toml", "--scenario", "in/raw.toml"), "raw.toml"),
        (("verify", "merged", "--faults", "refuse"), "add @N"),
        (("show", "zap-zap", "--as", "svg"), "no order"),
        (("show", "zap-zp"), "did you mean zap-zap"),
        (("list", "scenarios", "none.toml"), "none.toml"),
        (("hunt", "merged", "--check", "refcont"), "did you mean refcount"),
        (("matrix", "merged", "--check", "refcont"), "did you mean refcount"),
        (("campaign", "run", "here", "--check", "refcont"), "did you mean refcount"),
        (("campaign", "run", "here", "--faults", "refuse@x"), "from 1"),
        (("campaign", "run", "here", "hostile", "--scenario", "zap-zap"), "raw SEAMCALLs"),
    ],
)
def test_wrong_usage_is_told(
    invoke: Invoke, zaps: str, arguments: tuple[object, ...], said: str
) -> None:
    Path("in").mkdir()
    for path in ("raw.toml", "in/raw.toml"):
        Path(path).write_text(RAW)
    answer = invoke(*arguments)
    assert answer.code == 2
    assert said in answer.err


def test_a_scenario_is_shown_and_listed(invoke: Invoke, zaps: str) -> None:
    by_name = invoke("show", "zap-zap")
    by_file = invoke("show", zaps)
    assert by_name.code == by_file.code == 0
    assert by_file.out == by_name.out.replace("zap-zap", "zaps.toml", 1)
    assert "slot 0  0x0  A0   A16\n" in by_name.out
    assert invoke("list", "scenarios", zaps).out.startswith("zaps.toml\n")


def test_only_the_named_checks_listen(invoke: Invoke) -> None:
    deaf = invoke("verify", "v4", "--scenario", "zap-remap", "--check", "page-leak")
    assert "zap-remap: fail" not in deaf.out
    answer = invoke("verify", "v6", "--scenario", "zap-zap", "--check", "refcount")
    assert answer.code == 0
    assert "page-owner, pamt-in-use, unexpected-status would find" in answer.out
    hunted = invoke("hunt", "v6", "--scenario", "zap-zap", "--cases", 99, "--check", "refcount")
    assert "only these checks listened: refcount" in hunted.out


@slow
def test_the_matrix_has_a_column_for_each_named_check(invoke: Invoke) -> None:
    document = json.loads(
        invoke(
            *("matrix", "v6", "--scenario", "zap-zap", "--check", "refcount"),
            *("--time", "2s", "--format", "json"),
        ).out
    )
    assert {cell["check"] for cell in document["cells"]} == {"refcount", "2MB pages", "running TDs"}


def test_a_named_check_that_could_not_fail_leaves_the_verdict_unknown(invoke: Invoke) -> None:
    Path("raw.toml").write_text(RAW)
    answer = invoke("verify", "merged", "--scenario", "raw.toml", "--check", "refcount")
    assert answer.code == 3
    assert "vacuous" in answer.out


def test_the_second_call_of_a_leaf_is_refused(invoke: Invoke, zaps: str) -> None:
    command = ("--scenario", zaps, "--faults")
    answer = invoke("verify", "merged", *command, "refuse:MEM.PAGE.REMOVE@1", "--format", "json")
    row = only(answer.json["results"])
    assert row["not_met"] == []
    assert row["covers"]["faults"] == ["refuse"]


@pytest.mark.parametrize("command", [("verify",), ("hunt", "--cases", 30)])
def test_a_fault_that_met_no_call_is_told(
    invoke: Invoke, zaps: str, command: tuple[object, ...]
) -> None:
    first, *more = command
    fault = "refuse:TDH.MEM.RANGE.BLOCK@9"
    answer = invoke(first, "merged", *more, "--scenario", zaps, "--faults", fault)
    assert answer.code == 3
    assert f"not met: {fault}" in answer.out


def test_faults_stand_in_files_too(invoke: Invoke, zaps: str) -> None:
    text = Path(zaps).read_text() + '\n[schedule]\nfaults = ["refuse:MEM.RANGE.BLOCK@9"]\n'
    Path("faulty.toml").write_text(text)
    assert "faults: refuse:TDH.MEM.RANGE.BLOCK@9" in invoke("show", "faulty.toml").out
    assert invoke("verify", "merged", "--scenario", "faulty.toml").code == 3
