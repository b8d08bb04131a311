"""Scenarios as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from tdxfuzz.case.faults import fault_of
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import parse_scenario, read
from tdxfuzz.repro.scenario_text import scenario_text
from tdxfuzz.repro.write import scenario_to_toml
from tdxfuzz.verify.search import verify
from tdxfuzz.verify.worklist import Bounds

FILE = Path("mine.toml")
REPRODUCER = next(Path(__file__).parents[2].glob("corpus/regressions/*.tdx.toml"))

SMALLEST = """format = 1
[[cpu]]
operations = ["TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B0 r8=B1"]
[[cpu]]
"""


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_built_in_scenario_that_was_written_is_read_back(name: str) -> None:
    known = evolve(SCENARIOS[name], faults=(fault_of("refuse:MEM.PAGE.AUG@2"),), steps=7_000)
    again = parse_scenario(scenario_to_toml(known), FILE)
    assert evolve(again, name=name, file="") == known


def test_what_was_read_back_has_the_same_states_and_counts() -> None:
    known = SCENARIOS["zap-zap"]
    again = parse_scenario(scenario_to_toml(known), FILE)
    counts = [verify(one.case("merged"), bounds=Bounds(None)).counts for one in (known, again)]
    assert counts[0].states == counts[1].states == 200
    assert counts[0].transitions == counts[1].transitions
    assert counts[0].finals == counts[1].finals


def test_format_and_programs_are_enough() -> None:
    scenario = parse_scenario(SMALLEST, FILE)
    assert scenario.name == "mine.toml"
    assert scenario.is_raw
    assert [len(program) for program in scenario.programs] == [1, 0]


def test_a_reproducer_is_a_scenario_without_its_order_and_its_finding() -> None:
    case = read(REPRODUCER).case
    scenario = parse_scenario(REPRODUCER.read_text(), REPRODUCER)
    again = scenario.case("merged")
    assert (again.world, again.setup, again.programs) == (case.world, case.setup, case.programs)
    assert not again.schedule.switches
    assert not again.checks


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("[world]\ncpu = 2", "world.cpu: unknown field; did you mean cpus?"),
        ("[world]\ncpus = 3", "2 programs for 3 CPUs"),
        ("[world]\nslots = 1\n[[cpu]]\noperations = ['zap 0 1']", "cpu[2].operations[0]"),
        ("[setup]\noperations = ['map 0 0', 'mapp 0 0']", "setup.operations[1]"),
        ("[setup]\noperations = 'create 1'", "setup.operations: must be a list, not 'create 1'"),
        ("[scenario]\npreemptions = -1", "scenario.preemptions"),
        ("[scenario]\npreemptions = true", "scenario.preemptions"),
        ("[scenario]\nabout = 1", "scenario.about"),
        ("[schedule]\nfaults = ['refuse:MEM.PAGE.AG@1']", "schedule.faults[0]"),
        ("[origins]", "origins: unknown field"),
    ],
)
def test_an_error_names_file_and_field(line: str, where: str) -> None:
    text = SMALLEST + line + "\n"
    if "[[cpu]]" in line:
        text = text.replace("[world]\n", "[world]\ncpus = 3\n")
    with pytest.raises(ReproducerError) as raised:
        parse_scenario(text, FILE)
    assert str(raised.value).startswith("mine.toml")
    assert where in str(raised.value)


def test_the_text_says_which_page_each_slot_is() -> None:
    text = scenario_text(SCENARIOS["split-map"], "merged")
    assert "slot 0  0x0       A0   A16\n" in text
    assert "area 0  0x800000  F    G\n" in text
    assert "  TDR: B128, B134\n" in text


def test_the_text_of_a_set_up_that_fails_says_so() -> None:
    broken = parse_scenario(
        "[setup]\noperations = ['map 0 0']\n".join(["format = 1\n", ""]) + ("[[cpu]]\n[[cpu]]\n"),
        FILE,
    )
    assert "the set-up does not succeed under merged" in scenario_text(broken, "merged")
