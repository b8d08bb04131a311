"""Recordings that start at reset: the machine, what a call writes, and a module that dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tdxfuzz.module.call import Call
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.system import SysState
from tdxfuzz.targets.conform import conform
from tdxfuzz.targets.world import AtReset, world_of

from .recordings import Json, divergence, load, problem, save

CONFIG: Json = {
    "lps": 3,
    "packages": [0, 1, 0],
    "maxpa": 46,
    "hkid_bits": [45, 40],
    "private_hkids": [16, 63],
    "cache_sub_blocks": 2,
    "cmrs": [["0x0", "0x40000000"], ["0x80000000", "0x1000"]],
    "memory": [["0x1ffe", "0102030405"]],
}
INFO = "X0002"
"""A trace of SYS.INIT, LP.INIT, CONFIG and INFO; the last one writes to memory."""


def boot(trace_id: str) -> Json:
    return load("third/boot", trace_id)


def test_a_machine_at_reset_is_built_as_described() -> None:
    world = world_of(CONFIG, {})
    assert isinstance(world, AtReset)
    bench = world.build(cpus=2)
    platform, module = bench.module.platform, bench.module
    assert (platform.packages, platform.cache_sub_blocks, platform.max_pa) == (2, 2, 46)
    assert platform.key_bits.mask == 0x3F << 40
    assert list(module.keys.entries) == list(range(16, 64))
    assert platform.cmrs == ((0, 1 << 30), (1 << 31, 4096))
    assert [(lp.id, lp.package, lp.tsc) for lp in bench.lps] == [
        (0, 0, 1_000_000),
        (1, 1, 1_000_000),
        (2, 0, 1_000_000),
    ]
    assert (module.system.state.value, module.system.num_lps) == (SysState.SYSINIT_PENDING, 3)
    assert module.memory.read(0x1FFE, 2) + module.memory.read(0x2000, 4) == b"\1\2\3\4\5\0"
    assert len(module.pamt.tdmrs) == 0


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("lps", 9, "'lps' must be 1..8, not 9"),
        ("lps", "3", "'lps' must be a number"),
        ("packages", [0, 1], "'packages' must be 3 numbers, one for each LP, not 2"),
        ("packages", [0, -1, 0], "'package' must be 0..63"),
        ("hkid_bits", [40, 45], "'hkid_bits' must be 45..45"),
        ("hkid_bits", [46, 40], "'hkid_bits' must be 40..45"),
        ("private_hkids", [32, 1 << 40], "'private_hkids' must be 1..65535"),
        ("cache_sub_blocks", 0, "'cache_sub_blocks' must be"),
        ("cmrs", [["0x0", "0x1000"]] * 33, "'cmrs' must be at most 32, not 33"),
        ("memory", [["0x10000000000000", "00"]], "'address' must be"),
        ("memory", [["0x1000", "0"]], "non-hexadecimal"),
        ("maxpa", 60, "'maxpa' must be"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    trace = boot(INFO)
    trace["config"] = {**CONFIG, field: value}
    text = problem(save(tmp_path, trace))
    assert text.startswith("some.jsonl.gz:1: not a recording: ")
    assert said in text


@pytest.mark.parametrize("field", [name for name in CONFIG if name != "lps"])
def test_a_missing_field_of_the_machine_is_named(tmp_path: Path, field: str) -> None:
    trace = boot(INFO)
    del trace["config"][field]
    assert problem(save(tmp_path, trace)) == f"some.jsonl.gz:1: field '{field}' is missing"


def test_a_call_on_a_processor_that_is_not_there_is_refused(tmp_path: Path) -> None:
    trace = boot(INFO)
    trace["calls"][0]["cpu"] = trace["config"]["lps"]
    assert "a CPU must be 0..3 here, not 4" in problem(save(tmp_path, trace))


def change_memory(trace: Json) -> None:
    trace["calls"][-1]["mem"][-1][1] = "ff" + trace["calls"][-1]["mem"][-1][1][2:]


def change_package(trace: Json) -> None:
    trace["calls"][-1]["out"]["r9"] = "0x21"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_memory, "memory at 0x1800001000: recorded ff"),
        (change_package, "r9: recorded 0x21, model 0x20"),
    ],
)
def test_what_a_call_writes_is_compared(
    tmp_path: Path, change: Callable[[Json], None], said: str
) -> None:
    assert conform(save(tmp_path, boot(INFO))).first_divergence is None
    trace = boot(INFO)
    change(trace)
    lines = divergence(conform(save(tmp_path, trace)))
    assert any(line.startswith(said) for line in lines), lines


@pytest.mark.parametrize(("masked", "agrees"), [(["rdx"], True), ([], False)])
def test_a_masked_register_is_not_compared(tmp_path: Path, masked: list[str], agrees: bool) -> None:
    trace = boot("X0010")
    call = next(call for call in trace["calls"] if call.get("mask") == ["rdx"])
    call |= {"mask": masked, "out": call["out"] | {"rdx": "0x12345"}}
    assert (conform(save(tmp_path, trace)).first_divergence is None) is agrees


def fatal_trace() -> Json:
    """A trace that ends in a fatal error of SYS.INFO."""
    trace = boot(INFO)
    trace |= {"fatal": {"cpu": 0, "call": 3, "id": 9}, "final": None}
    trace["calls"][-1] |= {"status": None, "mem": []}
    del trace["calls"][-1]["out"]
    return trace


def die(m: TdxModule, call: Call) -> int:
    raise ModuleFatal(9, "made up")


def test_a_trace_may_end_in_a_fatal_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HANDLERS, 32, die)
    result = conform(save(tmp_path, fatal_trace()))
    assert (result.agree, result.items) == (4, 4)
    assert divergence(conform(save(tmp_path, boot(INFO))))


def test_a_model_that_lives_on_does_not_agree_with_a_fatal_error(tmp_path: Path) -> None:
    assert "fatal (CPU, id): recorded (0, 9), model None" in divergence(
        conform(save(tmp_path, fatal_trace()))
    )


def test_events_of_the_module_as_a_whole_are_compared(tmp_path: Path) -> None:
    trace = load("third/boot_interleaved", "Y0018")
    assert conform(save(tmp_path, trace)).first_divergence is None
    place = next(i for i, event in enumerate(trace["order"]) if event[3] == "GLOBAL")
    trace["order"][place][2] = "SH" if trace["order"][place][2] == "EX" else "EX"
    text = "\n".join(divergence(conform(save(tmp_path, trace))))
    assert f"events differ at index {place}" in text
