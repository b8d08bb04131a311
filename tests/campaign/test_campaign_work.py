"""A worker's answer depends on its task alone."""

from __future__ import annotations

from collections import Counter

import pytest
from attrs import evolve

from campaigns import SMALL
from tdxfuzz.campaign.coverage import IS_STATE
from tdxfuzz.campaign.settings import Settings, Subject
from tdxfuzz.campaign.task import (
    HuntAnswer,
    HuntTask,
    ShrinkAnswer,
    ShrinkTask,
    answer_of,
    task_of,
    to_text,
)
from tdxfuzz.campaign.work import TaskRunner
from tdxfuzz.module.variants import DEFAULT, VARIANTS
from tdxfuzz.repro.read import parse, parse_case
from tdxfuzz.repro.replay import ReplayResult, replay
from tiers import first_quick, slow

EVERYTHING = Settings()
HINT = HuntTask(number=3, design="hint", engine="portfolio", seed=1, cases=1_000)


def answer_to(task: HuntTask, settings: Settings = EVERYTHING) -> HuntAnswer:
    answer = TaskRunner(settings).do(task)
    assert isinstance(answer, HuntAnswer)
    assert not answer.error
    return answer


@pytest.mark.parametrize(
    "task",
    first_quick(
        1,
        [
            evolve(HINT, design="merged", scenario="map-zap", cases=100),
            evolve(HINT, design="v6", cpus=3, engine="pct", cases=100),
            evolve(HINT, design="hostile", cases=200),
            HINT,
        ],
    ),
    ids=lambda task: f"{task.design} {task.scenario or task.engine}",
)
def test_the_same_task_has_the_same_answer_from_any_runner(task: HuntTask) -> None:
    used = TaskRunner(EVERYTHING)
    used.do(evolve(task, seed=99, cases=50))
    first = answer_to(task)
    again = used.do(task)
    assert isinstance(again, HuntAnswer)
    assert evolve(again, seconds=0) == evolve(first, seconds=0)
    assert first.cases == task.cases


def test_tasks_and_answers_survive_the_way() -> None:
    answer = answer_to(HINT)
    assert answer_of(to_text(answer)) == answer
    shrink = ShrinkTask("hint", answer.sightings[0].bucket, answer.sightings[0].text)
    for task in (HINT, shrink):
        assert task_of(to_text(task)) == task
    shrunk = ShrinkAnswer(text="x", reliable=10)
    assert answer_of(to_text(shrunk)) == shrunk


def test_a_hunt_goes_on_after_a_finding_and_counts_it() -> None:
    answer = answer_to(HINT)
    (race,) = answer.sightings
    assert race.bucket == "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
    assert race.times > 1
    assert race.cases < answer.cases == HINT.cases
    assert replay(parse(race.text)).result is ReplayResult.FAILED


def test_muted_checks_find_nothing() -> None:
    answer = answer_to(evolve(HINT, muted=("pamt-in-use",)))
    assert "pamt-in-use" not in {seen.bucket.partition("/")[0] for seen in answer.sightings}


@slow
def test_each_feature_is_told_once_and_shown_by_its_case() -> None:
    answer = answer_to(evolve(HINT, design="merged"))
    features = Counter(feature for entry in answer.interesting for feature in entry.features)
    assert set(features.values()) == {1}
    assert any(feature & IS_STATE for feature in features)
    assert any(not feature & IS_STATE for feature in features)
    for entry in answer.interesting[:5]:
        assert parse_case(entry.text).design == "merged"


@slow
def test_mutants_come_from_their_parents_alone() -> None:
    parents = tuple(
        entry.text for entry in answer_to(evolve(HINT, design="merged")).interesting[:4]
    )
    task = evolve(HINT, design="merged", parents=parents, cases=150)
    first, again = answer_to(task), answer_to(task)
    assert evolve(first, seconds=0) == evolve(again, seconds=0)
    assert first.cases == 150


@slow
def test_mutants_stay_on_the_module_that_was_asked_for() -> None:
    variant = next(name for name in VARIANTS if name != DEFAULT.name)
    task = evolve(HINT, design="merged", variant=variant, cases=150)
    first = answer_to(task)
    parents = tuple(entry.text for entry in first.interesting[:4])
    answer = answer_to(evolve(task, parents=parents))
    entries = [*first.interesting, *answer.interesting]
    assert answer.interesting
    assert {parse_case(entry.text).world.module_variant for entry in entries} == {variant}


def test_a_finding_is_shrunk_and_replayed_ten_times() -> None:
    (race,) = answer_to(HINT).sightings
    shrunk = TaskRunner(EVERYTHING).do(ShrinkTask("hint", race.bucket, race.text))
    assert isinstance(shrunk, ShrinkAnswer)
    assert (shrunk.operations, shrunk.preemptions, shrunk.reliable) == (2, 1, 10)
    assert replay(parse(shrunk.text)).result is ReplayResult.FAILED


@slow
def test_what_does_not_show_cannot_be_shrunk() -> None:
    (race,) = answer_to(HINT).sightings
    shrunk = TaskRunner(EVERYTHING).do(ShrinkTask("hint", "refcount/-/-/negative", race.text))
    assert isinstance(shrunk, ShrinkAnswer)
    assert shrunk.error == f"a replay showed {race.bucket}"


def test_a_design_that_is_not_there_is_told_in_the_answer() -> None:
    settings = evolve(SMALL, subjects=(Subject("Mine", "/nowhere/mine.py", "Mine", "0" * 64),))
    answer = TaskRunner(settings).do(evolve(HINT, design="Mine"))
    assert isinstance(answer, HuntAnswer)
    assert "no design file '/nowhere/mine.py'" in answer.error
