"""``tdxfuzz decode``."""

from __future__ import annotations

from pathlib import Path

import click

from tdxfuzz.case.untrusted import UntrustedError, read_bytes
from tdxfuzz.cli.design_arg import ChosenKvm, choose
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.options import c_options, format_option, kvm_option
from tdxfuzz.cli.out_folder import probe
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import finding_document, write_finding
from tdxfuzz.generate.codec import decode
from tdxfuzz.run.session import SetupError, run


@click.command("decode", epilog="Example: tdxfuzz decode crash-1f0c… --design hint")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--design",
    "design_argument",
    required=True,
    metavar="DESIGN|FILE.py:Class|FILE.c|hostile",
    help="The design that the fuzz target ran; hostile for the target of that name.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reproducers"),
    show_default=True,
    help="Folder for the reproducer file.",
)
@kvm_option
@c_options
@format_option
def decode_command(
    path: Path, design_argument: str, kvm: ChosenKvm | None, out: Path, as_json: bool
) -> int:
    """Turn a crash file of an atheris fuzz target into a shrunk reproducer.

    Use it for crashes of the targets host_ops and hostile (docs/fuzzing.md).

    Exit codes: 0 the case has no finding under this design; 1 a reproducer was written; 2 the
    file is not a crash file of this target.
    """
    try:
        data = read_bytes(path, "a crash file of a fuzz target")
    except UntrustedError as error:
        raise UsageProblem(f"{path}: {error}") from None
    design = choose(design_argument, hostile=True, kvm=kvm)
    probe(out)
    output = Output(as_json)
    try:
        found = run(decode(data, design.name), design.design)
    except SetupError as error:
        raise UsageProblem(f"{path}: {error}") from None
    if found.finding is None:
        output.line(f"{path}: no finding under {design.name}")
        output.json({"findings": []})
        return 0
    saved = write_finding(found, design, out, output)
    output.json({"findings": [finding_document(saved)]})
    return 1
