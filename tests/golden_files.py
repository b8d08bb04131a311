"""Text that people read, compared with files under ``tests/golden/``.

``TDXFUZZ_UPDATE_GOLDEN=1 pytest`` writes them anew; read the diff before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
ROOT = Path(__file__).parent.parent
REGRESSIONS = sorted((ROOT / "corpus/regressions").glob("*.tdx.toml"))
MATRIX = sorted((ROOT / "corpus/matrix").glob("*.tdx.toml"))
HINT_RACE = next(path for path in REGRESSIONS if path.name.startswith("hint-pamt-in-use"))
"""The race that the whole project began with."""


def check_golden(name: str, text: str) -> None:
    """Compare with a golden file, or write it if asked to."""
    path = FOLDER / name
    if os.environ.get("TDXFUZZ_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs"
