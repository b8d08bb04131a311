"""``tdxfuzz conform``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.exit_codes import FINDING, PASS, UNKNOWN
from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.output import Output
from tdxfuzz.repro.words import counted
from tdxfuzz.targets.conform import Conformance, conform
from tdxfuzz.targets.recording import IN_PACKAGE, find_datasets
from tdxfuzz.targets.versions import changes_between

IN_CLONE = Path("corpus/conformance")


@click.command("conform", epilog="Example: tdxfuzz conform corpus/conformance/locks.jsonl.gz")
@click.argument("datasets", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare one recording with this one, of the same calls, and not with the model.",
)
@format_option
def conform_command(datasets: tuple[Path, ...], against: Path | None, as_json: bool) -> int:
    """Compare the model of the module with recordings of the real module.

    Use it after a change of the model. DATASETS are recordings (*.jsonl.gz), or folders:
    all recordings in them and below. The default is corpus/conformance, or without it (outside
    of a clone) a small set that comes with tdxfuzz. The first divergence of each file is shown
    in full.

    There are four kinds of recordings. sequential: every status, register and final state.
    locks: every lock event of a call, in order. contention: two calls in all orders with few
    switches. interleaved: several CPUs in a recorded order. The module is up when a recording
    starts, or at reset. Guests of the vCPUs that it enters may act.

    --against FILE says what changed between two versions of a module (`tdxfuzz record`): each
    change of a status, a register or a lock, with the number of traces in which it occurs.

    Exit codes: 0 everything agrees; 1 a divergence, or a recorded crash or hang; 2 a file cannot be
    read; 3 nothing of a file was compared, or with --against fewer than half of the traces.
    """
    output = Output(as_json)
    if against is not None:
        if len(datasets) != 1:
            raise UsageProblem("--against compares one recording with another one")
        return _compare_versions(datasets[0], against, output)
    given = list(datasets) or [IN_CLONE if IN_CLONE.is_dir() else IN_PACKAGE]
    if given == [IN_PACKAGE]:
        output.line(f"{IN_CLONE} is not here: a small set that comes with tdxfuzz")
    results = []
    for path in find_datasets(given):
        name = _name(path, given)
        result = conform(path, partial(_progress, output, name))
        results.append(result)
        _report(name, result, output)
    output.json({"datasets": [_document(result) for result in results]})
    verdicts = {result.verdict for result in results}
    return FINDING if "fail" in verdicts else UNKNOWN if "unknown" in verdicts else PASS


def _compare_versions(path: Path, against: Path, output: Output) -> int:
    found = changes_between(against, path)
    rows = [(*change, number) for change, number in sorted(found.changes.items())]
    if rows:
        output.table(("leaf", "what", against.name, path.name, "traces"), rows)
        output.line()
    if found.without_state:
        output.line(
            f"not compared: parts of the final state of {counted(found.without_state, 'trace')}, "
            "which only one file has"
        )
    total = f"{counted(found.traces, 'trace')}, {counted(len(rows), 'change')}"
    alone = f"; {found.only_in_one} are in one file only" if found.only_in_one else ""
    output.line(f"{path.name} against {against.name}: {total}{alone}", "red" if rows else "")
    is_little = found.traces < found.only_in_one
    if is_little and not rows:
        output.line("unknown: fewer than half of the traces are in both files", "yellow")
    verdict = "fail" if rows else "unknown" if is_little else "pass"
    fields = ("leaf", "what", "before", "now", "traces")
    output.json(
        {
            "verdict": verdict,
            "traces": found.traces,
            "only_in_one": found.only_in_one,
            "without_state": found.without_state,
            "changes": [dict(zip(fields, row, strict=True)) for row in rows],
        }
    )
    return {"fail": FINDING, "unknown": UNKNOWN, "pass": PASS}[verdict]


def _name(path: Path, given: list[Path]) -> str:
    """A file as seen from the folder it was found in, such as ``second/locks.jsonl.gz``."""
    for folder in given:
        if folder in path.parents:
            return str(path.relative_to(folder))
    return path.name


def _progress(output: Output, name: str, traces: int) -> None:
    output.progress(f"{name}: {traces} traces")


def _report(name: str, result: Conformance, output: Output) -> None:
    style = {"pass": "", "fail": "red", "unknown": "yellow"}[result.verdict]
    output.line(
        f"{name}: {result.kind}, {result.traces} traces: "
        f"{result.agree:,} of {result.items:,} agree",
        style=style,
    )
    if result.kind == "sequential":
        groups = (f"{group} {ok:,}/{n:,}" for group, (n, ok) in result.by_group.items())
        output.line(f"  {', '.join(groups)}")
    if result.cut:
        names = ", ".join(sorted(result.not_modelled))
        output.line(f"  {result.cut} traces end early, because a leaf is not modelled yet: {names}")
    for what, traces in result.not_recorded.items():
        output.line(f"  not compared: {what} of {counted(traces, 'trace')}, which was not recorded")
    for end in result.died:
        output.line(f"  the file records that the library died: {end}")
    if result.verdict == "unknown":
        output.line("  unknown: nothing was compared")
    if result.first_divergence is not None:
        output.line("  first divergence:")
        for line in result.first_divergence.splitlines():
            output.line(f"    {line}")


def _document(result: Conformance) -> dict[str, object]:
    return {
        "path": str(result.path),
        "kind": result.kind,
        "traces": result.traces,
        "items": result.items,
        "agree": result.agree,
        "cut": result.cut,
        "not_modelled": sorted(result.not_modelled),
        "not_recorded": dict(result.not_recorded),
        "died": list(result.died),
        "verdict": result.verdict,
        "first_divergence": result.first_divergence,
    }
