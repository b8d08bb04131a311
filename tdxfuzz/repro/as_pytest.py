"""A reproducer as the source of a pytest test."""

from __future__ import annotations

import re

from tdxfuzz.repro.reproducer import DesignFile, Reproducer
from tdxfuzz.repro.write import to_toml


def as_pytest(
    reproducer: Reproducer, file: str = "", class_name: str = "", kvm_file: str = ""
) -> str:
    """The source of a test that passes when the bug no longer shows.

    The test of a user's design, or of a user's KVM, looks for that file beside itself and in the
    folders above, so it does not matter where pytest is started.

    Args:
        reproducer: what the test runs.
        file: where the user's design is, seen from one of these folders; by default the name that
            the reproducer has.
        class_name: the design in that file; by default as the reproducer says.
        kvm_file: where the user's KVM is, likewise.
    """
    text = to_toml(reproducer)
    quotes = "'" * 3
    # What a file says must stay a string, whatever it says.
    literal = repr(text) if quotes in text else f"r{quotes}\n{text}{quotes}"
    expect, design = reproducer.expect, reproducer.case.design
    name = re.sub(r"\W+", "_", f"{design}_{expect.check}".lower(), flags=re.ASCII).strip("_")
    user, kvm = reproducer.design_file, reproducer.kvm_file
    loaders = [name for name, used in (("class_in", user), ("kvm_in", kvm)) if used is not None]
    names = ", ".join([*loaders[:1], "file_above", *loaders[1:]])
    imports = [f"from tdxfuzz.host.design_file import {names}"] if loaders else []
    argument = "" if user is None else f"class_in({_named(user, file, class_name)})"
    if kvm is not None:
        if user is None:
            imports.append("from tdxfuzz.host.designs import DESIGNS")
            argument = f"DESIGNS[{_word(design.partition('+')[0])!r}]"
        imports.append("from tdxfuzz.host.kvm.under import under")
        argument = f"under({argument}, kvm_in({_named(kvm, kvm_file)}))"
    return "\n".join(
        [
            '"""Written by `tdxfuzz show --as pytest`: passes when the bug no longer shows."""',
            "",
            *(["from pathlib import Path", ""] if loaders else []),
            "from tdxfuzz.repro.columns import columns",
            *imports,
            "from tdxfuzz.repro.read import parse",
            "from tdxfuzz.repro.replay import ReplayResult, replay",
            "",
            f"REPRODUCER = {literal}",
            "",
            "",
            f"def test_{name}() -> None:",
            f"    replayed = replay(parse(REPRODUCER){argument and ', '}{argument})",
            "    assert replayed.result is ReplayResult.FIXED, columns(replayed.run)",
            "",
        ]
    )


def _named(user: DesignFile, file: str = "", class_name: str = "") -> str:
    """The arguments that load a user's class: what a file says must not become code."""
    file = file or re.sub(r"[^\w.-]", "_", user.file)
    class_name = class_name or _word(user.class_name, "_")
    return f"file_above(Path(__file__), {file!r}), {class_name!r}"


def _word(text: str, other: str = "-") -> str:
    return re.sub(rf"[^\w{re.escape(other)}]", other, text)
