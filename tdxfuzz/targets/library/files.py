"""Trials as recordings, and back: what a divergence is written as, and what `record` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

from attrs import frozen

from tdxfuzz.case.untrusted import UntrustedError, json_value
from tdxfuzz.repro.write import write_whole
from tdxfuzz.targets import interleaved, sequential
from tdxfuzz.targets.guest import script_objects
from tdxfuzz.targets.json_values import mapping, sequence
from tdxfuzz.targets.library.compare import Divergence
from tdxfuzz.targets.library.judge import ONE_SIDE
from tdxfuzz.targets.library.trial import AT_END, Outcome, State, Stop, Trial
from tdxfuzz.targets.recording import (
    COMPARED,
    CallResult,
    LockEvent,
    RecordedCall,
    RecordingError,
    cpu_of,
    event_of,
    fatal_of,
    lines_of,
    order_of,
    read_params,
)
from tdxfuzz.targets.world import AtReset, World

SUFFIX = ".jsonl"


@frozen
class Reproducer:
    """A divergence, or a finding, in a file.

    ``recorded`` is what the library did when it was written, as far as the file has it.
    ``before`` are trials that the same process has to run before, because the library keeps
    something over a reset.
    """

    trial: Trial
    leaf: str
    field: str
    model: str
    library: str
    recorded: Outcome
    before: tuple[Trial, ...] = ()

    @property
    def of_one_side(self) -> bool:
        """Whether it is about the library alone, as what ``hunt`` and ``verify`` find."""
        return self.model == ONE_SIDE

    @property
    def needs_library(self) -> bool:
        """Whether only a library can show it again: the model has no part in it, or the library
        keeps something over a reset, or gives other answers each time.
        """
        return self.of_one_side or self.field in ("reset", "repeat")


def config_of(world: AtReset) -> dict[str, object]:
    """A world as ``config``."""
    platform = world.platform
    bits = platform.key_bits
    return {
        "lps": len(world.packages),
        "packages": list(world.packages),
        "maxpa": platform.max_pa,
        "hkid_bits": [bits.start + bits.width - 1, bits.start],
        "private_hkids": [platform.private_hkid_min, platform.private_hkid_max],
        "cache_sub_blocks": platform.cache_sub_blocks,
        "cmrs": [[hex(base), hex(size)] for base, size in platform.cmrs],
        "memory": [[hex(hpa), content.hex()] for hpa, content in world.memory],
    }


def call_object(call: RecordedCall, result: CallResult | None) -> dict[str, object]:
    """A call, with its result if it has one."""
    data: dict[str, object] = {
        "cpu": call.cpu,
        "leaf": call.leaf,
        "name": call.name,
        "version": call.version,
        "in": {name: hex(value) for name, value in call.inputs.items() if value},
    }
    if call.interrupted:
        data["intr"] = 1
    if call.tsc is not None:
        data["tsc"] = hex(call.tsc)
    if call.guest is not None:
        data["guest"] = script_objects(call.guest, () if result is None else result.told)
    if result is not None:
        data["status"] = f"{int(result.status):#018x}"
        data["status_name"] = str(result.status)
        data["out"] = {name: hex(result.outputs[name]) for name in COMPARED}
    return data


def event_list(events: Sequence[tuple[int, LockEvent]]) -> list[list[object]]:
    """Events as ``order`` has them."""
    return [[lp, *event] for lp, event in events]


def trial_object(trial: Trial, outcome: Outcome) -> dict[str, object]:
    """A trial with what a side did: a recording of kind A, or of kind D if it has programs.

    What did not come back has no status; ``final`` is null if there is no last state.
    """
    fatal = outcome.stop if outcome.stop is not None and outcome.stop.kind == "fatal" else None
    ending = None if fatal is None else {"cpu": fatal.lp, "id": int(fatal.text)}
    calls = _objects(trial.calls, outcome.results)
    for call, events in zip(calls, outcome.of_calls, strict=False):
        call["events"] = [list(event) for event in events]
    if not trial.programs:
        final = outcome.states.get(len(trial.calls))
        data: dict[str, object] = {"config": config_of(trial.world), "calls": calls, "final": final}
    else:
        data = {
            "config": config_of(trial.world),
            "setup": calls,
            "programs": [
                {
                    "cpu": lp,
                    "calls": [
                        call_object(call, outcome.ran.get((lp, i)))
                        for i, call in enumerate(program)
                    ],
                }
                for lp, program in sorted(trial.programs.items())
            ],
            "order": event_list(outcome.events),
            "placement": "early",
            "turns": list(trial.order),
            "final": outcome.states.get(AT_END),
        }
    return data if ending is None else {**data, "fatal": ending}


def _objects(
    calls: Sequence[RecordedCall], results: Sequence[CallResult]
) -> list[dict[str, object]]:
    padded: list[CallResult | None] = [*results, *[None] * (len(calls) - len(results))]
    return [call_object(call, result) for call, result in zip(calls, padded, strict=True)]


def write(
    path: Path, found: Divergence, trial: Trial, outcome: Outcome, before: Sequence[Trial] = ()
) -> None:
    """Write a divergence with what the library did.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    write_whole(to_json(path.stem, found, trial, outcome, before), path)


