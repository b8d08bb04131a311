"""Recordings of several CPUs: every event, result, outcome and final state is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdxfuzz.targets.conform import conform

from .recordings import Json, divergence, load, save


@pytest.fixture
def interleaved() -> Json:
    return load("interleaved", "I0053")


@pytest.fixture
def contention() -> Json:
    """An ADD of a range that has a pair, against a CREATE in it: three outcomes."""
    return load("contention", "P61")


RUN = "run I0053 (pamt, early)"


def items(run: Json) -> int:
    return len(run["order"]) + sum(len(program["calls"]) for program in run["programs"])


def test_a_run_counts_events_and_results_and_is_driven_both_ways(
    tmp_path: Path, interleaved: Json
) -> None:
    result = conform(save(tmp_path, interleaved))
    assert (result.agree, result.items) == (2 * items(interleaved), 2 * items(interleaved))
    interleaved["placement"] = "early"
    result = conform(save(tmp_path, interleaved))
    assert (result.agree, result.items) == (items(interleaved), items(interleaved))


def test_a_wrong_event_ends_the_comparison_there(tmp_path: Path, interleaved: Json) -> None:
    order = interleaved["order"]
    order[5][4] = not order[5][4]
    result = conform(save(tmp_path, interleaved))
    assert (result.agree, result.items) == (5, items(interleaved))
    lines = divergence(result)
    assert lines[0] == f"{RUN}:"
    both = f"{len(order)} recorded, {len(order)} in the model"
    assert lines[1] == f"events differ at index 5 ({both}):"
    cpu, op, mode, resource, _ = order[5]
    marked = [line for line in lines if line.startswith("!")]
    assert len(marked) == 1
    assert f"CPU {cpu} {op} {mode} {resource}" in marked[0]


def test_an_event_of_the_wrong_cpu(tmp_path: Path, interleaved: Json) -> None:
    order = interleaved["order"]
    at = next(i for i in range(len(order)) if order[i][0] != order[i + 1][0])
    order[at][0] = order[at + 1][0]
    result = conform(save(tmp_path, interleaved))
    assert result.agree == at
    assert divergence(result)[1].startswith(f"events differ at index {at} (")


@pytest.mark.parametrize(
    ("cpu", "call", "name"), [(0, 1, "PHYMEM.PAMT.REMOVE"), (1, 1, "PHYMEM.PAMT.ADD")]
)
def test_a_wrong_status_names_cpu_and_call(
    tmp_path: Path, interleaved: Json, cpu: int, call: int, name: str
) -> None:
    made = interleaved["programs"][cpu]["calls"][call]
    was = made["status_name"]
    made["status"] = "0xc000030600000001"
    result = conform(save(tmp_path, interleaved))
    assert (result.agree, result.items) == (items(interleaved) - 1, items(interleaved))
    lines = divergence(result)
    assert lines[0].startswith(f"{RUN}, CPU {cpu} call {call}: TDH.{name}(")
    assert lines[1] == f"status: recorded PAMT_PAGE_NOT_EMPTY|page 1, model {was}"


def test_each_wrong_result_counts(tmp_path: Path, interleaved: Json) -> None:
    for program in interleaved["programs"]:
        for call in program["calls"]:
            call["out"]["r13"] = "0xd"
    result = conform(save(tmp_path, interleaved))
    assert result.agree == len(interleaved["order"])
    assert divergence(result)[1] == "r13: recorded 0xd, model 0x0"


def test_a_wrong_set_up_call_ends_the_run(tmp_path: Path, interleaved: Json) -> None:
    interleaved["setup"][1]["out"]["rcx"] = "0x7"
    result = conform(save(tmp_path, interleaved))
    assert (result.agree, result.items) == (0, 1)
    assert divergence(result)[0].startswith(f"{RUN}, set-up call 1: TDH.")


def test_a_wrong_final_state_counts_against_the_last_item(
    tmp_path: Path, interleaved: Json
) -> None:
    interleaved["final"]["bitmap"].append("0x1000")
    result = conform(save(tmp_path, interleaved))
    assert (result.agree, result.items) == (items(interleaved) - 1, items(interleaved))
    assert divergence(result) == [
        f"{RUN}, at the end:",
        "state, bitmap: only recorded ['0x1000']; only in the model []",
    ]


def test_a_module_that_should_have_died(tmp_path: Path, interleaved: Json) -> None:
    interleaved["fatal"] = {"cpu": 1, "call": 2, "id": 343}
    interleaved["final"] = None
    assert divergence(conform(save(tmp_path, interleaved))) == [
        f"{RUN}, at the end:",
        "fatal (CPU, id): recorded (1, 343), model None",
    ]


def test_a_call_that_never_returned_is_not_compared(tmp_path: Path, interleaved: Json) -> None:
    interleaved["programs"][1]["calls"][3]["status"] = None
    result = conform(save(tmp_path, interleaved))
    assert result.first_divergence is None
    assert result.items == 2 * (items(interleaved) - 1)


PAIR = "pair P61 (redundant ADD(A already paired) vs MNG.CREATE(page in A))"


def test_a_pair_shows_both_calls(tmp_path: Path, contention: Json) -> None:
    contention["outcomes"][0]["count"] += 1
    result = conform(save(tmp_path, contention))
    assert (result.agree, result.items) == (0, 1)
    assert list(result.by_group) == ["PHYMEM_PAMT_ADD / MNG_CREATE"]
    lines = divergence(result)
    assert lines[0] == PAIR
    assert lines[1].startswith("A: TDH.PHYMEM.PAMT.ADD(")
    assert lines[2].startswith("B: TDH.MNG.CREATE(")


def trouble(path: Path) -> list[str]:
    """What is wrong with a pair, without the lines that name it."""
    return divergence(conform(path))[3:]


def test_a_wrong_number_of_executions(tmp_path: Path, contention: Json) -> None:
    outcome = contention["outcomes"][1]
    right = outcome["count"]
    outcome["count"] = right + 7
    (line,) = trouble(save(tmp_path, contention))
    assert line.startswith("[A = OPERAND_BUSY|RCX rcx=")
    assert line.endswith(f"recorded {right + 7} times, model {right}")


def test_an_outcome_that_only_the_model_has(tmp_path: Path, contention: Json) -> None:
    gone = contention["outcomes"].pop()
    (line,) = trouble(save(tmp_path, contention))
    assert line.startswith("only the model gives [A = HPA_RANGE_NOT_FREE|RCX rcx=")
    assert line.endswith(f"state {gone['final_sha256_16']}], {gone['count']} times")


@pytest.mark.parametrize("part", ["status", "out", "final"])
def test_a_wrong_outcome_is_missing_under_one_name_and_new_under_another(
    tmp_path: Path, contention: Json, part: str
) -> None:
    outcome = contention["outcomes"][0]
    if part == "status":
        outcome["B"]["status"] = "0xc000082000000000"
    elif part == "out":
        outcome["B"]["out"]["r9"] = "0x9"
    else:
        outcome["final_sha256_16"] = "0" * 16
    shown = {"status": "B = HKID_NOT_FREE", "out": "r9=0x9", "final": "state 0000000000000000"}
    lines = trouble(save(tmp_path, contention))
    assert lines[0].startswith("only the model gives [A = HPA_RANGE_NOT_FREE|RCX")
    assert shown[part] in lines[1]
    assert lines[1].endswith(f"recorded {outcome['count']} times, model 0")


def test_host_priority_left_behind(tmp_path: Path, contention: Json) -> None:
    contention["outcomes"][1]["hp_sets"][0][0].append("KOT")
    (line,) = trouble(save(tmp_path, contention))
    assert "host priority recorded" in line
    assert "'KOT'" in line.split("model")[0]
    assert "'KOT'" not in line.split("model")[1]


def test_other_equal_serial_orders_are_told(tmp_path: Path, contention: Json) -> None:
    right = contention["outcomes"][0]["equivalent_serial"]
    contention["outcomes"][0]["equivalent_serial"] = []
    (line,) = trouble(save(tmp_path, contention))
    assert line.endswith(f"equal serial orders: recorded (), model {tuple(right)}")


def test_the_example_is_driven(tmp_path: Path, contention: Json) -> None:
    example = contention["outcomes"][2]["example"]
    example[0][4] = False
    lines = trouble(save(tmp_path, contention))
    assert lines[0].startswith(f"events differ at index 0 ({len(example)} recorded, ")


def test_an_example_of_another_outcome(tmp_path: Path, contention: Json) -> None:
    outcomes = contention["outcomes"]
    outcomes[0]["example"], outcomes[1]["example"] = outcomes[1]["example"], outcomes[0]["example"]
    lines = trouble(save(tmp_path, contention))
    assert len(lines) == 2
    assert lines[0].startswith("example of [A = HPA_RANGE_NOT_FREE|RCX")
    assert " gives [A = OPERAND_BUSY|RCX" in lines[0]


def test_a_wrong_number_of_orders(tmp_path: Path, contention: Json) -> None:
    right = contention["interleavings"]
    contention["interleavings"] = right + 1
    assert trouble(save(tmp_path, contention)) == [f"orders: recorded {right + 1}, model {right}"]
