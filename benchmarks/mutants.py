"""``python -m benchmarks.mutants``: is a small error in the model noticed?

Each mutant of ``mutants.toml`` is the model with one piece of text exchanged: a wrong
lock kind, two checks swapped, a bit forgotten. It is *caught* if the recordings of the
real module then do not agree any more. A mutant that lives shows what the recordings do
not see; those known to live are in the list with the reason, and not part of the score.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("mutants.toml")
DATASETS = (
    "locks",
    "sequential",
    "third/boot",
    "third/guest",
    "third/boot_interleaved",
    "third/guest_interleaved",
    "interleaved",
    "contention",
    "third/contention",
)
"""Quick ones first."""

TRY = """
import sys
from pathlib import Path
from tdxfuzz.targets.conform import conform
for name in sys.argv[1:]:
    result = conform(Path(name), stop_early=True)
    if result.first_divergence is not None:
        print(f"{result.kind}: {result.first_divergence.splitlines()[0]}")
        sys.exit(1)
"""


@frozen
class Mutant:
    """One deliberate error: ``old`` in ``file`` (within tdxfuzz/module) becomes ``new``.

    ``unseen`` says why recordings cannot show it; a test of our own must.
    """

    name: str
    file: str
    old: str
    new: str
    unseen: str = ""


@frozen
class Verdict:
    """What became of a mutant: ``by`` is the first thing that noticed, empty if nothing."""

    mutant: Mutant
    by: str
    seconds: float


def read_mutants(path: Path = LIST) -> tuple[Mutant, ...]:
    """The list, each entry checked against the model as it is.

    Raises:
        ValueError: a text to be exchanged is not in its file exactly once.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    mutants = tuple(Mutant(**entry) for entry in entries)
    for mutant in mutants:
        found = (ROOT / "tdxfuzz/module" / mutant.file).read_text(encoding="utf-8")
        if found.count(mutant.old) != 1:
            raise ValueError(
                f"{path.name}: {mutant.name!r}: its text is in {mutant.file} "
                f"{found.count(mutant.old)} times, not once"
            )
    return mutants


def attempt(mutant: Mutant | None) -> str:
    """Run the recordings on a mutant (None: the model itself); what noticed, if anything."""
    with tempfile.TemporaryDirectory(prefix="tdxfuzz-mutant-") as folder:
        copy = Path(folder) / "tdxfuzz"
        shutil.copytree(ROOT / "tdxfuzz", copy, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not None:
            target = copy / "module" / mutant.file
            text = target.read_text(encoding="utf-8")
            target.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        files = [str(ROOT / f"corpus/conformance/{name}.jsonl.gz") for name in DATASETS]
        done = subprocess.run(
            [sys.executable, "-c", TRY, *files],
            env=os.environ | {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return ""
    return done.stdout.strip() or f"crash: {done.stderr.strip().splitlines()[-1]}"


def judge(mutant: Mutant) -> Verdict:
    """One mutant's verdict."""
    began = time.monotonic()
    return Verdict(mutant, attempt(mutant), time.monotonic() - began)


def verdicts(mutants: tuple[Mutant, ...], workers: int) -> Iterator[Verdict]:
    """All verdicts, in the order of the list, as they become known."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(judge, mutants)


def main() -> int:
    """Print a line for each mutant, and the score; exit 1 if one is not as expected."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only mutants whose name has one of these words")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    mutants = tuple(
        mutant
        for mutant in read_mutants()
        if not arguments.names or any(word in mutant.name for word in arguments.names)
    )
    wanted = [mutant for mutant in mutants if not mutant.unseen]
    caught = 0
    surprises = 0
    for verdict in verdicts(mutants, arguments.workers):
        seen = bool(verdict.by)
        caught += seen and not verdict.mutant.unseen
        surprises += seen == bool(verdict.mutant.unseen)
        state = "caught" if seen else "unseen" if verdict.mutant.unseen else "LIVES "
        why = verdict.by[:100] or verdict.mutant.unseen
        print(f"{state} {verdict.seconds:5.1f} s  {verdict.mutant.name}: {why}")
        sys.stdout.flush()
    print(f"{caught} of {len(wanted)} mutants caught")
    if len(mutants) > len(wanted):
        print(f"{len(mutants) - len(wanted)} more are known to be out of the recordings' sight")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
