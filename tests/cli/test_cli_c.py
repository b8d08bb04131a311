"""Layers in C at every command: what is printed, and exit codes."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from c_layers import LAYERS, needs_compiler, text_of, write
from commands import Invoke
from tdxfuzz.host.c.compiler import FLAGS
from tiers import slow

pytestmark = needs_compiler

REGRESSIONS = Path(__file__).parents[2] / "corpus" / "regressions"

RACY = text_of(before="int count;", get="	count++;")


def test_a_finding_in_c_goes_through_all_commands(tmp_path: Path, invoke: Invoke) -> None:
    layer = write(tmp_path, RACY, "racy.c")
    hunted = invoke("hunt", layer, "--cases", 100, "--seed", 1, "--out", tmp_path / "found")
    assert hunted.code == 1
    assert "data-race: count: nothing orders the plain write at racy.c:" in hunted.out
    assert "--design" in hunted.out
    (found,) = (tmp_path / "found").iterdir()
    assert invoke("replay", found, "--design", layer).code == 1
    assert invoke("replay", found).code == 2
    assert invoke("replay", found, "--design", LAYERS / "merged.c").code == 0
    shown = invoke("show", found, "--design", layer)
    assert "lock dpamt_lock" in shown.out
    assert "refcount[A]: " in shown.out
    assert "racy.c:" not in shown.out.partition("^ data-race")[0]
    shown = invoke("show", found, "--design", layer, "--source")
    assert re.search(r"lock dpamt_lock\s+\[racy\.c:\d+\]", shown.out)
    assert invoke("shrink", found, "--design", layer, "--out", tmp_path / "small.toml").code == 0


def test_verify_gives_a_verdict_and_its_reproducer(tmp_path: Path, invoke: Invoke) -> None:
    good = invoke("verify", LAYERS / "merged.c", "--scenario", "map-zap")
    assert (good.code, good.out.split(":")[1].split()[0]) == (0, "pass")
    layer = write(tmp_path, RACY, "racy.c")
    bad = invoke("verify", layer, "--scenario", "map-map", "--out", tmp_path / "found")
    assert bad.code == 1
    assert "bucket: data-race/-/-/count" in bad.out


@pytest.mark.parametrize("command", ["hunt", "verify"])
def test_what_is_wrong_is_one_line_and_exit_2(command: str, tmp_path: Path, invoke: Invoke) -> None:
    texts = {
        "crash": text_of(get="	ret = *(volatile int *)NULL;"),
        "loop": text_of(get="	for (;;)\n		;"),
        "syntax": text_of(get="	int x = ;"),
        "unlock": text_of(get="	spin_unlock(&dpamt_lock);"),
    }
    for name, text in texts.items():
        layer = write(tmp_path, text, f"{name}.c")
        answer = invoke(command, layer, *(["--cases", 5] if command == "hunt" else []))
        assert answer.code == 2, name
        assert answer.err.splitlines()[0].startswith(f"tdxfuzz: {name}.c:"), answer.err


ENDS = {
    "exit": ("void exit(int);", "exit(0);"),
    "_exit": ("void _exit(int);", "_exit(3);"),
    "abort": ("void abort(void);", "abort();"),
    "raise": ("int raise(int);", "raise(9);"),
    "kill": ("int kill(int, int);", "kill(0, 15);"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_layer_that_would_end_the_process_is_told_by_its_line_at_every_command(
    name: str, tmp_path: Path, invoke: Invoke
) -> None:
    declared, call = ENDS[name]
    layer = write(tmp_path, text_of(before=declared, get=f"\t{call}"), "ends.c")
    (old,) = REGRESSIONS.glob("v4-unexpected-*.tdx.toml")
    for arguments in (
        ("hunt", layer, "--cases", 5),
        ("verify", layer, "--scenario", "map-zap"),
        ("campaign", "run", tmp_path / "campaign", layer, "--time", 2),
        ("replay", old, "--design", layer),
    ):
        answer = invoke(*arguments)
        assert answer.code == 2
        assert re.fullmatch(
            rf"tdxfuzz: ends\.c:\d+: {name} ends a process, and a layer is kernel code; .*\n",
            answer.err,
        )


def test_a_trap_of_a_layer_is_told_by_its_line(tmp_path: Path, invoke: Invoke) -> None:
    layer = write(tmp_path, text_of(get="\t__builtin_trap();"), "ends.c")
    for arguments in (("hunt", layer, "--cases", 5), ("verify", layer, "--scenario", "map-zap")):
        answer = invoke(*arguments)
        assert answer.code == 2
        assert re.match(r"tdxfuzz: ends\.c:\d+: .* or a trap of the code's own", answer.err)


def test_no_such_file_is_one_line(invoke: Invoke) -> None:
    answer = invoke("hunt", "nothing.c")
    assert (answer.code, answer.err) == (2, "tdxfuzz: no design file 'nothing.c'\n")


def test_headers_of_ones_own_are_looked_for(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLAGS, "")
    write(tmp_path, "#define frobnicate(x) ((void)(x))\n", "frob.h")
    text = text_of(before="#include <frob.h>", get="	frobnicate(WHAT);")
    layer = write(tmp_path, text)
    arguments = ("verify", layer, "--scenario", "map-zap")
    assert "frob.h is not in tdxfuzz's kernel headers" in invoke(*arguments).err
    assert invoke(*arguments, "-I", tmp_path, "-D", "WHAT=pfn").code == 0
    monkeypatch.setenv(FLAGS, "")
    assert invoke(*arguments, "--shim", tmp_path, "-D", "WHAT=pfn").code == 0


@slow
def test_a_campaign_and_a_matrix_take_c(tmp_path: Path, invoke: Invoke) -> None:
    layer = write(tmp_path, RACY, "racy.c")
    ran = invoke(
        "campaign", "run", tmp_path / "campaign", layer, LAYERS / "v6.c", "--time", "15s",
        "--batch", 50,
    )  # fmt: skip
    assert ran.code == 1
    assert "data-race/-/-/count" in ran.out
    told = invoke("campaign", "status", tmp_path / "campaign", "--format", "json").json["designs"]
    assert isinstance(told, list)
    # Before anything was raced for, a design would be vacuous.
    assert [design["checks"]["data-race"] for design in told] == ["fail", "pass"]
    table = invoke("matrix", LAYERS / "v6.c", "--time", "5s", "--scenario", "map-zap")
    assert table.code in (0, 3)
    assert "V6" in table.out
    costs = invoke("matrix", LAYERS / "v6.c", layer, "--compare", "--time", "4s")
    assert costs.code == 1
    assert "Racy" in costs.out


def test_what_a_fuzz_target_crashed_with_is_decoded_for_c(tmp_path: Path, invoke: Invoke) -> None:
    layer = write(tmp_path, RACY, "racy.c")
    crash = tmp_path / "crash"
    codes = set()
    for seed in range(20):
        crash.write_bytes(Random(seed).randbytes(300))
        answer = invoke("decode", crash, "--design", layer, "--out", tmp_path / "found")
        codes.add(answer.code)
        if answer.code == 1:
            break
    assert 1 in codes
    (found,) = (tmp_path / "found").iterdir()
    assert invoke("replay", found, "--design", layer).code == 1
