"""``python -m benchmarks``: each figure several times, medians, and ratios in one run.

Machines differ and are noisy, so only ratios within one run mean much: each round
measures the reference and the figures next to each other.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import median

from benchmarks.figures import BUDGETS, FIGURES, REFERENCE

ROUNDS = 5


def main() -> None:
    """Measure and print; with ``--json`` for scripts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rounds: list[dict[str, float]] = []
    for number in range(arguments.rounds):
        one: dict[str, float] = {}
        for measure in FIGURES:
            one |= measure()
        rounds.append(one)
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
    names = list(rounds[0])
    rates = {name: median(one[name] for one in rounds) for name in names}
    ratios = {name: median(one[name] / one[REFERENCE] for one in rounds) for name in names}
    if arguments.json:
        print(json.dumps({"rates": rates, "ratios": ratios}, indent=2))
        return
    print("| figure | ours | floor | ratio | budget |\n|---|---:|---:|---:|---|")
    for name in names:
        floor, least = BUDGETS.get(name, (REFERENCE, 0.0))
        ratio = median(one[name] / one[floor] for one in rounds) if floor else 0.0
        against = f"{floor}: {rates[floor]:,.0f}/s | {ratio:.3g}" if floor else "- | -"
        print(f"| {name} | {rates[name]:,.0f}/s | {against} | {_budget(floor, least)} |")


def _budget(floor: str, least: float) -> str:
    if not least:
        return "-"
    return f"{least:g} of it" if floor else f"{least:,.0f}/s"


if __name__ == "__main__":
    main()
