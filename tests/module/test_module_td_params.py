"""TD_PARAMS: how the bytes are read, and which field is refused first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.module.memory import Memory, RawPage
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.td_params import DEFAULT, PARAMS_SIZE, TdParams

from .lab import PARAMS, TDR, Lab, Stage

RECORDED = Path(__file__).parents[2] / "corpus/conformance/td_params.json"
FIVE_LEVELS = 6 | 4 << 3


def memory_with(content: bytes, hpa: int = PARAMS) -> Memory:
    memory = Memory()
    memory.put(RawPage(hpa, content))
    return memory


def init(params: TdParams, platform: Platform | None = None) -> str:
    """What MNG.INIT says to these parameters."""
    lab = Lab(platform=platform)
    lab.td(Stage.TDCX)
    lab.module.memory.put(RawPage(PARAMS, params.to_bytes()))
    return lab.call("MNG.INIT", rcx=TDR, rdx=PARAMS).text


@pytest.mark.parametrize("key", ["P4", "P5", "P4V1"])
def test_the_recorded_pages_read_as_what_their_description_says(key: str) -> None:
    entry = json.loads(RECORDED.read_text())[key]
    params = TdParams.read(memory_with(bytes.fromhex(entry["hex"])), PARAMS)
    assert params.attributes == int(entry["attributes"], 16)
    assert params.xfam == int(entry["xfam"], 16)
    assert params.max_vcpus == entry["max_vcpus"]
    assert params.num_l2_vms == entry["num_l2_vms"]
    assert params.levels == entry["sept_levels"]
    assert params.gpaw is bool(entry["gpaw_bit"])
    assert params.tsc_frequency == entry["tsc_frequency"]
    assert params.reserved_clear


@given(
    st.builds(
        TdParams,
        attributes=st.integers(0, (1 << 64) - 1),
        xfam=st.integers(0, (1 << 64) - 1),
        max_vcpus=st.integers(0, 0xFFFF),
        num_l2_vms=st.integers(0, 255),
        msr_config_ctls=st.integers(0, 255),
        eptp_controls=st.integers(0, (1 << 64) - 1),
        config_flags=st.integers(0, (1 << 64) - 1),
        tsc_frequency=st.integers(0, 0xFFFF),
    )
)
def test_what_is_written_is_read_back(params: TdParams) -> None:
    assert len(params.to_bytes()) == PARAMS_SIZE
    assert TdParams.read(memory_with(params.to_bytes()), PARAMS) == params


def test_memory_never_written_reads_as_zeroes() -> None:
    params = TdParams.read(Memory(), PARAMS)
    assert params == TdParams(0, 0, 0, 0, 0, 0, 0, 0)


def test_parameters_may_stand_anywhere_in_their_page() -> None:
    memory = memory_with(bytes(2048) + DEFAULT.to_bytes())
    assert TdParams.read(memory, PARAMS + 2048) == DEFAULT


@pytest.mark.parametrize(
    ("offset", "clear"),
    [(20, (False, True)), (41, (True, True)), (42, (True, False)), (255, (True, False))],
)
def test_reserved_bytes_are_noticed(offset: int, clear: tuple[bool, bool]) -> None:
    content = bytearray(DEFAULT.to_bytes())
    content[offset] = 1
    params = TdParams.read(memory_with(bytes(content)), PARAMS)
    assert (params.reserved_0_clear, params.reserved_clear) == clear


def test_the_first_reserved_bytes_are_checked_before_the_fields_behind_them() -> None:
    lab = Lab()
    lab.td(Stage.TDCX)
    content = bytearray(evolve(DEFAULT, tsc_frequency=0, config_flags=1 << 6).to_bytes())
    content[20] = 1
    lab.module.memory.put(RawPage(PARAMS, bytes(content)))
    assert lab.call("MNG.INIT", rcx=TDR, rdx=PARAMS).text == "OPERAND_INVALID|RDX"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "SUCCESS"),
        ({"attributes": 1 << 1}, "OPERAND_INVALID|ATTRIBUTES"),
        ({"attributes": 1 << 62}, "OPERAND_INVALID|ATTRIBUTES"),
        ({"attributes": 1 << 16 | 1 << 30}, "SUCCESS"),
        ({"attributes": 1 << 29}, "SUCCESS"),
        ({"attributes": 1 << 29 | 1}, "OPERAND_INVALID|ATTRIBUTES"),
        ({"attributes": 1 << 29 | 1 << 63}, "OPERAND_INVALID|ATTRIBUTES"),
        ({"attributes": 1 << 16 | 1 << 63}, "OPERAND_INVALID|ATTRIBUTES"),
        ({"xfam": 1}, "OPERAND_INVALID|XFAM"),
        ({"xfam": 3 | 1 << 63}, "OPERAND_INVALID|XFAM"),
        ({"xfam": 0xE7}, "SUCCESS"),
        ({"xfam": 0xE3}, "OPERAND_INVALID|XFAM"),
        ({"xfam": 0x67}, "OPERAND_INVALID|XFAM"),
        ({"xfam": 3 | 1 << 11}, "OPERAND_INVALID|XFAM"),
        ({"xfam": 3 | 3 << 11 | 3 << 17}, "SUCCESS"),
        ({"xfam": 3 | 1 << 17}, "OPERAND_INVALID|XFAM"),
        ({"max_vcpus": 0}, "OPERAND_INVALID|MAX_VCPUS"),
        ({"max_vcpus": 577}, "OPERAND_INVALID|MAX_VCPUS"),
        ({"max_vcpus": 576}, "SUCCESS"),
        ({"num_l2_vms": 4}, "OPERAND_INVALID|NUM_L2_VMS"),
        ({"num_l2_vms": 1}, "TDCS_NOT_ALLOCATED"),
        ({"config_flags": 1 << 6}, "OPERAND_INVALID|EXEC_CONTROLS"),
        ({"config_flags": 1 << 5}, "OPERAND_INVALID|EXEC_CONTROLS"),
        ({"config_flags": 1 << 3}, "SUCCESS"),
        ({"config_flags": 3 << 3}, "OPERAND_INVALID|EXEC_CONTROLS"),
        ({"eptp_controls": 0 | 3 << 3}, "OPERAND_INVALID|EPTP_CONTROLS"),
        ({"eptp_controls": 6 | 2 << 3}, "OPERAND_INVALID|EPTP_CONTROLS"),
        ({"eptp_controls": 6 | 5 << 3}, "OPERAND_INVALID|EPTP_CONTROLS"),
        ({"eptp_controls": 6 | 3 << 3 | 1 << 6}, "OPERAND_INVALID|EPTP_CONTROLS"),
        ({"eptp_controls": FIVE_LEVELS}, "SUCCESS"),
        ({"eptp_controls": FIVE_LEVELS, "config_flags": 1}, "SUCCESS"),
        ({"config_flags": 1}, "OPERAND_INVALID|EPTP_CONTROLS"),
        ({"tsc_frequency": 3}, "OPERAND_INVALID|TSC_FREQUENCY"),
        ({"tsc_frequency": 4}, "SUCCESS"),
        ({"tsc_frequency": 400}, "SUCCESS"),
        ({"tsc_frequency": 401}, "OPERAND_INVALID|TSC_FREQUENCY"),
        ({"msr_config_ctls": 2}, "OPERAND_INVALID|RDX"),
        ({"msr_config_ctls": 1}, "SUCCESS"),
    ],
)
def test_each_field_is_checked(changes: dict[str, Any], status: str) -> None:
    assert init(evolve(DEFAULT, **changes)) == status


def test_the_first_wrong_field_wins() -> None:
    """Each repair uncovers the next complaint."""
    wrong: dict[str, Any] = {
        "attributes": 1 << 1,
        "xfam": 0,
        "max_vcpus": 0,
        "num_l2_vms": 4,
        "config_flags": 1 << 6,
        "eptp_controls": 0,
        "tsc_frequency": 0,
        "msr_config_ctls": 2,
    }
    complaints = []
    while wrong:
        complaints.append(init(evolve(DEFAULT, **wrong)).removeprefix("OPERAND_INVALID|"))
        del wrong[next(iter(wrong))]
    assert complaints == [
        *("ATTRIBUTES", "XFAM", "MAX_VCPUS", "NUM_L2_VMS"),
        *("EXEC_CONTROLS", "EPTP_CONTROLS", "TSC_FREQUENCY", "RDX"),
    ]


def test_five_levels_need_a_platform_with_five() -> None:
    four_only = Platform(pml5=False)
    assert init(DEFAULT, four_only) == "SUCCESS"
    five = evolve(DEFAULT, eptp_controls=FIVE_LEVELS)
    assert init(five, four_only) == "OPERAND_INVALID|EPTP_CONTROLS"
