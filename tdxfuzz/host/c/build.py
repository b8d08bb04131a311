"""From a file in C to a library that can be loaded; results are kept by content."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tdxfuzz.host.c.compiler import (
    HERE,
    INCLUDE,
    Compiler,
    compiler,
    place_of,
    refuse_other_types,
    user_flags,
)
from tdxfuzz.host.c.errors import BuildError

RUNTIME_FLAGS = ("-std=gnu11", "-O2", "-g", "-fPIC", "-Wall", "-Wextra", "-Werror")

LANGUAGE = (
    # As the kernel is compiled, as far as it changes what code means.
    "-std=gnu11",
    "-ffreestanding",
    "-nostdinc",
    "-fno-strict-aliasing",
    "-fno-strict-overflow",
    "-fno-delete-null-pointer-checks",
    "-fno-common",
)
CODE = (
    "-O1",
    "-g",
    "-fPIC",
    # A name of the layer stays its own, even if a library of this process has it too.
    "-fvisibility=hidden",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fno-stack-protector",
    "-Werror=implicit-function-declaration",
    "-Werror=implicit-int",
    "-Wincompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=return-type",
)
UNDEFINED = "shift,bounds,integer-divide-by-zero,unreachable,bool,enum"
WRAPPED = ("memcpy", "memmove", "memset", "memcmp", "strlen")


def cache_folder() -> Path:
    """Where what was built is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for folder in (
        Path(base) / "tdxfuzz/c",
        Path(tempfile.gettempdir()) / f"tdxfuzz-{os.getuid()}/c",
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise BuildError("there is no folder to keep compiled layers in; set XDG_CACHE_HOME")


@cache
def runtime() -> Path:
    """The runtime as a library: one in a process, by whichever compiler it was first built.

    Raises:
        BuildError: there is no compiler, or it fails.
    """
    cc = compiler()
    parts = [*sorted((HERE / "runtime").iterdir()), INCLUDE / "tdxfuzz/runtime.h"]
    text = b"".join(part.read_bytes() for part in parts)
    built = cache_folder() / f"runtime-{_key(cc.version, RUNTIME_FLAGS, text)}.so"
    if not built.exists():
        source = str(HERE / "runtime/runtime.c")
        with _in_place(built) as made:
            cc.must([*RUNTIME_FLAGS, "-shared", f"-I{INCLUDE}", source, "-o", made])
    return built


def layer(path: Path) -> Path:
    """A layer as a library, which needs the runtime.

    Raises:
        BuildError: there is no compiler, or the file does not compile or link.
    """
    cc = compiler()
    under = runtime()
    flags = (*language(cc), *_code(cc))
    text = cc.must([*language(cc), "-E", str(path.absolute())])
    _refuse_unseen(text)
    key = _key(cc.version, (*flags, str(under)), text.encode())
    built = cache_folder() / f"{path.stem}-{key}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            assembly, linked = Path(folder) / "layer.s", Path(folder) / "layer.so"
            source = [*_without_folder(path), "-S", str(path.absolute())]
            refuse_other_types(cc.compile([*flags, *source, "-o", str(assembly)]))
            _refuse_assembly(assembly, path)
            _stop_empty_loops(assembly)
            wrap = [f"-Wl,--wrap={name}" for name in WRAPPED]
            link = ["-shared", "-nostdlib", "-Wl,-z,defs", "-Wl,-z,now", "-Wl,-z,nodelete", *wrap]
            # What the compiler itself needs, such as counting bits.
            own = cc.must(["-print-libgcc-file-name"]).strip()
            cc.must([*link, str(assembly), str(under), own, "-o", str(linked)])
            linked.rename(built)
    return built


def digest(path: Path) -> str:
    """SHA-256 of what a file says after preprocessing, without the headers of tdxfuzz and of the
    compiler: the same with each compiler, whichever folder the file lies in.

    Raises:
        BuildError: there is no compiler, or a header is missing.
    """
    cc = compiler()
    text = cc.must([*language(cc), *_without_folder(path), "-E", str(path.absolute())])
    return hashlib.sha256("".join(_own_lines(text)).encode()).hexdigest()


_MARKER = re.compile(r'^# \d+ "([^"]*)"')


def _own_lines(text: str) -> Iterator[str]:
    own = False
    for line in text.splitlines():
        marker = _MARKER.match(line)
        if marker is not None:
            file = Path(marker[1])
            own = not file.is_relative_to(INCLUDE) and not _is_compilers(file)
        elif own and line.strip():
            yield "".join(line.split())


_UNSEEN = re.compile(
    r"\b_*(no_sanitize\w*|disable_sanitizer_instrumentation|no_instrument_function|naked|ifunc)\b"
)
"""Attributes by which a function's accesses, or all of it, would not be noticed."""


def _refuse_unseen(text: str) -> None:
    """What a function does that the compiler leaves alone cannot be seen.

    Raises:
        BuildError: there is an attribute that wants that.
    """
    file, line = "", 0
    for each in text.splitlines():
        marker = _MARKER.match(each)
        if marker is not None:
            file, line = marker[1], int(each.split()[1]) - 1
            continue
        line += 1
        found = _UNSEEN.search(each)
        if found is not None and "attribute" in each:
            raise BuildError(
                f"{place_of(file, str(line))}: {found[1]}: what such a function does is not seen; "
                "take the attribute away"
            )


def _is_compilers(file: Path) -> bool:
    return file.name.startswith("<") or any(part in ("gcc", "clang") for part in file.parts)


def language(cc: Compiler) -> tuple[str, ...]:
    """The options that decide what code means, and where headers are."""
    shims, others = _folders(user_flags())
    return (*LANGUAGE, *shims, f"-I{INCLUDE}", "-isystem", str(cc.headers()), *others)


def _without_folder(path: Path) -> tuple[str, ...]:
    """The file's own folder is no part of ``__FILE__``."""
    return (f"-fmacro-prefix-map={path.absolute().parent}/=",)


def _folders(flags: list[str]) -> tuple[list[str], list[str]]:
    """The folders that stand in front of our headers (``--shim=DIR``), and all other flags."""
    shims = [f"-I{flag.partition('=')[2]}" for flag in flags if flag.startswith("--shim=")]
    return shims, [flag for flag in flags if not flag.startswith("--shim=")]


def _code(cc: Compiler) -> tuple[str, ...]:
    traps = ["-fsanitize-trap=all"] if cc.is_clang else ["-fsanitize-undefined-trap-on-error"]
    return (
        *CODE,
        *cc.zeroed_variables(),
        f"-fmacro-prefix-map={INCLUDE}/=",
        "-fsanitize=thread",
        *cc.parameter("tsan-distinguish-volatile=1"),
        *cc.parameter("tsan-instrument-func-entry-exit=0"),
        "-fsanitize-coverage=trace-pc",
        f"-fsanitize={UNDEFINED}",
        *traps,
        # A read in front of a write of the same word is a read of its own.
        *(cc.parameter("tsan-instrument-read-before-write=1") if cc.is_clang else ()),
        *([] if cc.is_clang else ["-Wno-tsan", "-ftrack-macro-expansion=0"]),
    )


_LINE = re.compile(r"^\s*\.loc\s+\d+\s+(\d+)")


def _refuse_assembly(assembly: Path, path: Path) -> None:
    """Inline assembly cannot be seen, so that a verdict would be worth nothing.

    Raises:
        BuildError: there is some.
    """
    line, inside = "?", False
    for text in assembly.read_text(errors="replace").splitlines():
        at = _LINE.match(text)
        line = at[1] if at is not None else line
        stripped = text.strip()
        if stripped in ("#APP", "# APP", "#NO_APP", "# NO_APP"):
            inside = "NO_" not in stripped
        elif "file scope inline assembly" in stripped:  # clang's way to say it
            inside, line = "Start" in stripped, "?"
        elif inside and stripped and not stripped.startswith("#"):
            where = path.name if line == "?" else f"{path.name}:{line}"
            raise BuildError(
                f"{where}: inline assembly ({stripped}): what it does to memory is not "
                "seen; use the kernel's functions of tdxfuzz's headers in its place"
            )


_SELF = re.compile(
    r"^(\.\w+):(?:\s*(?:\.loc[^\n]*|\.cfi[^\n]*|#[^\n]*)?\n)+\s*jmp\s+\1[ \t]*$", re.M
)


def _stop_empty_loops(assembly: Path) -> None:
    """A loop with nothing in it is told of at once: no code in it could count its rounds."""
    text = assembly.read_text(errors="surrogateescape")
    text = _SELF.sub(lambda loop: loop[0].rpartition("jmp")[0] + "int3", text)
    assembly.write_text(text, errors="surrogateescape")


def _key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


@contextmanager
def _in_place(path: Path) -> Iterator[str]:
    """A name for a file that appears at its place only when it is whole."""
    made = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        yield str(made)
        made.rename(path)
    finally:
        made.unlink(missing_ok=True)
