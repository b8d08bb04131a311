"""The command ``tdxfuzz``: its parts, its errors, its exit codes."""

from __future__ import annotations

import sys
import traceback
from difflib import get_close_matches
from importlib import import_module

import click

from tdxfuzz import __version__
from tdxfuzz.cli.ctrl_c import take_for_ctrl_c
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.exit_codes import BROKEN, PASS, UNKNOWN
from tdxfuzz.cli.output import begin_output, output_is_broken, print_error
from tdxfuzz.cli.streams import make_usable
from tdxfuzz.cli.supervisor import fix_hash_seed, own_stdout, supervise
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.sim import HarnessError
from tdxfuzz.sim.process_exit import keep_process
from tdxfuzz.targets.recording import RecordingError

CLOSED_PIPE = 128 + 13
"""What a shell shows for a process ended by SIGPIPE: the reader of our output has gone."""


CAMPAIGN = "campaign"

COMMANDS = {
    CAMPAIGN: "campaign",
    "conform": "conform",
    "contention": "contention",
    "decode": "decode",
    "diff": "diff",
    "doctor": "doctor",
    "hunt": "hunt",
    "init": "init",
    "list": "listing",
    "matrix": "matrix",
    "memory": "memory",
    "record": "record",
    "replay": "replay",
    "show": "show",
    "shrink": "shrink",
    "verify": "verify",
}
"""The module of each command in ``tdxfuzz/cli``."""


SUPERVISED = frozenset(COMMANDS) - {
    CAMPAIGN,
    "conform",
    "decode",
    "diff",
    "doctor",
    "list",
    "record",
}
"""Commands that run designs in their own process. A campaign's workers have their own limit."""


class _Commands(click.Group):
    """Imports a command only when it is used, because most commands need few modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"tdxfuzz.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near and not args[0].startswith("-"):
            raise click.UsageError(f"No such command {args[0]!r}; did you mean {near[0]}?", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tdxfuzz")
def cli() -> None:
    """Find races in the way a host uses the TDX module.

    tdxfuzz runs host code (the kernel's own C, or a design in Python) against an executable
    model of the module. A scheduler chooses at every atomic step which CPU runs next.

    Start with `tdxfuzz hunt hint`: it finds a race in seconds. `tdxfuzz list designs` shows
    the built-in designs. Each command explains itself with --help.

    Exit codes of all commands: 0 pass; 1 finding; 2 wrong usage, broken input, or a design
    that raised, hangs or keeps state outside of cells; 3 unknown (interrupted, a run did not
    end, a bound was reached, or vacuous).
    """


def entry() -> None:
    """Entry point of the process: a command that runs designs gets a parent that can end it."""
    make_usable()
    keep_process()
    if not SUPERVISED.intersection(sys.argv[1:2]):
        if CAMPAIGN in sys.argv[1:2]:
            # Its reports run designs here.
            own_stdout()
        take_for_ctrl_c()
        main()
        return
    fix_hash_seed()
    take_for_ctrl_c()
    done = supervise()
    try:
        main()
    except SystemExit as ended:
        done(ended.code if isinstance(ended.code, int) else 0)


def main() -> None:
    """Run a command and exit with its code."""
    begin_output()
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        print_error(error.format_message() + _help_hint(error))
        code = 2
    except (UsageProblem, ReproducerError, RecordingError, HarnessError) as error:
        print_error(str(error), getattr(error, "details", ""))
        code = 2
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        print_error(f"{name}{error.strerror or error}")
        code = 2
    except SystemExit as ended:
        # A shell that asks for completions ends with 0. Else only a closed pipe exits below, with
        # 1. A script would read 1 as a finding.
        code = 0 if ended.code == 0 else CLOSED_PIPE
    except (KeyboardInterrupt, click.Abort):
        print_error("interrupted")
        code = 3
    except Exception as error:
        print_error(
            f"internal error, please report it: {type(error).__name__}: {error}",
            traceback.format_exc(),
        )
        code = 2
    code = code if isinstance(code, int) else 0
    if output_is_broken() and code in (PASS, UNKNOWN):
        code = BROKEN
    sys.exit(code)


def _help_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context is not None else ""
