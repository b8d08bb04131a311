"""``python -m tools.compiled``: the package once more, with its hot core compiled by mypyc.

A copy of ``tdxfuzz`` goes to ``build/compiled``, and what runs at every step (simulator, module,
host, checks, searches) becomes C there. Python on whose path that folder comes first uses it::

    PYTHONPATH=build/compiled tdxfuzz hunt merged

Nothing depends on it: it does the same, only faster. ``python -m tools.side_by_side`` holds one
against the other, step by step. Needs a C compiler, and mypy (extra ``[test]``).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build/compiled"

COMPILED = (
    "abi/registers.py",
    "check/*.py",
    "engines/each_window.py",
    "generate/byte_format.py",
    "generate/choices.py",
    "generate/programs.py",
    "host/*.py",
    "host/kernel/*.py",
    "module/*.py",
    "module/leaves/*.py",
    "run/effects.py",
    "run/footprint.py",
    "run/shared_state.py",
    "run/worlds.py",
    "sim/*.py",
    "verify/explorer.py",
    "run/observer.py",
)

INTERPRETED = (
    # Values: attrs makes their methods, and mypyc would have to know how.
    "check/finding.py",
    "host/layout.py",
    "host/refcount_table.py",
    "module/platform.py",
    "module/sys_fields.py",
    "module/td_fields.py",
    "module/td_params.py",
    "module/tdmr_config.py",
    "module/variants.py",
    # Readers of state are made from declarations when they are first needed.
    "sim/contents.py",
    "sim/declared.py",
    "sim/fault.py",
    "sim/outcome.py",
    "sim/schedule.py",
    # An exception with methods: what mypyc makes of it crashes.
    "module/td_exit.py",
    # An enum with a constructor.
    "module/sept_state.py",
    # Searches in full know a retry loop by its instruction, and those of its callers.
    "host/operations.py",
    # What users write, and what makes sure that they keep to the rules.
    "host/design.py",
    "host/design_file.py",
    "host/hostile.py",
    # Not hot, and much of it about values.
    "check/linearizable.py",
)

MARK = "compiled-by-tools"
"""A file in a folder that was made here, and may be made anew."""

FUTURE = "from __future__ import annotations\n"

OPEN = {
    "sim/cell.py": ("Cell", "NamedCell"),
    "module/memory.py": ("Page",),
    "module/watch.py": ("ModuleWatch",),
    "host/watch.py": ("HostWatch",),
    "check/base.py": ("Check",),
    "host/kernel/atomic.py": ("AtomicT",),
    "host/refcount.py": ("RangeRefcount",),
}
"""Compiled classes that interpreted ones derive from."""


def sources(package: Path, interpreted: Sequence[str] = ()) -> Iterator[Path]:
    """The files of a copy of the package that are to be compiled: not those of some patterns."""
    left = {path for name in (*INTERPRETED, *interpreted) for path in package.glob(name)}
    for pattern in COMPILED:
        for path in sorted(package.glob(pattern)):
            if path.name != "__init__.py" and path not in left:
                yield path


def settle(path: Path) -> None:
    """Say of constants that they are: mypyc puts their values where they are used."""
    text = path.read_text(encoding="utf-8")
    text, found = re.subn(r"^(_?[A-Z][A-Z0-9_]+) = ", r"\1: Final = ", text, flags=re.MULTILINE)
    if found:
        path.write_text(text.replace(FUTURE, f"{FUTURE}\nfrom typing import Final\n", 1), "utf-8")


def open_up(path: Path, names: tuple[str, ...]) -> None:
    """Let interpreted classes derive from those of a file.

    Raises:
        SystemExit: a class is not there.
    """
    text = path.read_text(encoding="utf-8")
    for name in names:
        text, found = re.subn(
            rf"^class {name}\b",
            r"@mypyc_attr(allow_interpreted_subclasses=True)\n\g<0>",
            text,
            flags=re.MULTILINE,
        )
        if found != 1:
            sys.exit(f"{path}: no class {name}")
    text = text.replace(FUTURE, f"{FUTURE}\nfrom mypy_extensions import mypyc_attr\n", 1)
    path.write_text(text, encoding="utf-8")


def make_room(folder: Path) -> None:
    """Make an empty folder, of an earlier build if need be.

    Raises:
        SystemExit: something else is there.
    """
    if (folder / MARK).exists():
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder}: is in use for something else; name another folder, or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def build(folder: Path = FOLDER, interpreted: Sequence[str] = ()) -> None:
    """Copy and compile all but the files of some more patterns.

    Raises:
        SystemExit: a pattern names no file, there is no room, or mypyc failed; its output is
            shown.
    """
    for pattern in interpreted:
        if not any((ROOT / "tdxfuzz").glob(pattern)):
            sys.exit(f"--interpret {pattern}: no such file in {ROOT / 'tdxfuzz'}")
    make_room(folder)
    package = folder / "tdxfuzz"
    shutil.copytree(ROOT / "tdxfuzz", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, classes in OPEN.items():
        open_up(package / name, classes)
    paths = list(sources(package, interpreted))
    for path in paths:
        settle(path)
    files = [str(path.relative_to(folder)) for path in paths]
    done = subprocess.run(
        [sys.executable, "-m", "mypyc", f"--config-file={ROOT / 'pyproject.toml'}", *files],
        cwd=folder,
        env={"MYPYC_OPT_LEVEL": "2", **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"mypyc failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    print(f"{len(files)} files compiled; to use them, PYTHONPATH={folder}")


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(prog="python -m tools.compiled", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument(
        "--interpret",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave these files to the interpreter as well, such as 'module/leaves/*.py': "
        "atheris sees what is interpreted",
    )
    arguments = parser.parse_args()
    build(arguments.folder, arguments.interpret)


if __name__ == "__main__":
    main()
