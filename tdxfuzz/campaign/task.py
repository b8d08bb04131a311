"""What a worker is asked to do, and what it answers: values, as JSON on the way.

A task says everything its answer depends on, so that one that got lost can be given out again.
"""

from __future__ import annotations

import json
from pathlib import Path

from attrs import field, frozen
from cattrs.preconf.json import make_converter

from tdxfuzz.case.scenarios import SCENARIOS, Scenario
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.generate.huge_programs import EVERY
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.repro.read import parse_scenario
from tdxfuzz.run.session import Design, checks_of

_CONVERTER = make_converter()

REPLAYS = 10
"""How often a shrunk case is replayed, to confirm it."""

ATTEMPTS = 3
"""How often a task is given out before what it runs is blamed for the workers it costs."""


@frozen
class HuntTask:
    """So many cases of one design: a :class:`tdxfuzz.engines.plan.HuntPlan` as JSON, and more.

    ``number`` tells tasks apart and is counted once; ``scenario`` is a name, "" for none, and
    ``scenario_text`` what its file says, if it is not built in; ``faults`` are as people write
    them; ``checks`` are the only ones that listen, if any is named; with
    ``huge`` every program has 2MB pages; ``muted`` are checks that have found their bug and would
    hide others; ``parents`` are cases, as text, to be mutated in place of all that.
    """

    number: int
    design: str
    engine: str
    seed: int
    cases: int
    cpus: int = 2
    scenario: str = ""
    scenario_text: str = ""
    faults: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    variant: str = DEFAULT.name
    huge: bool = False
    muted: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    def plan(self, design: Design) -> HuntPlan:
        """The plan of the hunt; ``design`` is the class behind the name, if not built in.

        Raises:
            PlanError: the fields contradict each other.
        """
        asked = self.checks or checks_of(self.design, design)
        listening = tuple(check for check in asked if check not in self.muted)
        return HuntPlan(
            self.design,
            Budget(cases=self.cases),
            design=design,
            engine=self.engine,
            seed=self.seed,
            cpus=self.cpus,
            scenario=self._scenario(),
            faults=self.faults,
            huge=EVERY if self.huge else None,
            variant=self.variant,
            checks=listening if self.muted else self.checks,
        )

    def _scenario(self) -> Scenario | None:
        if self.scenario_text:
            return parse_scenario(self.scenario_text, Path(self.scenario))
        return SCENARIOS[self.scenario] if self.scenario else None


@frozen
class ShrinkTask:
    """A finding, as the text of its reproducer, to be shrunk and replayed."""

    design: str
    bucket: str
    text: str


@frozen
class MeasureTask:
    """A case, as text, whose features are asked for; ``name`` is the file it came from."""

    design: str
    name: str
    text: str


Task = HuntTask | ShrinkTask | MeasureTask


@frozen
class Sighting:
    """The first case of a bucket in a hunt; ``times`` is how often the bucket was met there."""

    bucket: str
    message: str
    text: str
    operations: int
    preemptions: int
    cases: int
    times: int


@frozen
class CorpusEntry:
    """A case, as text, and the features that no case before it in the hunt had."""

    text: str
    features: tuple[int, ...]


@frozen
class HuntAnswer:
    """What came of a hunt. ``calls`` has (leaf, status code, how often); ``seen`` and
    ``witnesses`` count cases; ``error`` says why it ended early, if the design is to
    blame; ``error_text`` is the reproducer of that, which shows ``error_bucket``, if there was a
    run.
    """

    number: int
    cases: int = 0
    steps: int = 0
    seconds: float = 0.0
    discarded: int = 0
    schedules: int = 0
    calls: tuple[tuple[int, int, int], ...] = ()
    seen: dict[str, int] = field(factory=dict)
    witnesses: dict[str, int] = field(factory=dict)
    interesting: tuple[CorpusEntry, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    error: str = ""
    error_bucket: str = ""
    error_text: str = ""


@frozen
class ShrinkAnswer:
    """What came of shrinking: the smaller reproducer, and of how many replays it failed."""

    text: str = ""
    message: str = ""
    operations: int = 0
    preemptions: int = 0
    reliable: int = 0
    error: str = ""


@frozen
class MeasureAnswer:
    """The features of a case."""

    features: tuple[int, ...] = ()
    error: str = ""


Answer = HuntAnswer | ShrinkAnswer | MeasureAnswer


_KINDS = {
    kind.__name__: kind
    for kind in (HuntTask, ShrinkTask, MeasureTask, HuntAnswer, ShrinkAnswer, MeasureAnswer)
}


def to_text(message: Task | Answer) -> str:
    """A task or an answer as JSON."""
    return json.dumps([type(message).__name__, _CONVERTER.unstructure(message)])


def task_of(text: str) -> Task:
    """The task that :func:`to_text` wrote."""
    task = _message(text)
    assert isinstance(task, Task)
    return task


def answer_of(text: str) -> Answer:
    """The answer that :func:`to_text` wrote."""
    answer = _message(text)
    assert isinstance(answer, Answer)
    return answer


def _message(text: str) -> object:
    kind, fields = json.loads(text)
    return _CONVERTER.structure(fields, _KINDS[kind])
