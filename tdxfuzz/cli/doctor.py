"""``tdxfuzz doctor``."""

from __future__ import annotations

import platform
import shutil
from importlib.util import find_spec

import click

from tdxfuzz import __version__
from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.output import Output

EXTRAS = {
    "atheris": ("atheris", "targets for atheris: tdxfuzz/fuzzers"),
    "cluster": ("distributed", "campaigns on a dask cluster"),
    "report": ("jinja2", "the HTML report of a campaign"),
}
"""By extra: the module that it brings, and what that is for."""

COMPILERS = ("gcc", "clang")


@click.command("doctor", epilog="Example: tdxfuzz doctor")
@format_option
def doctor_command(as_json: bool) -> int:
    """Say what is installed, what each extra would bring, and whether a C compiler was found.

    A missing extra is no error: only its own commands need it. Exit code 0 in any case.
    """
    output = Output(as_json)
    extras = {name: find_spec(module) is not None for name, (module, _) in EXTRAS.items()}
    compilers = {name: path for name in COMPILERS if (path := shutil.which(name)) is not None}
    output.line(f"tdxfuzz {__version__}, Python {platform.python_version()}, {platform.machine()}")
    for name, there in extras.items():
        have = "installed" if there else f"missing: pip install 'tdxfuzz[{name}]'"
        output.line(f"extra {name:8} {have}; for {EXTRAS[name][1]}")
    found = ", ".join(compilers.values()) or "none: layers in C need gcc or clang"
    output.line(f"C compiler     {found}")
    browser = shutil.which("chromium")
    output.line(f"browser        {browser or 'no chromium: tests of pages are skipped'}")
    output.json(
        {
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "extras": extras,
            "compilers": compilers,
        }
    )
    return 0
