"""A reproducer as the source of a pytest test."""

from __future__ import annotations

import re

from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.repro.write import to_toml


def as_pytest(reproducer: Reproducer, file: str = "", class_name: str = "") -> str:
    """The source of a test that passes when the bug no longer shows.

    The test of a user's design looks for the design's file beside itself and in the folders above,
    so it does not matter where pytest is started.

    Args:
        reproducer: what the test runs.
        file: where the user's design is, seen from one of these folders; by default the name that
            the reproducer has.
        class_name: the design in that file; by default as the reproducer says.
    """
    text = to_toml(reproducer)
    quotes = "'" * 3
    # What a file says must stay a string, whatever it says.
    literal = repr(text) if quotes in text else f"r{quotes}\n{text}{quotes}"
    expect, design = reproducer.expect, reproducer.case.design
    name = re.sub(r"\W+", "_", f"{design}_{expect.check}".lower(), flags=re.ASCII).strip("_")
    user = reproducer.design_file
    imports, argument = [], ""
    if user is not None:
        class_name = class_name or re.sub(r"\W", "_", user.class_name)
        file = file or re.sub(r"[^\w.-]", "_", user.file)
        imports = ["from tdxfuzz.host.design_file import class_in, file_above"]
        argument = f", class_in(file_above(Path(__file__), {file!r}), {class_name!r})"
    return "\n".join(
        [
            '"""Written by `tdxfuzz show --as pytest`: passes when the bug no longer shows."""',
            "",
            *(["from pathlib import Path", ""] if user is not None else []),
            "from tdxfuzz.repro.columns import columns",
            *imports,
            "from tdxfuzz.repro.read import parse",
            "from tdxfuzz.repro.replay import ReplayResult, replay",
            "",
            f"REPRODUCER = {literal}",
            "",
            "",
            f"def test_{name}() -> None:",
            f"    replayed = replay(parse(REPRODUCER){argument})",
            "    assert replayed.result is ReplayResult.FIXED, columns(replayed.run)",
            "",
        ]
    )
