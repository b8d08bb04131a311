"""When a clean search of scenarios that the user chose says something, and when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Invoke
from tdxfuzz.check.vacuous import never_happened
from tiers import slow

MET = "two CPUs were in get or put for one range at the same time"


def hunted(invoke: Invoke, *options: object) -> tuple[int, str]:
    answer = invoke("hunt", "v6", "--cases", 100, "--seed", 1, "--workers", 1, *options)
    return answer.code, answer.out


def not_tried(out: str) -> str:
    (line,) = [line for line in out.splitlines() if line.startswith("  not tried: ")]
    return line


def test_a_scenario_without_a_retry_loop_is_clean_and_the_hunt_names_the_idle_check(
    invoke: Invoke,
) -> None:
    code, out = hunted(invoke, "--scenario", "map-zap")
    assert (code, "vacuous" in out) == (0, False)
    idle = not_tried(out).partition("what these checks look for, because it never happened: ")[2]
    assert "livelock" in idle
    assert "refcount" not in idle


def test_so_is_the_same_scenario_in_a_file(invoke: Invoke) -> None:
    text = invoke("show", "map-zap", "--as", "toml").out
    Path("mine.toml").write_text(text, encoding="utf-8")
    code, out = hunted(invoke, "--scenario", "mine.toml")
    assert code == 0
    assert "livelock" in not_tried(out)


def test_programs_that_never_meet_leave_it_unknown(invoke: Invoke) -> None:
    """Each CPU has a range of its own."""
    apart = '[[cpu]]\noperations = ["zap 0 0"]\n[[cpu]]\noperations = ["zap 1 1"]\n'
    world = "[world]\nguest_ranges = [0, 1]\nkernel_ranges = [2]\n"
    setup = '[setup]\noperations = ["create 0", "create 1", "map 0 0", "map 1 1"]\n'
    Path("apart.toml").write_text(f"format = 1\n{world}{setup}{apart}", encoding="utf-8")
    code, out = hunted(invoke, "--scenario", "apart.toml")
    assert code == 3
    assert f"vacuous: it never happened that {MET}" in out
    assert "what these checks look for" not in out


def test_a_check_that_the_user_named_must_have_had_its_occasion(invoke: Invoke) -> None:
    code, out = hunted(invoke, "--scenario", "map-zap", "--check", "livelock")
    assert code == 3
    assert "vacuous: it never happened that a CPU went round in a retry loop" in out
    assert hunted(invoke, "--scenario", "map-zap", "--check", "pamt-in-use")[0] == 0


def test_one_order_of_a_scenario_is_too_little(invoke: Invoke) -> None:
    code, out = hunted(invoke, "--scenario", "map-zap", "--cases", 1)
    assert (code, MET in out) == (3, True)


@slow
@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        (("--scenario", "map-zap"), "pass"),
        (("--check", "refcount"), "pass"),
        (("--check", "livelock", "--scenario", "map-zap"), "unknown"),
    ],
    ids=str,
)
def test_a_campaign_of_chosen_scenarios_or_checks_has_a_verdict(
    invoke: Invoke, options: tuple[str, ...], verdict: str
) -> None:
    run = ("campaign", "run", "kept", "v6", "--cases", 200, "--batch", 100, "--workers", 1)
    document = invoke(*run, "--seed", 1, *options, "--format", "json").json
    designs = document["designs"]
    assert isinstance(designs, list)
    (design,) = designs
    assert design["verdict"] == verdict
    if "--check" in options:
        assert list(design["checks"]) == [options[1]]


def test_raw_seamcalls_are_asked_for_calls_that_overlapped() -> None:
    assert never_happened("hostile", (), ["module-fatal"]) == ""
    assert "two CPUs" not in never_happened("hostile", ("linearizable",), ["linearizable"])
    assert never_happened("merged", (), ["module-fatal"]).endswith(MET)
    assert never_happened("merged", ("livelock", "refcount"), ["refcount"]) == ""
