"""Hostile calls on a library alone: what must hold whatever the model says."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_compiler
from commands import Invoke
from target_libraries import ERROR, SOURCES, build, build_text
from tdxfuzz.targets.library.diff import Found
from tdxfuzz.targets.library.hostile import LibraryHunter, calls_of_setup, possible_setups
from tdxfuzz.targets.library.process import Library
from tiers import long, slow

pytestmark = needs_compiler


def hunted(cases: int) -> list[Found]:
    found: list[Found] = []
    with Library(build("reference")) as library:
        LibraryHunter(library).hunt(1, cases, None, found.append)
    return found


def test_a_sound_library_has_no_finding() -> None:
    assert hunted(15) == []


def test_a_lock_that_stays_held_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ERROR, "no-release")
    first = hunted(15)[0]
    assert (first.divergence.leaf, first.divergence.field) == (
        "TDH.PHYMEM.PAGE.RECLAIM",
        "lock-leak",
    )
    assert first.divergence.library.startswith("PAMT_4K[")


@slow
def test_a_crash_is_put_down_to_the_call_that_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ERROR, "crash")
    found = hunted(40)
    assert {(each.divergence.leaf, each.divergence.field) for each in found} == {
        ("TDH.PHYMEM.PAMT.REMOVE", "crash")
    }


def test_setups_of_leaves_that_the_library_lacks_are_left_out() -> None:
    with Library(build("reference")) as library:
        assert list(possible_setups(library)) == ["bare", "pair", "created", "keyed"]
    assert [call.name for call in calls_of_setup("created").calls[-2:]] == [
        "PHYMEM_PAMT_ADD",
        "MNG_CREATE",
    ]


@long
@slow
def test_calls_of_a_sound_library_have_serial_orders() -> None:
    with Library(build("reference")) as library:
        for setup in possible_setups(library):
            hunter = LibraryHunter(library)
            hunter.sweep(setup, 2, 8.0, lambda found: pytest.fail(str(found)))
            assert hunter.tally.cases > 3


@long
@slow
def test_state_shared_by_calls_has_no_serial_order(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ERROR, "static")
    library = build("reference")
    arguments = ("--library", library, "--scenario", "bare", "--time", "25s", "--format", "json")
    answer = invoke("verify", "hostile", *arguments)
    assert answer.code == 1
    results = answer.json["results"]
    assert isinstance(results, list)
    finding = results[0]["findings"][0]
    assert finding["check"] == "linearizable"
    path = finding["reproducer"]
    assert invoke("replay", path, "--library", library).code == 1
    monkeypatch.delenv(ERROR)
    assert invoke("replay", path, "--library", library).code == 0


@pytest.mark.parametrize("command", ["hunt", "verify"])
def test_what_was_found_before_the_library_is_refused_is_told(
    command: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ERROR, "no-release")
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    world = "\tworld = *new_world;\n"
    late = '\tstatic int resets;\n\n\tstrcpy(why, "tired");\n\tif (resets++ > 90)\n\t\treturn -1;\n'
    library = build_text(tmp_path, text.replace(world, late + world))
    bound = ("--cases", "20", "--seed", "1") if command == "hunt" else ("--time", "5s")
    answer = invoke(command, "hostile", "--library", library, *bound, "--format", "json")
    assert answer.code == 2
    assert answer.json["verdict"] == "error"
    why = "library.so: tdxt_reset returned -1: tired; in a world of "
    assert str(answer.json["error"]).startswith(why)
    assert answer.err.splitlines()[-1].startswith(f"tdxfuzz: {why}")
    assert command == "verify" or answer.json["findings"]


@slow
def test_a_hunt_on_a_library_writes_what_it_finds(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = build("reference")
    arguments = ("--library", library, "--cases", "20", "--seed", "1")
    answer = invoke("hunt", "hostile", *arguments)
    assert answer.code == 0
    assert "not checked: linearizable" in answer.out
    monkeypatch.setenv(ERROR, "no-release")
    answer = invoke("hunt", "hostile", *arguments, "--format", "json")
    assert answer.code == 1
    findings = answer.json["findings"]
    assert isinstance(findings, list)
    assert Path(findings[0]["reproducer"]).exists()
    refused = invoke("hunt", "merged", "--library", library)
    assert refused.code == 2
    assert "--library takes raw SEAMCALLs only" in refused.err


ENTRY = "int64_t tdxt_seamcall("
IDLE = {
    "dead": ("\t*rax = SYS_NOT_READY;\n\treturn 0;\n", "no call of the programs succeeded; most"),
    "busy": (
        (
            "\tswitch (*rax) { case 1: case 9: case 24: case 28: case 58: case 59:\n"
            "\t\t*rax = OPERAND_BUSY | RCX;\n\t\treturn 0;\n\t}\n"
        ),
        "calls of two LPs that succeed and have events were in ",
    ),
    "silent": ("", "calls succeeded, but the hook was told of no event"),
}
"""What a library does at the beginning of each call, and why no verdict follows."""


@pytest.mark.parametrize("kind", IDLE)
@pytest.mark.parametrize("command", ["hunt", "verify"])
def test_a_library_in_which_nothing_meets_has_no_verdict(
    command: str, kind: str, invoke: Invoke, tmp_path: Path
) -> None:
    first, why = IDLE[kind]
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    head, entry, rest = text.partition(ENTRY)
    arguments, brace, body = rest.partition("\n{\n")
    text = head + entry + arguments + brace + first + body
    if kind == "silent":
        assert "hook = fn;" in text
        text = text.replace("hook = fn;", "(void)fn;")
    library = build_text(tmp_path, text)
    bound = ("--cases", "3", "--seed", "1") if command == "hunt" else ("--scenario", "bare")
    answer = invoke(command, "hostile", "--library", library, *bound, "--format", "json")
    assert answer.code == 3
    document = answer.json if command == "hunt" else answer.json["results"][0]  # type: ignore[index]
    assert document["verdict"] == "unknown"
    assert document["why"].startswith(why)  # type: ignore[union-attr]
    plain = invoke(command, "hostile", "--library", library, *bound)
    assert why in plain.out
