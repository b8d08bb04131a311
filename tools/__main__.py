"""``python -m tools``: write the generated pages of ``docs/``, or check that they are true.

It runs the model's own tests (they reach what no recording shows) and the recordings, and
watches. With ``--check`` nothing is written: exit 1 if a page is not what it would be.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tdxfuzz.targets.conform import conform
from tools import behaviour, concurrency
from tools.notebook import VARIABLE, Notebook
from tools.statuses import producible

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "corpus/conformance"
TESTS = (
    "tests/module/leaves",
    "tests/module/test_module_contention_td.py",
    "tests/module/test_module_key_table.py",
    "tests/module/test_module_tdmr_config.py",
)
"""Tests that reach every status, and are quick."""


def observe_tests(folder: Path) -> Notebook:
    """Run the tests of the module model and take their notebook.

    Raises:
        SystemExit: a test failed.
    """
    path = folder / "observed.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", *TESTS],
        cwd=ROOT,
        env=os.environ | {VARIABLE: str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the tests of the model fail:\n{done.stdout[-2000:]}")
    return Notebook.read(path)


def pages() -> dict[str, str]:
    """The generated pages by file name.

    Raises:
        SystemExit: a status is reached by nothing, or is not expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        notebook = observe_tests(Path(folder))
    tested = set(notebook.seen)
    with notebook.listening():
        for kind in ("locks", "sequential"):
            conform(CORPUS / f"{kind}.jsonl.gz")
    can, counts = producible(), behaviour.recorded(CORPUS)
    problems = behaviour.unshown(can, counts, tested)
    if problems:
        sys.exit("\n".join(problems))
    return {
        "concurrency.md": concurrency.render(notebook.observations),
        "behaviour.md": behaviour.render(can, counts, tested),
    }


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = ROOT / "docs" / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/{name}: {'not up to date; run python -m tools' if check else 'written'}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
