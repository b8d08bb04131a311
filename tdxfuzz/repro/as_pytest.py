"""A reproducer as the source of a pytest test."""

from __future__ import annotations

import re

from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.repro.write import to_toml


def as_pytest(reproducer: Reproducer) -> str:
    """The source of a test that passes when the bug no longer shows."""
    text = to_toml(reproducer)
    quotes = "'" * 3
    # What a file says must stay a string, whatever it says.
    literal = repr(text) if quotes in text else f"r{quotes}\n{text}{quotes}"
    expect, design = reproducer.expect, reproducer.case.design
    name = re.sub(r"\W+", "_", f"{design}_{expect.check}".lower(), flags=re.ASCII).strip("_")
    user = reproducer.design_file
    imports, argument = [], ""
    if user is not None:
        class_name = re.sub(r"\W", "_", user.class_name)
        file = re.sub(r"[^\w.-]", "_", user.file)
        imports = ["from tdxfuzz.host.design_file import class_in"]
        argument = f", class_in(Path({file!r}), {class_name!r})"
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
