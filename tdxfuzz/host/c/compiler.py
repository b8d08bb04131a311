"""The user's compiler: which one, and what it says when something is wrong."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from attrs import frozen

from tdxfuzz.host.c.errors import BuildError

FLAGS = "TDXFUZZ_CFLAGS"
"""The environment variable with flags for layers: ``-I``, ``-D`` and the like."""

HERE = Path(__file__).parent
INCLUDE = HERE / "include"


@frozen
class Compiler:
    """A command with its first arguments; ``version`` is what it says of itself."""

    command: tuple[str, ...]
    version: str

    @property
    def is_clang(self) -> bool:
        """Whether it takes clang's options."""
        return "clang" in self.version

    def parameter(self, name: str) -> tuple[str, ...]:
        """An option of the thread sanitizer."""
        return ("-mllvm", f"-{name}") if self.is_clang else ("--param", name)

    def headers(self) -> Path:
        """The folder of its own headers, such as stddef.h."""
        if self.is_clang:
            return Path(self.must(["-print-resource-dir"]).strip()) / "include"
        return Path(self.must(["-print-file-name=include"]).strip())

    def zeroed_variables(self) -> tuple[str, ...]:
        """The options by which local variables begin as zero, as in most kernels; if it has any."""
        return next((each for each in _ZEROED if _accepts(self, each)), ())

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Call it, with messages in English."""
        return subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )

    def must(self, arguments: Sequence[str]) -> str:
        """Call it; what it prints.

        Raises:
            BuildError: it fails.
        """
        return self._call(arguments).stdout

    def compile(self, arguments: Sequence[str]) -> str:
        """Call it; its warnings. Errors are those of :meth:`must`."""
        return self._call(arguments).stderr

    def _call(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = self.run(arguments)
        if done.returncode:
            first, *others = _problems(done.stderr)
            raise BuildError(first, "\n".join(others))
        return done


_ZEROED = (
    ("-ftrivial-auto-var-init=zero",),
    (
        "-ftrivial-auto-var-init=zero",
        "-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang",
    ),
)


@cache
def _accepts(cc: Compiler, options: tuple[str, ...]) -> bool:
    return not cc.run([*options, "-Werror", "-fsyntax-only", "-x", "c", os.devnull]).returncode


def compiler() -> Compiler:
    """The compiler that CC names, else gcc, else clang.

    Raises:
        BuildError: there is none.
    """
    return _compiler(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@cache
def _compiler(named: str, path: str) -> Compiler:
    for command in [shlex.split(named)] if named else [["gcc"], ["clang"]]:
        if shutil.which(command[0], path=path) is None:
            continue
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, errors="replace", check=False
        )
        if not done.returncode:
            return Compiler(tuple(command), done.stdout)
    if named:
        raise BuildError(f"a layer in C needs a compiler, and CC={named} is none that runs")
    raise BuildError(
        "a layer in C needs a compiler; install gcc or clang (Debian, Ubuntu: apt install gcc; "
        "Fedora: dnf install gcc), or name one with CC"
    )


def user_flags() -> list[str]:
    """What the user wants to be passed on."""
    return shlex.split(os.environ.get(FLAGS, ""))


_ERROR = re.compile(
    r"^(?P<file>[^\n:]+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<what>.*)$", re.M
)
_LINK = re.compile(
    r"(?:(?P<file>[^\n:]+):(?P<line>\d+)|[^\n]*): undefined reference to [`'](?P<name>\w+)'"
)
_FROM = re.compile(r"(?:In file included from|\s+from) (?P<file>[^\n:]+):(?P<line>\d+)")
_NO_FUNCTION = re.compile(
    r"(?:implicit declaration of function|call to undeclared function) ['\u2018](\w+)['\u2019]"
)
_NO_NAME = re.compile(
    r"(?:['\u2018](\w+)['\u2019] undeclared|use of undeclared identifier '(\w+)'"
    r"|unknown type name ['\u2018](\w+)['\u2019])"
)
_NO_HEADER = re.compile(r"['\u2018]?(\S+\.h)['\u2019]?(?:: No such file| file not found)")

_OTHER_TYPE = re.compile(
    r"^(?P<file>[^\n:]+):(?P<line>\d+):(?:\d+:)? warning: (?P<what>[^\n]*)"
    r" \[-Wincompatible-(?:function-)?pointer-types\]$",
    re.MULTILINE,
)
_QUOTED = re.compile(
    r"['\u2018]([^'\u2019]*)['\u2019](?: [{(]aka ['\u2018]([^'\u2019]*)['\u2019][)}])?"
)


def refuse_other_types(said: str) -> None:
    """The kernel's u64 and unsigned long are one here, so that a PFN may be either; any other
    pointer to something else is an error.

    Raises:
        BuildError: there is one.
    """
    for warning in _OTHER_TYPE.finditer(said):
        types = {_plain_type(aka or name) for name, aka in _QUOTED.findall(warning["what"])}
        if len(types) > 1:
            where = place_of(warning["file"], warning["line"])
            raise BuildError(f"{where}: {warning['what']}")


def _plain_type(name: str) -> str:
    """A type without spaces and the star of a pointer to a function, with one name for 64 bits and
    one for the cache of pages.
    """
    name = name.replace("struct tdx_prealloc", "struct tdx_pamt_cache")
    name = name.replace("long long", "long").replace("unsigned long int", "unsigned long")
    name = name.replace("long unsigned int", "unsigned long").replace("(*)", "")
    return "".join(name.split())


ENDS_PROCESSES = ("exit", "_exit", "_Exit", "quick_exit", "abort", "raise", "kill", "tgkill")
"""Of the C library, which a layer is not linked with."""

HOW = "add it with --shim DIR (a folder of your own headers) or -I DIR, or define it in the file"


def _problems(said: str) -> list[str]:
    """The errors, one line each: place, and what to do about it."""
    problems = [_problem(said, found) for found in _ERROR.finditer(said)]
    problems = problems or [_not_linked(found) for found in _LINK.finditer(said)]
    rest = (line for line in said.splitlines() if line.strip())
    return list(dict.fromkeys(problems)) or [next(rest, "the compiler failed")]


def _not_linked(linked: re.Match[str]) -> str:
    where = place_of(linked["file"], linked["line"]) if linked["file"] else "link"
    return f"{where}: {_without(linked['name'], '')}"


def _without(name: str, kind: str) -> str:
    """What is to be done about a name that the file does not know."""
    if name in ENDS_PROCESSES:
        return f"{name}{kind} ends a process, and a layer is kernel code; use BUG() or an error"
    header = _header_of(name)
    if header is not None:
        return f"{name}{kind} needs #include <{header}>"
    return f"{name}{kind} is not in tdxfuzz's kernel headers; {HOW}"


def _header_of(name: str) -> str | None:
    """The header of ours that defines a function or a macro."""
    defines = re.compile(
        rf"^(?:#define\s+{re.escape(name)}\b|\w[\w *]*\b{re.escape(name)}\()", re.MULTILINE
    )
    for path in sorted(INCLUDE.glob("linux/**/*.h")):
        if defines.search(path.read_text(encoding="utf-8")):
            return str(path.relative_to(INCLUDE))
    return None


def _problem(said: str, found: re.Match[str]) -> str:
    file, line, what = found["file"], found["line"], found["what"]
    if Path(file).is_relative_to(INCLUDE):
        before = list(_FROM.finditer(said, 0, found.start()))
        users = [each for each in before if not Path(each["file"]).is_relative_to(INCLUDE)]
        if users:
            file, line = users[-1]["file"], users[-1]["line"]
    where = place_of(file, line)
    for pattern, kind in ((_NO_FUNCTION, "()"), (_NO_NAME, ""), (_NO_HEADER, "")):
        missing = pattern.search(what)
        if missing is not None:
            name = next(filter(None, missing.groups()))
            return f"{where}: {_without(name, kind)}"
    return f"{where}: {what}"


def place_of(file: str, line: str) -> str:
    """A place as people read it: the file as they would name it."""
    path = Path(file)
    try:
        path = path.relative_to(Path.cwd())
    except ValueError:
        path = Path(path.name)
    return f"{path}:{line}"
