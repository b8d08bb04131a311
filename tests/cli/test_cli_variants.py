"""``--module-variant FILE.py:NAME``, and ``list locks``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from commands import Invoke
from tdxfuzz.module import variants
from tiers import slow

FILE = """
from tdxfuzz.module.codes import OPERAND_BUSY, RCX
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.variants import Variant


def track(module, call):
    raise Refused(OPERAND_BUSY | RCX)


NO_TRACK = Variant("any", "TRACK is always BUSY", leaves={"TDH.MEM.TRACK": track})
"""


@pytest.fixture(autouse=True)
def variant(invoke: Invoke) -> None:
    Path("own.py").write_text(FILE)


@pytest.mark.parametrize(
    "command",
    [
        ("hunt", "merged", "--seed", 1, "--cases", 50, "--scenario", "zap-zap"),
        ("verify", "merged", "--scenario", "zap-zap"),
        pytest.param(("matrix", "merged", "--scenario", "zap-zap", "--time", "2s"), marks=slow),
        pytest.param(
            ("campaign", "run", "here", "merged", "--cases", 60, "--batch", 30, "--workers", 1),
            marks=slow,
        ),
    ],
)
def test_every_command_takes_a_users_variant(invoke: Invoke, command: tuple[object, ...]) -> None:
    answer = invoke(*command, "--module-variant", "own.py:NO_TRACK")
    assert answer.code == 1, answer.err


def test_a_reproducer_names_the_file_and_needs_it_again(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    hunted = invoke("verify", "merged", "--scenario", "zap-zap", "--module-variant", "own.py")
    again = re.search(r"Reproduce with: tdxfuzz (replay (\S+) --module-variant (\S+))", hunted.out)
    assert again is not None
    assert again[3] == "own.py:NO_TRACK"
    text = Path(again[2]).read_text()
    assert 'module_variant = "NO_TRACK"\nvariant_file = "own.py"\nvariant_sha256 = "' in text
    monkeypatch.setattr(variants, "_loaded", {})
    without = invoke("replay", again[2])
    assert without.code == 2
    assert "add --module-variant own.py:NO_TRACK" in without.err
    assert invoke(*again[1].split()).code == 1
    assert invoke("show", again[2], "--module-variant", "own.py:NO_TRACK").code == 0


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("none.py:X", "no variant file 'none.py'"),
        ("own.py:TRACK", "no variant 'TRACK'; it has: NO_TRACK"),
        ("range-ex", "did you mean ranges-ex"),
    ],
)
def test_a_variant_that_there_is_not_is_wrong_usage(
    invoke: Invoke, argument: str, said: str
) -> None:
    answer = invoke("hunt", "merged", "--cases", 1, "--module-variant", argument)
    assert answer.code == 2
    assert said in answer.err


def test_locks_are_listed_by_leaf_and_by_resource(invoke: Invoke) -> None:
    by_leaf = invoke("list", "locks", "PHYMEM.PAMT.ADD", "--format", "json").json["locks"]
    by_resource = invoke("list", "locks", "2M:EX", "--format", "json").json["locks"]
    row = {"leaf": "TDH.PHYMEM.PAMT.ADD", "resource": "2M", "mode": "EX", "of": "RCX"}
    assert isinstance(by_leaf, list)
    assert isinstance(by_resource, list)
    assert row in by_leaf
    assert row in by_resource
    assert "did you mean 2M" in invoke("list", "locks", "2N").err


BROKEN = """
from tdxfuzz.module.variants import Variant


def raises(module, call):
    raise ValueError("not today")


def answers_nothing(module, call):
    pass


def hangs(module, call):
    while True:
        pass


RAISES = Variant("any", "", leaves={"TDH.MEM.TRACK": raises})
NOTHING = Variant("any", "", leaves={"TDH.MEM.TRACK": answers_nothing})
HANGS = Variant("any", "", leaves={"TDH.MEM.TRACK": hangs})
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("RAISES", "variant RAISES raised ValueError: not today"),
        ("NOTHING", "variant NOTHING (broken.py): the function of TDH.MEM.TRACK returned None; it"),
        pytest.param("HANGS", "variant HANGS hangs in hangs (", marks=slow),
    ],
)
def test_a_function_that_raises_hangs_or_answers_nothing_is_the_variants(
    invoke: Invoke, name: str, told: str
) -> None:
    Path("broken.py").write_text(BROKEN)
    verify = ("verify", "merged", "--scenario", "map-zap", "--module-variant")
    answer = invoke(*verify, f"broken.py:{name}")
    assert answer.code == 2
    assert f"tdxfuzz: {told}" in answer.err


def test_a_function_that_takes_nothing_is_told_when_its_file_is_loaded(invoke: Invoke) -> None:
    Path("broken.py").write_text(FILE.replace("def track(module, call)", "def track()"))
    answer = invoke("hunt", "merged", "--module-variant", "broken.py:NO_TRACK")
    assert answer.code == 2
    told = "TDH.MEM.TRACK: its function must take the module and the call"
    assert answer.err.splitlines()[0].endswith(f"broken.py: raised ValueError when loaded: {told}")
