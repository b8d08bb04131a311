"""``tdxfuzz campaign``."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tdxfuzz.campaign.coordinator import Coordinator, Limits
from tdxfuzz.campaign.corpus import minimise
from tdxfuzz.campaign.events import Event, Progressed
from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.report import HTML, NEEDS, KeepReports, available
from tdxfuzz.campaign.settings import Settings
from tdxfuzz.campaign.store import Store
from tdxfuzz.campaign.summary import Summary, summarise
from tdxfuzz.campaign.tls import Tls
from tdxfuzz.campaign.workers import LocalWorkers, Workers
from tdxfuzz.cli.campaign_console import CampaignConsole, clock
from tdxfuzz.cli.campaign_problems import campaign_problems
from tdxfuzz.cli.campaign_report import report_command
from tdxfuzz.cli.campaign_settings import faults_of, on_variant, scenarios_of, settings_of
from tdxfuzz.cli.campaign_tls import tls_options
from tdxfuzz.cli.ctrl_c import handle, is_new_wish, put_back
from tdxfuzz.cli.design_arg import ChosenKvm
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.options import c_options, check_option, format_option, kvm_option
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.variant_arg import module_variant_option
from tdxfuzz.repro.known import known_text
from tdxfuzz.repro.reproducer import SUFFIX
from tdxfuzz.repro.words import counted

DEFAULT_SECONDS = 3600.0
MEMORY_MIB = 4096

SCHEDULER_SECONDS = 15
"""How long a scheduler that does not answer is waited for, at the beginning and later."""

folder_argument = click.argument(
    "directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False)
)

workers_option = click.option(
    "--workers", type=click.IntRange(1, 1024), help="Number of processes [default: all cores]."
)
patience_option = click.option(
    "--patience",
    type=Duration(),
    default="5m",
    show_default=True,
    help="Kill a worker that does not answer within this time, and repeat its task.",
)
memory_option = click.option(
    "--memory",
    type=click.IntRange(min=256),
    default=MEMORY_MIB,
    show_default=True,
    help="MiB of address space that each worker may use.",
)


@click.group("campaign", epilog="Example: tdxfuzz campaign run nightly/ --time 30m")
def campaign_command() -> None:
    """Hunt for hours or days on all cores, and keep everything in a folder.

    Start with `campaign run DIR`. The same command continues a campaign that was stopped or
    killed.
    """


campaign_command.add_command(report_command)


@campaign_command.command("run", epilog="Example: tdxfuzz campaign run nightly/ v6 my.py:Mine")
@folder_argument
@click.argument("designs", nargs=-1, metavar="[DESIGN|FILE.py:Class|FILE.c|hostile]...")
@click.option(
    "--time",
    "seconds",
    type=Duration(),
    help="Stop after this time (30m, 8h), earlier runs in DIR included [default: 1h].",
)
@click.option("--cases", type=click.IntRange(min=1), help="Stop after this number of cases.")
@click.option("--plateau", type=Duration(), help="Stop after this time without a new feature.")
@workers_option
@click.option(
    "--scheduler",
    help="Use a Dask cluster (extra [cluster]): tls://HOST:PORT, or tcp://HOST:PORT on a closed "
    "network.",
)
@tls_options
@click.option(
    "--cpus",
    "cpu_counts",
    type=click.IntRange(2, 8),
    multiple=True,
    default=(2, 3),
    show_default=True,
    help="Number of simulated CPUs; repeat for several.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of the first hunt [default: random]."
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=1_000, show_default=True, help="Cases per task."
)
@click.option(
    "--scenario",
    "scenario_names",
    metavar="NAME|FILE.toml",
    multiple=True,
    help="Run only the programs of this one and their mutants (docs/scenarios.md); repeat for "
    "several.",
)
@click.option(
    "--faults",
    metavar="KIND[:LEAF][@N]",
    multiple=True,
    help="Inject these faults into each case, as `tdxfuzz hunt` does; repeat for several.",
)
@check_option
@module_variant_option
@kvm_option
@patience_option
@memory_option
@c_options
@format_option
def run_command(
    directory: Path,
    designs: tuple[str, ...],
    seconds: float | None,
    cases: int | None,
    plateau: float | None,
    workers: int | None,
    scheduler: str | None,
    tls: Tls | None,
    cpu_counts: tuple[int, ...],
    seed: int | None,
    batch: int,
    scenario_names: tuple[str, ...],
    faults: tuple[str, ...],
    checks: tuple[str, ...],
    variant: str,
    kvm: ChosenKvm | None,
    patience: float,
    memory: int,
    as_json: bool,
) -> int:
    """Start a campaign in DIR, or continue it.

    The designs are hunted in turn (default: all built-in ones and hostile), with random
    programs, scenarios and mutants of the corpus, in orders of every engine. A finding is
    written to DIR/findings at once, and then shrunk and replayed.

    Everything is kept in DIR, so the same command continues after any stop. The first Ctrl-C
    finishes the running tasks and writes the reports. The second one stops at once.

    Exit codes: 0 no finding; 1 findings; 2 wrong usage, broken input, or a design that raised
    an exception; 3 unknown: a check was vacuous.
    """
    if seconds is None and cases is None and plateau is None:
        seconds = DEFAULT_SECONDS
    output = Output(as_json)
    folder = Folder(directory)
    with campaign_problems(), folder.taken():
        store = Store(folder.store)
        asked = Settings(
            cpus=cpu_counts,
            batch=batch,
            scenarios=scenarios_of(scenario_names),
            faults=faults_of(faults),
            checks=checks,
        )
        settings = settings_of(store, designs, seed, on_variant(asked, variant), kvm)
        team = _team(settings, workers, scheduler, tls, patience, memory << 20)
        console = CampaignConsole(output, seconds)

        def log(event: Event) -> None:
            if not isinstance(event, Progressed):
                store.log(event, coordinator.seconds)

        limits = Limits(seconds, cases, plateau)
        reports = KeepReports(folder, store)
        coordinator = Coordinator(folder, store, settings, team, limits, (log, console, reports))
        try:
            with _stopping(coordinator):
                coordinator.run()
        finally:
            team.close()
        summary = summarise(store)
        store.close()
    _tell(summary, folder, output)
    if not available(HTML):
        output.line(f"{folder.root}/report.html was not written, because it needs {NEEDS}")
    return summary.exit_code


@campaign_command.command("status", epilog="Example: tdxfuzz campaign status nightly/")
@folder_argument
@format_option
def status_command(directory: Path, as_json: bool) -> int:
    """Show the verdicts and findings of a campaign, also while it runs.

    Exit codes: as for `campaign run`.
    """
    folder = Folder(directory)
    with campaign_problems():
        store = Store(folder.store, read_only=True)
        summary = summarise(store)
        store.close()
    _tell(summary, folder, Output(as_json))
    return summary.exit_code


@campaign_command.command("merge", epilog="Example: tdxfuzz campaign merge nightly/ other/corpus")
@folder_argument
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def merge_command(directory: Path, sources: tuple[Path, ...]) -> int:
    """Copy corpus files or reproducers into a campaign. Its next run uses them.

    SOURCES are files, folders of files, or folders of other campaigns.
    """
    folder = Folder(directory)
    with campaign_problems(), folder.taken():
        folder.corpus.mkdir(parents=True, exist_ok=True)
        number = 0
        for source in sources:
            inside = source / "corpus" if (source / "corpus").is_dir() else source
            paths = [inside] if inside.is_file() else sorted(inside.rglob(f"*{SUFFIX}"))
            for path in paths:
                target = folder.corpus / path.name
                if "set-aside" not in path.parts and not target.exists():
                    shutil.copyfile(path, target)
                    number += 1
    click.echo(f"{counted(number, 'file')} copied; `tdxfuzz campaign run {directory}` uses them")
    return 0


@campaign_command.command("minimise", epilog="Example: tdxfuzz campaign minimise nightly/")
@folder_argument
@workers_option
@patience_option
@memory_option
def minimise_command(directory: Path, workers: int | None, patience: float, memory: int) -> int:
    """Remove the corpus files whose features other files reach too.

    Each file is run once. A file that cannot be run is moved to corpus/set-aside and named.
    """
    folder = Folder(directory)
    with campaign_problems(), folder.taken():
        store = Store(folder.store)
        settings = store.settings()
        if settings is None:
            raise UsageProblem(
                f"{directory}: no campaign here; start one: tdxfuzz campaign run DIR"
            )
        team = _team(settings, workers, None, None, patience, memory << 20)
        try:
            result = minimise(folder, store, settings, team)
        finally:
            team.close()
        store.close()
    for entry in result.aside:
        click.echo(f"set aside {entry.path}: {entry.why}", err=True)
    click.echo(f"{counted(result.before, 'file')} before, {result.after:,} now")
    return 0


def _team(
    settings: Settings,
    count: int | None,
    scheduler: str | None,
    tls: Tls | None,
    patience: float,
    memory: int,
) -> Workers:
    if scheduler is None:
        if tls is not None:
            raise UsageProblem("--tls-* is for a cluster; name its --scheduler")
        return LocalWorkers(settings, count or os.cpu_count() or 1, patience, memory)
    try:
        from distributed import Client

        from tdxfuzz.campaign.cluster import ClusterWorkers, security_of
    except ImportError:
        raise UsageProblem(
            "--scheduler needs the extra [cluster]: pip install 'tdxfuzz[cluster]'"
        ) from None
    try:
        security = None if tls is None else security_of(tls)
        client = Client(scheduler, timeout=SCHEDULER_SECONDS, security=security)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise UsageProblem(f"--scheduler {scheduler}: {error}") from None
    return ClusterWorkers(client, settings, patience)


@contextmanager
def _stopping(coordinator: Coordinator) -> Iterator[None]:
    """The first Ctrl-C, or signal like it, ends the campaign after the running tasks, the second
    at once.
    """

    def note(number: int, frame: object) -> None:
        if not is_new_wish():
            return
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        coordinator.stop(f"{signal.Signals(number).name}: finishing the running tasks")

    asked: list[int] = []
    before = handle(note)
    try:
        yield
    finally:
        put_back(before)


def _tell(summary: Summary, folder: Folder, output: Output) -> None:
    output.line()
    output.line(
        f"{summary.cases:,} cases in {clock(summary.seconds)}, "
        f"{summary.cases_per_second:,.0f} per second; "
        f"{counted(summary.features, 'feature')}; {counted(summary.entries, 'corpus file')}"
    )
    output.line()
    output.table(
        ("design", "verdict", "cases", "buckets", "why"),
        [(row.name, row.verdict, row.cases, len(row.findings), row.why) for row in summary.designs],
    )
    output.line()
    for design in summary.designs:
        if design.error_file:
            output.line(f"{design.name} was cut off; this shows it:")
            output.line(f"  {folder.root / design.error_file}")
    for finding in summary.findings:
        output.line(f"{finding.design}: {finding.bucket}")
        output.line(f"  {folder.finding(finding.design, finding.bucket)}")
        known = known_text(finding.design, finding.bucket)
        if known:
            output.line(f"  {known}")
    output.json(summary.document(folder))
