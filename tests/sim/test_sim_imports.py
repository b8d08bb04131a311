"""The simulator stands alone."""

from __future__ import annotations

import subprocess
import sys

LIST_OTHERS = """
import sys
import tdxfuzz.sim
ours = {name.split(".")[1] for name in sys.modules if name.startswith("tdxfuzz.")}
print(sorted(ours - {"sim"}))
"""


def test_importing_the_simulator_imports_nothing_else_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_OTHERS], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
