"""``tdxfuzz list``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
from attrs import asdict

from tdxfuzz.abi import LEAVES, status
from tdxfuzz.abi.status_codes import CODES, SOFTWARE
from tdxfuzz.case.scenarios import SCENARIOS, Scenario
from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.scenario_arg import choose_scenario, names_scenario_file
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.plan import HYPOTHESIS
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.survey.lock_table import lock_table
from tdxfuzz.targets.library.event_table import event_table

Row = dict[str, object]

SCENARIOS_LIST = "scenarios"
STATUSES = "statuses"
LOCKS = "locks"
EVENTS = "events"


@click.command("list", epilog="Example: tdxfuzz list leaves --format json")
@click.argument(
    "what", metavar="designs|scenarios|checks|leaves|engines|variants|statuses|locks|events"
)
@click.argument("name", required=False)
@format_option
def list_command(what: str, name: str | None, as_json: bool) -> int:
    """List designs, scenarios, checks, leaves, engines, module variants, statuses, locks or events.

    With NAME, only that one; a scenario may be a file (docs/scenarios.md). `tdxfuzz list checks`
    also says where each rule comes from, and what must happen before a check can fail (its
    witness).

    `tdxfuzz list locks` says which leaf takes which lock of the module. NAME is a leaf or a
    resource there; `2M:EX` are the leaves that take a 2MB range exclusive. `tdxfuzz list events
    LEAF` says which events a leaf has when it succeeds, in their order, in the words of
    tdxfuzz_target.h: what a library's hook has to tell. NAME of a status is a name or a number,
    such as 0xc0000820 or decimal.
    """
    special = {LOCKS: _locks, EVENTS: _events}
    if what not in (*_LISTS, *special):
        raise unknown("list", what, (*_LISTS, *special))
    if what in special:
        return special[what](name, Output(as_json))
    key, one, rows_of = _LISTS[what]
    if what == SCENARIOS_LIST and name is not None and names_scenario_file(name):
        scenario = choose_scenario(name)
        rows, name = [_scenario(scenario)], scenario.name
    else:
        rows = list(rows_of())
    if what == STATUSES and name is not None:
        name = _status_name(name)
    if name is not None:
        names = [str(row[key]) for row in rows]
        if name not in names:
            raise unknown(one, name, names)
        rows = [row for row in rows if row[key] == name]
    output = Output(as_json)
    if rows:
        heads = list(rows[0])
        output.table(heads, [[_cell(row[head]) for head in heads] for row in rows], prose=True)
    output.json({what: rows})
    return 0


def _locks(name: str | None, output: Output) -> int:
    """The locks of a leaf, or the leaves that take a resource: ``2M``, or ``2M:EX``."""
    uses = lock_table()
    if name is not None:
        resource, _, mode = name.partition(":")
        leaf = name if name.startswith("TDH.") else f"TDH.{name}"
        found = [
            use
            for use in uses
            if use.leaf == leaf or (use.resource == resource and mode in ("", use.mode))
        ]
        if not found:
            kinds = {use.resource for use in uses}
            known = {*kinds, *(f"{use.resource}:{use.mode}" for use in uses)}
            raise unknown("leaf or resource", name, {use.leaf for use in uses} | known)
        uses = found
    rows: list[Row] = [
        {"leaf": use.leaf, "resource": use.resource, "mode": use.mode, "of": use.of} for use in uses
    ]
    output.table(list(rows[0]), [list(row.values()) for row in rows])
    output.json({LOCKS: rows})
    return 0


def _events(name: str | None, output: Output) -> int:
    """The events of a leaf, or of all leaves."""
    rows = [asdict(row) for row in event_table()]
    if name is not None:
        leaf = name if name.startswith("TDH.") else f"TDH.{name}"
        of_leaf = [row for row in rows if row["leaf"] == leaf]
        if not of_leaf and leaf not in {each.name for each in LEAVES}:
            raise unknown("leaf", name, {each.name for each in LEAVES})
        if not of_leaf:
            raise UsageProblem(
                f"no call of {leaf} that has events and succeeds was seen; `tdxfuzz list events` "
                "has all that were"
            )
        rows = of_leaf
    heads = list(rows[0])
    output.table(heads, [[_cell(row[head]) for head in heads] for row in rows])
    output.json({EVENTS: rows})
    return 0


def _status_name(name: str) -> str:
    """The name of a status that is named by its number, hexadecimal or decimal: all 64 bits, or the
    upper 32.
    """
    try:
        number = int(name, 16 if name[:2].lower() == "0x" else 10)
    except ValueError:
        return name
    if not 0 <= number < 1 << 64:
        return name
    word = status(number << 32 if number < 1 << 32 else number)
    return word.name if word.is_known else name


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text}" for name, text in value.items())
    return value


def _first_line(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split()).replace("``", "`")


def _designs() -> Iterator[Row]:
    for name, design in DESIGNS.items():
        yield {
            "name": name,
            "about": _first_line(design.__doc__),
            "message-id": design.message_id,
        }


def _checks() -> Iterator[Row]:
    for name, check in ALL_CHECKS.items():
        yield {
            "id": name,
            "about": _first_line(check.__doc__),
            "witness": check.witness,
            "source": check.source,
        }


def _leaves() -> Iterator[Row]:
    for leaf in LEAVES:
        yield {
            "number": leaf.number,
            "name": leaf.name,
            "modelled": leaf.number in HANDLERS,
            "inputs": dict(leaf.inputs),
        }


def _scenarios() -> Iterator[Row]:
    yield from map(_scenario, SCENARIOS.values())


def _scenario(scenario: Scenario) -> Row:
    return {
        "name": scenario.name,
        "about": scenario.about,
        "setup": "; ".join(map(str, scenario.setup)),
        "programs": " | ".join("; ".join(map(str, ops)) for ops in scenario.programs),
    }


def _engines() -> Iterator[Row]:
    for name, engine in ENGINES.items():
        yield {"name": name, "about": _first_line(engine.__doc__)}
    yield {"name": HYPOTHESIS, "about": "Hypothesis chooses programs and a few preemptions."}


def _variants() -> Iterator[Row]:
    for name, variant in VARIANTS.items():
        yield {"name": name, "about": variant.about}


def _statuses() -> Iterator[Row]:
    for word in (*(status(code << 32) for code in CODES.values()), *map(status, SOFTWARE)):
        yield {"name": word.name, "status": f"0x{word:016x}", "class": word.class_name}


_LISTS: dict[str, tuple[str, str, Callable[[], Iterator[Row]]]] = {
    "designs": ("name", "design", _designs),
    SCENARIOS_LIST: ("name", "scenario", _scenarios),
    "checks": ("id", "check", _checks),
    "leaves": ("name", "leaf", _leaves),
    "engines": ("name", "engine", _engines),
    "variants": ("name", "module variant", _variants),
    STATUSES: ("name", "status", _statuses),
}
"""For each list: the field with the name, the word for one entry, and the rows."""
