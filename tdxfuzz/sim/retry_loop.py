"""Retry loops as their code is written: where one is, and how far its counters are.

A retry point says that the loop begins once more. Whether the next round is like the last one
depends on the local variables of the code around it: a loop that counts its rounds is not.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FrameType
from zlib import crc32

MOST_DEPTH = 5
"""Containers inside of containers are looked into this deep."""

IsOurs = Callable[[CodeType], bool]
"""Whether a function's local variables matter: it is of the code under test."""


def site_of(frame: FrameType | None) -> int:
    """Where a retry loop is: the instruction that it is at, and those of all its callers."""
    calls: list[tuple[int, int]] = []
    while frame is not None:
        calls.append((_number_of(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return hash(tuple(calls))


def counters_of(frame: FrameType | None, is_ours: IsOurs) -> tuple[object, ...] | None:
    """The local variables of the functions under test that a frame was called from.

    None: one of them is inside of a ``for`` loop whose place its variables do not tell, so that
    no round is like another.
    """
    values: list[object] = []
    while frame is not None:
        code = frame.f_code
        if is_ours(code):
            if not _place_is_told(code, frame.f_lasti):
                return None
            values += [(name, plain(value)) for name, value in sorted(frame.f_locals.items())]
        frame = frame.f_back
    return tuple(values)


def plain(value: object, depth: int = MOST_DEPTH) -> object:
    """A value as numbers, strings and tuples: shared state is in the key of a state anyway, so
    that a cell stands for its name alone, and an object of ours for its kind.
    """
    if value is None or isinstance(value, int | str | float | bytes):
        return value if not isinstance(value, int) else int(value)
    if type(value).__module__.startswith("tdxfuzz."):
        name = getattr(value, "name", None)
        return name if isinstance(name, str) else type(value).__qualname__
    if depth:
        if isinstance(value, list | tuple):
            return tuple(plain(item, depth - 1) for item in value)
        if isinstance(value, dict):
            return tuple((plain(k, depth - 1), plain(v, depth - 1)) for k, v in value.items())
        if isinstance(value, set | frozenset):
            return tuple(sorted(repr(plain(item, depth - 1)) for item in value))
        if type(value).__module__ != "builtins":
            return type(value).__qualname__, plain(getattr(value, "__dict__", {}), depth - 1)
    return type(value).__qualname__


@cache
def _number_of(code: CodeType) -> int:
    """A number for a function, the same in every process."""
    return crc32(f"{code.co_qualname} {code.co_firstlineno}".encode())


@cache
def _place_is_told(code: CodeType, instruction: int) -> bool:
    """Whether the loops around an instruction are all ``while``, or ``for … in range(…)``: then
    local variables tell which round it is.
    """
    line = next((line for start, end, line in code.co_lines() if start <= instruction < end), None)
    tree = _tree_of(code.co_filename)
    if line is None or tree is None:
        return False
    return all(_is_over_a_range(loop) for loop in _loops_around(tree, code.co_firstlineno, line))


def _loops_around(tree: ast.Module, first: int, line: int) -> Iterator[ast.For | ast.comprehension]:
    for function in ast.walk(tree):
        lines = getattr(function, "lineno", 0), getattr(function, "end_lineno", 0) or 0
        if isinstance(function, ast.FunctionDef | ast.Lambda) and lines[0] <= line <= lines[1]:
            decorators = getattr(function, "decorator_list", [])
            begins = min([function.lineno, *(each.lineno for each in decorators)])
            if begins == first:
                for inner in ast.walk(function):
                    if (
                        isinstance(inner, ast.For)
                        and inner.lineno <= line <= (inner.end_lineno or 0)
                    ) or isinstance(inner, ast.comprehension):
                        yield inner


def _is_over_a_range(loop: ast.For | ast.comprehension) -> bool:
    made = loop.iter
    return (
        isinstance(made, ast.Call)
        and isinstance(made.func, ast.Name)
        and made.func.id == "range"
        and isinstance(loop.target, ast.Name)
    )


@cache
def _tree_of(path: str) -> ast.Module | None:
    text = "".join(linecache.getlines(path))
    try:
        return ast.parse(text) if text else None
    except SyntaxError:
        return None
