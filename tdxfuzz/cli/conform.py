"""``tdxfuzz conform``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.output import Output
from tdxfuzz.targets.conform import Conformance, conform
from tdxfuzz.targets.recording import find_datasets

DEFAULT = Path("corpus/conformance")


@click.command("conform", epilog="Example: tdxfuzz conform corpus/conformance/locks.jsonl.gz")
@click.argument("datasets", nargs=-1, type=click.Path(path_type=Path))
@format_option
def conform_command(datasets: tuple[Path, ...], as_json: bool) -> int:
    """Compare the model of the module with recordings of the real module.

    Use it after a change of the model. DATASETS are recordings (*.jsonl.gz), or folders:
    all recordings in them and below. The default is corpus/conformance. The first divergence
    of each file is shown in full.

    There are four kinds of recordings. sequential: every status, register and final state.
    locks: every lock event of a call, in order. contention: two calls in all orders with few
    switches. interleaved: several CPUs in a recorded order. The module is up when a recording
    starts, or at reset. Guests of the vCPUs that it enters may act.

    Exit codes: 0 everything agrees; 1 a divergence; 2 a file cannot be read.
    """
    output = Output(as_json)
    given = list(datasets) or [DEFAULT]
    results = []
    for path in find_datasets(given):
        name = _name(path, given)
        result = conform(path, partial(_progress, output, name))
        results.append(result)
        _report(name, result, output)
    output.json({"datasets": [_document(result) for result in results]})
    return 0 if all(result.agree == result.items for result in results) else 1


def _name(path: Path, given: list[Path]) -> str:
    """A file as seen from the folder it was found in, such as ``second/locks.jsonl.gz``."""
    for folder in given:
        if folder in path.parents:
            return str(path.relative_to(folder))
    return path.name


def _progress(output: Output, name: str, traces: int) -> None:
    output.progress(f"{name}: {traces} traces")


def _report(name: str, result: Conformance, output: Output) -> None:
    style = "" if result.agree == result.items else "red"
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
        "first_divergence": result.first_divergence,
    }
