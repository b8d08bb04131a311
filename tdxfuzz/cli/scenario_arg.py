"""``NAME`` or ``FILE.toml`` of a scenario on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tdxfuzz.case.scenarios import SCENARIOS, Scenario
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.fields import line_of
from tdxfuzz.repro.read import read_scenario, read_text
from tdxfuzz.run.session import SetupError

SCENARIO_SUFFIX = ".toml"
"""What tells a file from the name of a scenario that is built in."""


def names_scenario_file(argument: str) -> bool:
    """Whether what was named as a scenario is a file."""
    return argument.endswith(SCENARIO_SUFFIX)


def choose_scenario(argument: str) -> Scenario:
    """The scenario that an argument names.

    Raises:
        UsageProblem: there is none of this name.
        ReproducerError: the file cannot be used.
    """
    if names_scenario_file(argument):
        return read_scenario(Path(argument))
    if argument not in SCENARIOS:
        raise unknown("scenario", argument, SCENARIOS)
    return SCENARIOS[argument]


def choose_scenarios(arguments: Sequence[str]) -> list[Scenario]:
    """The scenarios that arguments name; none: all that are built in.

    Raises:
        UsageProblem: there is none of a name, or two have the same name.
        ReproducerError: a file cannot be used.
    """
    scenarios = [choose_scenario(argument) for argument in dict.fromkeys(arguments)]
    names = [scenario.name for scenario in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise UsageProblem(
                f"--scenario: two files are called {name}; rename one, because tables show names"
            )
    return scenarios or list(SCENARIOS.values())


@contextmanager
def set_up_problems(scenarios: Iterable[Scenario]) -> Iterator[None]:
    """Around all that runs scenarios: a set-up that fails is named with the file that it is in.

    Raises:
        ReproducerError: the set-up of a scenario file failed.
        SetupError: another one did.
    """
    try:
        yield
    except SetupError as error:
        for scenario in scenarios:
            if scenario.file and scenario.setup == error.setup:
                field = f"setup.operations[{error.index}]"
                path = Path(scenario.file)
                line = line_of(read_text(path), field)
                raise ReproducerError(path, line, field, error.problem) from None
        raise
