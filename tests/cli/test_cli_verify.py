"""``tdxfuzz verify``."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from commands import Invoke
from tdxfuzz.cli import verify, verify_scenario
from tdxfuzz.verify import checkpoint
from tdxfuzz.verify.search import VerifyResult
from tdxfuzz.verify.search import verify as verify_case
from tdxfuzz.verify.worklist import SearchCounts
from tiers import slow

SMALL = ("--scenario", "zap-zap")


def test_a_pass_says_what_was_explored(invoke: Invoke) -> None:
    answer = invoke("verify", "v6", *SMALL)
    assert answer.code == 0
    assert re.fullmatch(
        r"v6 zap-zap: pass \(every order ends\): all orders, 116 states, 197 transitions, "
        r"76 schedules, depth 11, 2 final states, [\d.]+ s\n"
        r"not covered: more than 2 CPUs; 2MB pages; running vCPUs; faults; weaker memory order\n",
        answer.out,
    )


@slow
def test_a_fail_is_shrunk_and_written(invoke: Invoke) -> None:
    answer = invoke("verify", "v4", "--scenario", "zap-remap", "--out", "here")
    assert answer.code == 1
    assert "v4 zap-remap: fail" in answer.out
    (path,) = Path("here").iterdir()
    assert invoke("replay", path).code == 1


def test_json_has_a_row_for_each_design_and_scenario(invoke: Invoke) -> None:
    answer = invoke("verify", "v6", "merged", *SMALL, "--format", "json")
    document = answer.json
    assert document["verdict"] == "pass"
    rows = document["results"]
    assert isinstance(rows, list)
    assert [(row["design"], row["states"]) for row in rows] == [("v6", 116), ("merged", 200)]


def test_who_gives_no_bound_waits_two_minutes_at_most(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "ENOUGH", 0.0)
    command = ("verify", "v6", "--scenario", "zap-zap")
    answer = invoke(*command)
    assert answer.code == 3
    assert "unknown (the bound of 0 s was reached)" in answer.out
    for bound in (("--full",), ("--preemptions", 1), ("--time", "1m"), ("--checkpoint", "kept")):
        assert invoke(*command, *bound).code == 0


def test_more_cpus_and_a_bound(invoke: Invoke) -> None:
    answer = invoke("verify", "v6", *SMALL, "--cpus", 3, "--preemptions", 0)
    assert answer.code == 3, "one after the other: nothing met"
    assert "unknown (vacuous: " in answer.out
    assert "up to 0 preemptions" in answer.out


def test_an_unfinished_search_is_kept_and_goes_on(invoke: Invoke) -> None:
    command = ("verify", "v6", *SMALL, "--checkpoint", "kept")
    first = invoke(*command, "--time", "0s")
    assert first.code == 3
    assert "zap-zap: unfinished, kept in kept/v6-zap-zap-2.verify.gz" in first.out
    changed = invoke(*command, "--preemptions", 1)
    assert changed.code == 2
    assert "remove the file to start again" in changed.err
    second = invoke(*command, "--time", "60s")
    assert second.code == 0
    assert "continued from" in second.out
    assert not list(Path("kept").iterdir())


KVM = """
from tdxfuzz.host import kvm


class Mine(kvm.Kvm):
    pass
