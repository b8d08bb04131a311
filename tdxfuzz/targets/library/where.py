"""Where in a library an address is, as people read it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

_AT = re.compile(r"(?P<name>\S+) at (?P<file>\S+)\+0x(?P<offset>[0-9a-f]+)$")


def in_source(text: str, library: Path) -> str:
    """``NAME at FILE+0xOFFSET`` with function and line, if addr2line knows them; else without the
    offset, which another build does not share. What it calls is named by its file.
    """
    at = _AT.match(text)
    if at is None:
        return text
    if at["file"] != library.name:
        return at["file"] if at["name"] == "code" else f"{at['name']} of {at['file']}"
    tool = shutil.which("addr2line")
    if tool is not None:
        done = subprocess.run(
            [tool, "-f", "-e", str(library), f"0x{at['offset']}"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        function, _, place = done.stdout.strip().partition("\n")
        if done.returncode == 0 and function not in ("", "??"):
            line = Path(place.split(" ")[0]).name
            return f"{function} ({line})" if "?" not in line else function
    return str(at["name"])
