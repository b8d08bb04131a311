"""``tdxfuzz contention``."""

from __future__ import annotations

from pathlib import Path

import click
from attrs import asdict

from tdxfuzz.abi.address import SIZE_2M
from tdxfuzz.cli.design_arg import Chosen, choose
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.memory import ByteSize
from tdxfuzz.cli.options import c_options, format_option
from tdxfuzz.cli.out_folder import keep, probe
from tdxfuzz.cli.output import Output
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.survey.contention.bench import C_CPUS
from tdxfuzz.survey.contention.chart import chart
from tdxfuzz.survey.contention.costs import read_costs
from tdxfuzz.survey.contention.measure import Point, measure
from tdxfuzz.survey.contention.workload import WORKLOADS, Load

MOST_CPUS = 512
DEFAULT_CPUS = "1,2,4,8,16,32,64,128,256,512"
RANGES = 1600
"""2MB ranges of a part, at the most."""


class CpuList(click.ParamType[tuple[int, ...]]):
    """Numbers of CPUs with commas between them."""

    name = "numbers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            cpus = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers; write 1,8,64", param, ctx)
        if any(not 1 <= number <= MOST_CPUS for number in cpus):
            self.fail(f"{value!r}: CPUs must be 1..{MOST_CPUS}", param, ctx)
        return cpus


@click.command("contention", epilog="Example: tdxfuzz contention v6 merged --cpus 1,8,40,128")
@click.argument("designs", nargs=-1, required=True)
@click.option("--cpus", type=CpuList(), default=DEFAULT_CPUS, show_default=True, help="CPUs.")
@click.option(
    "--workload",
    type=click.Choice(WORKLOADS),
    default="boot",
    show_default=True,
    help="What the CPUs do, see above.",
)
@click.option("--tds", type=click.IntRange(1, 1000), default=10, show_default=True, help="TDs.")
@click.option(
    "--td-memory", type=ByteSize(), default="16GiB", show_default=True, help="Memory of each TD."
)
@click.option(
    "--huge",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the memory that is mapped at 2MB.",
)
@click.option(
    "--costs",
    "costs_file",
    type=click.Path(path_type=Path),
    help="A file that replaces some of the costs (survey/contention/costs.toml has all).",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of chance.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write a chart there.")
@c_options
@format_option
def contention_command(
    designs: tuple[str, ...],
    cpus: tuple[int, ...],
    workload: str,
    tds: int,
    td_memory: int,
    huge: float,
    costs_file: Path | None,
    seed: int,
    svg: Path | None,
    as_json: bool,
) -> int:
    """Estimate how long CPUs wait for the locks of a design.

    The design's own code runs in virtual time: each CPU has a clock, each step and SEAMCALL a
    cost. Kernel locks queue, a contended cache line serves one CPU after the other, a refused call
    costs its time. boot: each CPU is a vCPU that touches the memory of its TD. launch: all begin
    at once, and each touches the first page of one new 2MB range after another. shutdown: each CPU
    takes down one TD. storm: each CPU converts a page that is alone in its 2MB range, to shared and
    back, for a minute. A part of the workload is simulated and scaled to all of it.

    docs/contention.md says how far off the published figures that is.
    """
    costs = read_costs(costs_file)
    output = Output(as_json)
    whole = tds * td_memory // SIZE_2M
    if whole < 1:
        raise UsageProblem("--td-memory: the TDs together need at least 2MiB")
    # All of it is looked at before the first measurement, which may take minutes.
    measured = [_measurable(argument, workload) for argument in designs]
    if svg is not None:
        probe(svg.parent)
    points: list[Point] = []
    output.line(f"{workload} of {tds} TDs with {td_memory / (1 << 30):g} GiB, huge {huge:g}")
    output.line("design             cpus  contentions      waiting  of CPU time    faults/s  seen")
    for chosen, layer_class in measured:
        for number in cpus:
            if layer_class.c_file is not None and number > C_CPUS:
                output.line(f"{chosen.name}: not on {number} CPUs, C runs on {C_CPUS} at most")
                continue
            load = Load(workload, number, tds, huge, _ranges(workload, number))
            point = measure(chosen.name, layer_class, load, whole, costs, seed)
            points.append(point)
            output.line(_row(point, chosen))
    document: dict[str, object] = {"points": [asdict(point) for point in points]}
    document["fitted"] = [name for name, cost in costs.items() if cost.known == "fitted"]
    output.json(document)
    if svg is not None:
        keep(chart(points), svg, output)
    return 0


def _measurable(argument: str, workload: str) -> tuple[Chosen, type[RefcountLayer]]:
    """A design and its class.

    Raises:
        UsageProblem: there is no such design, or it cannot do this workload.
    """
    chosen = choose(argument)
    layer_class = chosen.design or DESIGNS[chosen.name]
    if layer_class.c_file is not None and workload != "storm":
        raise UsageProblem(
            f"{chosen.name}: a layer in C has too little memory for a {workload}; use "
            "--workload storm"
        )
    return chosen, layer_class


def _ranges(workload: str, cpus: int) -> int:
    """How many 2MB ranges a part has."""
    return RANGES if workload != "storm" else max(RANGES, 20 * cpus)


def _row(point: Point, chosen: Chosen) -> str:
    late = f"  {point.gave_up} failed" if point.gave_up else ""
    return (
        f"{chosen.name:18} {point.cpus:>4} {point.contentions:>12,.0f} "
        f"{point.wait_ns / 1e6:>9,.1f} ms {point.waiting + point.lines:>11.2%} "
        f"{point.faults_per_second:>12,.0f} {point.seen:>5}{late}"
    )