def to_json(
    name: str, found: Divergence, trial: Trial, outcome: Outcome, before: Sequence[Trial] = ()
) -> str:
    """The text of a file with a divergence."""
    none = Outcome((), {})
    data = {
        "id": name,
        "kind": "divergence",
        **trial_object(trial, outcome),
        "expect": {
            "leaf": found.leaf,
            "field": found.field,
            "model": found.model,
            "library": found.library,
            "key": list(found.key),
        },
    }
    if before:
        data["before"] = [trial_object(each, none) for each in before]
    return json.dumps(data) + "\n"


def key_in(path: Path) -> tuple[str, ...]:
    """What the divergence of a file is told apart by; nothing if it is no such file."""
    try:
        _, line = next(iter(lines_of(path)))
        expect = mapping(mapping(json_value(line))["expect"])
        return tuple(map(str, sequence(expect["key"])))
    except (RecordingError, UntrustedError, StopIteration, KeyError, TypeError, ValueError):
        return ()


def read(path: Path) -> Reproducer:
    """A file that :func:`write` has written.

    Raises:
        RecordingError: it is none.
    """
    # A third line cannot make it a divergence, and a file may have millions.
    lines = list(islice(lines_of(path), 2))
    if len(lines) != 1:
        raise RecordingError(path, 0, "must be one line, a divergence")
    try:
        data = mapping(json_value(lines[0][1]))
        params = read_params(path)
        expect = mapping(data["expect"])
        before = tuple(trial_of(mapping(each), params) for each in sequence(data.get("before", [])))
        leaf, name, model, library = (
            str(expect[each]) for each in ("leaf", "field", "model", "library")
        )
        trial = trial_of(data, params)
        recorded = _recorded(data, trial, name, library)
        return Reproducer(trial, leaf, name, model, library, recorded, before)
    except UntrustedError as error:
        raise RecordingError(path, 1, error.problem) from None
    except KeyError as error:
        raise RecordingError(path, 1, f"field {error.args[0]!r} is missing") from None
    except (TypeError, ValueError) as error:
        raise RecordingError(path, 1, f"not a divergence: {error}") from None


def _recorded(data: Mapping[str, object], trial: Trial, field: str, library: str) -> Outcome:
    """What the library did: how it ended is what was expected, if that was no answer."""
    objects = [mapping(item) for item in sequence(data["setup" if trial.programs else "calls"])]
    for call in (*trial.calls, *chain.from_iterable(trial.programs.values())):
        if call.status is not None and not call.outputs:
            raise ValueError(f"{call.name} has a status, but no registers ('out')")
    results = tuple(call.result for call in trial.calls if call.status is not None)
    states: dict[int, State] = {}
    if data["final"] is not None:
        states[AT_END if trial.programs else len(trial.calls)] = mapping(data["final"])
    fatal = fatal_of(data.get("fatal"))
    stop = None if fatal is None else Stop("fatal", str(fatal[1]), fatal[0])
    if field in ("crash", "hang"):
        stop = Stop(field, library.removeprefix(f"{field}: "), 0)
    return Outcome(
        results,
        states,
        order_of(data["order"]) if trial.programs else (),
        {
            (lp, i): call.result
            for lp, calls in trial.programs.items()
            for i, call in enumerate(calls)
            if call.status is not None
        },
        stop,
        of_calls=tuple(
            tuple(event_of(each) for each in sequence(item["events"]))
            for item in objects
            if "events" in item
        ),
    )


def trial_of(data: Mapping[str, object], params: Mapping[str, bytes]) -> Trial:
    """The trial in a recording of kind A or D that begins at reset."""
    if "programs" not in data:
        parsed = sequential.parse({"id": "", **data}, params)
        return Trial(_at_reset(parsed.world), parsed.calls)
    run = interleaved.parse({"id": "", "kind": "", **data}, params)
    turns = sequence(data["turns"]) if "turns" in data else [lp for lp, _ in run.order]
    return Trial(_at_reset(run.world), run.setup, run.programs, tuple(map(cpu_of, turns)))


def _at_reset(world: World) -> AtReset:
    if not isinstance(world, AtReset):
        raise ValueError("a library starts at reset; this one's module is up already")
    return world