"""


def test_a_checkpoint_of_another_kvm_or_another_tdxfuzz_is_refused(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("k.py").write_text(KVM)
    command = ("verify", "v6", *SMALL, "--checkpoint", "kept", "--kvm", "k.py:Mine")
    assert invoke(*command, "--time", "0s").code == 3
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_our_code", lambda: "another")
        answer = invoke(*command)
        assert answer.code == 2
        assert "another version of tdxfuzz has written it; remove the file" in answer.err
    Path("k.py").write_text(f"{KVM}    changed = True\n")
    answer = invoke(*command)
    assert answer.code == 2
    assert "identity: the checkpoint is of" in answer.err


def test_a_broken_checkpoint_is_one_clear_error(invoke: Invoke) -> None:
    Path("kept").mkdir()
    Path("kept/v6-zap-zap-2.verify.gz").write_bytes(b"nonsense")
    answer = invoke("verify", "v6", *SMALL, "--checkpoint", "kept")
    assert answer.code == 2
    assert "kept/v6-zap-zap-2.verify.gz: cannot be read" in answer.err
    assert answer.err.count("\n") == 1


def lines_after(text: str, head: str) -> list[str]:
    """The lines that follow the one that begins so."""
    lines = text.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith(head)) :]


def test_a_bug_that_several_scenarios_show_is_shown_once(invoke: Invoke) -> None:
    answer = invoke("verify", "hint", "--scenario", "zap-zap", "--scenario", "map-zap")
    assert answer.code == 1
    assert answer.out.count("Reproduce with: ") == 1
    assert "  pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range: see zap-zap, " in answer.out
    assert lines_after(answer.out, "scenario ") == [
        "scenario  hint",
        "zap-zap   FAIL pamt-in-use",
        "map-zap   FAIL pamt-in-use",
    ]


def test_json_refers_to_the_reproducer_that_was_written(invoke: Invoke) -> None:
    names = ("--scenario", "zap-zap", "--scenario", "map-zap")
    answer = invoke("verify", "hint", *names, "--format", "json")
    rows = answer.json["results"]
    assert isinstance(rows, list)
    (first,), (again,) = (row["findings"] for row in rows)
    assert first == again
    assert first["first_in"] == "zap-zap"


def test_fail_fast_ends_at_the_first_finding(invoke: Invoke) -> None:
    names = ("--scenario", "zap-zap", "--scenario", "map-zap")
    answer = invoke("verify", "hint", "v6", *names, "--fail-fast", "--format", "json")
    assert answer.code == 1
    rows = answer.json["results"]
    assert isinstance(rows, list)
    assert [row["verdict"] for row in rows] == ["fail", "unknown", "unknown", "unknown"]
    assert {row["why"] for row in rows[1:]} == {"not begun"}


def test_what_a_pass_does_not_cover_is_one_line(invoke: Invoke) -> None:
    names = ("--scenario", "zap-zap", "--scenario", "map-zap")
    answer = invoke("verify", "v6", *names, "--preemptions", 1)
    assert answer.code == 0
    (line,) = [line for line in answer.out.splitlines() if line.startswith("not covered: ")]
    assert line == (
        "not covered: more than 2 CPUs; more than 1 preemption; 2MB pages; running vCPUs; faults; "
        "weaker memory order"
    )


def test_json_says_what_each_verdict_covers(invoke: Invoke) -> None:
    names = ("--scenario", "zap-zap", "--scenario", "split-map")
    answer = invoke("verify", "v6", *names, "--preemptions", 0, "--format", "json")
    rows = answer.json["results"]
    assert isinstance(rows, list)
    small, huge = (row["covers"] for row in rows)
    assert small["cpus"] == 2
    assert small["preemptions"] == 0
    assert (small["huge_pages"], huge["huge_pages"]) == (False, True)
    assert small["running_vcpus"] is False
    assert small["faults"] == []
    assert {"refcount", "livelock"} <= set(small["checks"])
    assert small["memory"] == "sequentially consistent"


class Interrupts:
    """A search in which Ctrl-C comes during a run, once there were some."""

    def __init__(self, runs: int) -> None:
        self.left = runs

    def __call__(self, *arguments: Any, **options: Any) -> VerifyResult:
        case, design, bounds, _, *kept = arguments

        def count(counts: SearchCounts, todo: int) -> None:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)

        return verify_case(case, design, bounds, count, *kept, **options)


def test_the_first_ctrl_c_ends_all_with_what_there_is(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_scenario, "verify", Interrupts(100))
    names = ("--scenario", "zap-zap", "--scenario", "map-zap")
    answer = invoke("verify", "v6", "merged", *names, "--format", "json", "--workers", 1)
    assert answer.code == 3
    rows = answer.json["results"]
    assert isinstance(rows, list)
    assert [row["verdict"] for row in rows] == ["pass", "unknown", "unknown", "unknown"]
    assert [row["why"] for row in rows] == ["", "interrupted", "not begun", "not begun"]


def test_an_interrupted_search_goes_on_from_its_checkpoint(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("verify", "v6", *SMALL, "--checkpoint", "kept", "--format", "json")
    monkeypatch.setattr(verify_scenario, "verify", Interrupts(30))
    assert invoke(*command).code == 3
    assert list(Path("kept").iterdir())
    monkeypatch.setattr(verify_scenario, "verify", verify_case)
    rows = invoke(*command).json["results"]
    assert isinstance(rows, list)
    (row,) = rows
    assert not list(Path("kept").iterdir())
    assert (row["verdict"], row["final_states"]) == ("pass", 2)


def test_the_time_is_that_of_all_scenarios_together(invoke: Invoke) -> None:
    began = time.monotonic()
    answer = invoke("verify", "merged", "v6", "hint", "--full", "--time", "0.01s")
    assert time.monotonic() - began < 20
    assert answer.code in (1, 3)
    assert "not begun" in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("v6", "--scenario", "zap"), "unknown scenario 'zap'; did you mean zap-zap"),
        (("v7",), "unknown design 'v7'"),
        (("v6", "--module-variant", "donor-ex"), "unknown module variant 'donor-ex'; did you"),
        (("v6", "--full", "--preemptions", "1"), "--full and --preemptions exclude each other"),
    ],
)
def test_wrong_usage_is_one_line(invoke: Invoke, arguments: tuple[str, ...], message: str) -> None:
    answer = invoke("verify", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_hostile_calls_are_combined_after_each_setup(invoke: Invoke) -> None:
    answer = invoke("verify", "hostile", "--scenario", "bare", "--preemptions", 1)
    assert answer.code == 0
    assert re.search(r"hostile bare: pass: 169 pairs of calls, .* up to 1 preemption,", answer.out)
    answer = invoke(
        "verify", "hostile", "--scenario", "bare", "--time", "0.01s", "--format", "json"
    )
    assert answer.code == 3
    (result,) = json.loads(answer.out)["results"]
    assert (result["scenario"], result["verdict"]) == ("bare", "unknown")
    assert result["why"] == "the time was over"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--scenario", "nowhere"], "unknown set-up 'nowhere'; known: bare, blocked, created"),
        (["--cpus", "4"], "--cpus 2 or 3"),
        (["--checkpoint", "x"], "--checkpoint and --faults only with a scenario file"),
    ],
)
def test_what_hostile_does_not_take(invoke: Invoke, options: list[str], problem: str) -> None:
    answer = invoke("verify", "hostile", *options)
    assert answer.code == 2
    assert problem in answer.err


@slow
def test_hostile_calls_are_combined_in_threes(invoke: Invoke) -> None:
    options = ("--scenario", "bare", "--preemptions", 0, "--time", "3s")
    answer = invoke("verify", "hostile", "--cpus", 3, *options)
    assert answer.code in (0, 3), "within three seconds it may not come to the end"
    assert re.search(r"hostile bare: .*[1-9]\d* triples of calls", answer.out)
