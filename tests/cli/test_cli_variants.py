"""``--module-variant FILE.py:NAME``, and ``list locks``."""

from __future__ import annotations

import json
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


IN_HOSTILE = """
from tdxfuzz.module.codes import OPERAND_BUSY, RCX
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.phymem import tdh_phymem_page_rdmd
from tdxfuzz.module.variants import Variant


def leaks(module, call):
    module.keys.lock.acquire_sh()
    return tdh_phymem_page_rdmd(module, call)


def refuses(module, call):
    raise Refused(OPERAND_BUSY | RCX)


LEAKS = Variant("any", "", leaves={"TDH.PHYMEM.PAGE.RDMD": leaks})
REFUSES = Variant("any", "", leaves={"TDH.MNG.CREATE": refuses})
"""


def test_hostile_calls_are_combined_on_a_variant(invoke: Invoke) -> None:
    Path("hostile.py").write_text(IN_HOSTILE)
    bare = ("verify", "hostile", "--scenario", "bare", "--preemptions", 0, "--module-variant")
    answer = invoke(*bare, "hostile.py:LEAKS", "--format", "json")
    assert answer.code == 1
    (result,) = json.loads(answer.out)["results"]
    assert {each["bucket"] for each in result["findings"]} == {"lock-leak/-/-/KOT"}
    assert result["covers"]["module_variant"] == "LEAKS"
    answer = invoke(*bare, "hostile.py:LEAKS", "--check", "module-fatal")
    assert answer.code != 1
    answer = invoke(*bare[:3], "created", *bare[4:], "hostile.py:REFUSES")
    assert answer.code == 3
    assert "'TDH.MNG.CREATE rcx=A0 rdx=0x21' failed: OPERAND_BUSY" in answer.out


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
    told = "TDH.MEM.TRACK: its function must take the module and the call (broken.py:11)"
    assert answer.err == f"tdxfuzz: broken.py: raised ValueError when loaded: {told}\n"


@pytest.mark.parametrize("option", ["--module-variant", "--kvm"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(:\n", "SyntaxError when loaded: invalid syntax (broken.py:1)"),
        ("\nimport nowhere\n", "No module named 'nowhere' (broken.py:2)"),
        ("raise SystemExit(0)\n", "SystemExit when loaded: 0 (broken.py:1)"),
        ("\n\nimport beside\n", "by zero (beside.py:2, from beside.py:4, from broken.py:3)"),
        ("def f():\n    [].pop()\n\nf()\n", "empty list (broken.py:2, from broken.py:4)"),
    ],
)
def test_a_file_that_raises_when_it_is_loaded_is_told_by_one_line_with_the_place(
    invoke: Invoke, option: str, text: str, told: str
) -> None:
    Path("broken.py").write_text(text)
    Path("beside.py").write_text("def f():\n    1 / 0\n\nf()\n")
    answer = invoke("hunt", "merged", "--cases", 1, option, "broken.py:X")
    assert answer.code == 2
    assert answer.err.startswith("tdxfuzz: broken.py: raised ")
    assert answer.err.endswith(f"{told}\n")
    assert answer.err.count("\n") == 1
