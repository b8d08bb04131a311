"""``python -m benchmarks.power``: how soon each engine finds each seeded bug.

For every broken design, engine and seed a hunt of its own, until the first finding or the
limit, then the shrinker. Cases are the same on every machine, seconds are not. ``uniform`` is
the plain baseline: at each step any CPU goes on, all as likely.

Results are kept line by line in a file: the same command again does what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing import Pool
from pathlib import Path
from random import Random
from statistics import median

from attrs import asdict, evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.hunt import HuntResult, hunt
from tdxfuzz.engines.plan import HYPOTHESIS, Budget, HuntPlan
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import Cpu, Simulator, Why
from tdxfuzz.testing.hypothesis_hunt import hunt_with_hypothesis

DESIGNS = (
    "hint",
    "hint-retry",
    "rfc",
    "v2",
    "v3-base",
    "v3",
    "v4",
    "v5",
    "v5-irqsave",
    "bias-minus-one",
    "early-inc",
    "per-range-lock",
    "per-range-rwlock",
)
UNIFORM = "uniform"
ALL_ENGINES = (*ENGINES, HYPOTHESIS, UNIFORM)
SEEDS = 20
LIMIT = 10.0


class UniformPolicy:
    """At each step any runnable CPU."""

    due = -1

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def preempt(self, sim: Simulator) -> Cpu | None:
        target = self.choose(sim, Why.YIELD)
        return target if target is not sim.current else None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        runnable = [cpu for cpu in sim.cpus if cpu.runnable]
        return self._rng.choice(runnable) if runnable else None

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing: a woken CPU is as likely as any other."""


class Uniform:
    """The baseline."""

    name = UNIFORM

    def attempt(self, rng: Random, base: BaseRun) -> Run:
        return base.rerun.run(policy=UniformPolicy(rng))


@frozen
class Job:
    """One hunt."""

    design: str
    engine: str
    seed: int
    limit: float


@frozen
class Result:
    """What a hunt found, if anything, and what became of it. Sizes are of the shrunk case, a
    fault counted as an operation, as the shrinker does.
    """

    design: str
    engine: str
    seed: int
    limit: float
    cases: int
    seconds: float
    bucket: str = ""
    operations: int = 0
    preemptions: int = 0
    shrink_seconds: float = 0.0
    shrunk: str = ""

    @property
    def job(self) -> Job:
        """The hunt it is of."""
        return Job(self.design, self.engine, self.seed, self.limit)


def do(job: Job) -> Result:
    """Hunt, and shrink."""
    result = _hunt(job)
    if result.found is None:
        statistics = result.statistics
        return Result(
            job.design, job.engine, job.seed, job.limit, statistics.cases, statistics.seconds
        )
    (found,) = result.findings.values()
    began = time.perf_counter()
    best = shrink(found.run).run
    assert best.finding is not None
    return Result(
        job.design,
        job.engine,
        job.seed,
        job.limit,
        found.cases,
        round(found.seconds, 3),
        best.finding.bucket,
        best.case.operations + len(best.case.faults),
        best.preemptions,
        round(time.perf_counter() - began, 3),
        _in_words(best.case),
    )


def _in_words(case: Case) -> str:
    """Set-up, programs and schedule in one line."""
    parts = [case.setup, *case.programs]
    switches = [f"{switch.step}:{switch.cpu}" for switch in case.schedule]
    return " | ".join([*("; ".join(map(str, part)) for part in parts), " ".join(switches)])


def _hunt(job: Job) -> HuntResult:
    plan = HuntPlan(job.design, Budget(seconds=job.limit), seed=job.seed)
    if job.engine == UNIFORM:
        return hunt(plan, new_engine=Uniform)
    plan = evolve(plan, engine=job.engine)
    return hunt_with_hypothesis(plan) if job.engine == HYPOTHESIS else hunt(plan)


def read_results(path: Path) -> list[Result]:
    """What earlier runs left."""
    if not path.exists():
        return []
    return [Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def power_table(results: Sequence[Result]) -> Iterator[str]:
    """Markdown: for each design and engine how many seeds found it; cases and seconds, the
    median and the worst of those.
    """
    engines = [engine for engine in ALL_ENGINES if any(r.engine == engine for r in results)]
    yield f"| design | {' | '.join(engines)} |"
    yield f"|---{'|---' * len(engines)}|"
    for design in DESIGNS:
        cells = [
            _cell([r for r in results if (r.design, r.engine) == (design, engine)])
            for engine in engines
        ]
        yield f"| {design} | {' | '.join(cells)} |"


def _cell(results: Sequence[Result]) -> str:
    if not results:
        return ""
    found = [result for result in results if result.bucket]
    share = "" if len(found) == len(results) else f"**{len(found)}/{len(results)}** "
    if not found:
        return f"**0/{len(results)}**"
    cases, seconds = [r.cases for r in found], [r.seconds for r in found]
    return (
        f"{share}{median(cases):,.0f} / {max(cases):,} cases, "
        f"{median(seconds):.1f} / {max(seconds):.1f} s"
    )


def minima_table(results: Sequence[Result]) -> Iterator[str]:
    """Markdown: for each bucket the smallest size, and how many of its cases came to it.

    Without those of the baseline: hundreds of preemptions seldom shrink to one.
    """
    sizes_are = "operations and faults, preemptions"
    yield f"| design | bucket | {sizes_are} | reached | one trace | worst seconds |"
    yield "|---|---|---|---|---|---|"
    found = [result for result in results if result.bucket and result.engine != UNIFORM]
    for design, bucket in sorted({(r.design, r.bucket) for r in found}):
        mine = [r for r in found if (r.design, r.bucket) == (design, bucket)]
        sizes = [(r.operations, r.preemptions) for r in mine]
        least = min(sizes)
        texts = [r.shrunk for r in mine]
        same = max(texts.count(text) for text in set(texts))
        yield (
            f"| {design} | `{bucket}` | {least[0]}, {least[1]} | {sizes.count(least)}/{len(sizes)} "
            f"| {same}/{len(sizes)} | {max(r.shrink_seconds for r in mine):.1f} |"
        )


def main() -> None:
    """Do what is missing, then print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power", description=__doc__)
    parser.add_argument("--designs", nargs="*", default=DESIGNS, choices=DESIGNS)
    parser.add_argument("--engines", nargs="*", default=ALL_ENGINES, choices=ALL_ENGINES)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of each hunt")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("power.jsonl"))
    arguments = parser.parse_args()
    jobs = [
        Job(design, engine, seed, arguments.limit)
        for design in arguments.designs
        for engine in arguments.engines
        for seed in range(1, arguments.seeds + 1)
    ]
    results = {result.job: result for result in read_results(arguments.keep)}
    missing = [job for job in jobs if job not in results]
    with arguments.keep.open("a", encoding="utf-8") as kept, Pool(arguments.workers) as pool:
        for number, result in enumerate(pool.imap_unordered(do, missing), 1):
            results[result.job] = result
            kept.write(json.dumps(asdict(result)) + "\n")
            kept.flush()
            print(f"{number} of {len(missing)}", file=sys.stderr)
    wanted = [results[job] for job in jobs]
    print("\n".join([*power_table(wanted), "", *minima_table(wanted)]))


if __name__ == "__main__":
    main()
