"""``tdxfuzz matrix --compare``: several designs on the same cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, takewhile
from pathlib import Path

from tdxfuzz.cli.ctrl_c import noted
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.out_folder import keep
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.workers import Stop, Tell, Workers
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.repro.save import prepare
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.survey.compare import (
    ComparedDesign,
    Comparison,
    checked,
    compare,
    compare_block,
)

SEED = 1
PAMT_LEAVES = ("TDH.PHYMEM.PAMT.ADD", "TDH.PHYMEM.PAMT.REMOVE")


def run_comparison(
    chosen: list[Chosen], plans: Sequence[HuntPlan], out: Path, output: Output, workers: int
) -> int:
    """Compare designs by their plans, and print what breaks and what it costs.

    Returns:
        The exit code: 1 if a program broke one of them, else 3 if the user has interrupted it.

    Raises:
        PlanError: fewer than two designs, or a design is named twice.
    """

    def progress(comparison: Comparison) -> None:
        output.progress(f"{comparison.cases:,} programs under each of {len(chosen)} designs")

    with noted() as stop:
        comparison = _compare(plans, workers, progress, stop)
    sides = comparison.sides
    output.line(
        f"{comparison.cases:,} programs, {comparison.seconds:.1f} s, seed {SEED}, "
        f"module {plans[0].variant}; each design ran all of them"
    )
    output.line()
    names = [side.name for side in sides]
    costs = {side.name: costs_of(side) for side in sides}
    rows = [(what, *(costs[name][what] for name in names)) for what in costs[names[0]]]
    output.table(("of all runs", *names), rows)
    output.line()
    output.table(("broken by a program", "programs"), list(_groups(comparison)))
    files = _save_first(chosen, sides, out, output)
    buckets = sorted({bucket for side in sides for bucket in side.broken})
    if buckets:
        output.line()
        table = [(bucket, *(side.broken[bucket] for side in sides)) for bucket in buckets]
        output.table(("bucket", *names), table)
        output.line()
        for name, path in files.items():
            output.line(f"reproducer of {name}: {path}")
    if stop():
        output.line("interrupted")
    output.json({**_document(comparison, costs, files), "interrupted": stop()})
    return 1 if buckets else 3 if stop() else 0


def _compare(
    plans: Sequence[HuntPlan], workers: int, progress: Callable[[Comparison], None], stop: Stop
) -> Comparison:
    """Blocks of programs, by so many processes, until the time of the plans is over."""
    if workers == 1:
        return compare(plans, progress, stop)
    seconds = checked(plans).budget.seconds or 0.0
    comparison = Comparison.new(plans)
    began = time.monotonic()

    def is_over() -> bool:
        return time.monotonic() - began >= seconds

    def serve(number: int, stop: Stop, tell: Tell) -> Comparison:
        return compare_block(plans, number, lambda: stop() or is_over())

    with Workers(workers, stop) as crew:
        numbers = takewhile(lambda number: not is_over(), count())
        for block in crew.in_order("compare", serve, numbers):
            comparison.merge(block)
            comparison.seconds = time.monotonic() - began
            progress(comparison)
    return comparison


def costs_of(side: ComparedDesign) -> dict[str, int]:
    """The counts of all runs of a design, set-ups included."""
    statistics = side.statistics
    table = statistics.table()
    costs = {"runs": statistics.cases, "steps": statistics.steps}
    for leaf in PAMT_LEAVES:
        answers = table.get(leaf, {})
        costs[leaf] = sum(answers.values())
        costs[f"{leaf}, refused"] = costs[leaf] - answers.get("SUCCESS", 0)
    costs["runs in which a CPU waited for a lock"] = statistics.waited
    costs["runs with OPERAND_BUSY"] = statistics.busy
    return costs


def _groups(comparison: Comparison) -> Iterator[tuple[str, int]]:
    order = [side.name for side in comparison.sides]
    groups = sorted(comparison.programs.items(), key=lambda item: (len(item[0]), sorted(item[0])))
    for broken, programs in groups:
        yield ", ".join(name for name in order if name in broken) or "none", programs


def _save_first(
    chosen: list[Chosen], sides: Sequence[ComparedDesign], out: Path, output: Output
) -> dict[str, str]:
    """For each broken design, a reproducer of its most frequent bucket."""
    files = {}
    for design, side in zip(chosen, sides, strict=True):
        if side.broken:
            found = side.first[side.broken.most_common(1)[0][0]]
            best = shrink(found, design.design).run
            saved = prepare(best, found, out, design.design, design.file)
            keep(saved.text, saved.path, output)
            files[side.name] = str(saved.path)
    return files


def _document(
    comparison: Comparison, costs: Mapping[str, Mapping[str, int]], files: Mapping[str, str]
) -> dict[str, object]:
    return {
        "programs": comparison.cases,
        "seconds": round(comparison.seconds, 3),
        "seed": SEED,
        "broken": dict(_groups(comparison)),
        "designs": [
            {
                "design": side.name,
                "costs": dict(costs[side.name]),
                "buckets": dict(sorted(side.broken.items())),
                "reproducer": files.get(side.name),
            }
            for side in comparison.sides
        ],
    }
