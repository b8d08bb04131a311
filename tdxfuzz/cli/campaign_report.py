"""``tdxfuzz campaign report``."""

from __future__ import annotations

from pathlib import Path

import click

from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.report import HTML, NEEDS, REPORTS, available, write_index, write_of
from tdxfuzz.campaign.report.data import gather
from tdxfuzz.campaign.store import Store
from tdxfuzz.cli.campaign_problems import campaign_problems
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.output import Output


@click.command(
    "report", epilog="Example: tdxfuzz campaign report nightly/ weekly/ --index all.html"
)
@click.argument(
    "directories",
    metavar="DIR...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option(
    "--as",
    "names",
    type=click.Choice(list(REPORTS)),
    multiple=True,
    help="Only this report; repeat for several [default: all].",
)
@click.option(
    "--index",
    "index_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page there that lists the campaigns and links to the page of each.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the reports of one campaign [default: DIR].",
)
@format_option
def report_command(
    directories: tuple[Path, ...],
    names: tuple[str, ...],
    index_file: Path | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Write the reports of campaigns into their folders, or another one, also while they run.

    html: one page with verdicts, findings and pictures, to open from disk. junit and sarif:
    files for the pages of a CI system. markdown: a summary for the page of a CI job.

    Exit codes: 0 written; 2 not written.
    """
    for name in names or REPORTS:
        if not available(name):
            raise UsageProblem(f"--as {name} needs {NEEDS}")
    if index_file is not None and names and HTML not in names:
        raise UsageProblem("--index links to the pages of the campaigns, so it needs --as html")
    if out is not None and (index_file is not None or len(directories) > 1):
        raise UsageProblem("--out is for the reports of one campaign, without --index")
    output = Output(as_json)
    paths: list[Path] = []
    pages = []
    with campaign_problems():
        for folder in map(Folder, dict.fromkeys(directories)):
            store = Store(folder.store, read_only=True)
            data = gather(folder, store)
            store.close()
            paths += write_of(data, folder, names or REPORTS, out)
            pages.append((folder, data))
    if index_file is not None:
        write_index(pages, index_file)
        paths.append(index_file)
    for path in paths:
        output.line(str(path))
    output.json({"reports": [str(path) for path in paths]})
    return 0
