"""The fields of a file: which ones are allowed, and in which line each of them is."""

from __future__ import annotations

import re
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints

from attrs import NOTHING, fields, has


def misfit(table: object, kind: type, where: str = "") -> tuple[str, str] | None:
    """The first unknown or missing field of a table that should become a ``kind``.

    Args:
        table: what was read.
        kind: an attrs class; fields that are such classes, or tuples of them, are
            looked into.
        where: the field the table is in.

    Returns:
        The field and what is wrong with it, or None.
    """
    if not isinstance(table, dict):
        return where, f"must be a table, not {table!r}"
    hints = get_type_hints(kind)
    known = {attribute.name: attribute for attribute in fields(kind)}
    for name in table:
        if name not in known:
            return _join(where, str(name)), f"unknown field; {_nearest(str(name), list(known))}"
    for name, attribute in known.items():
        inside = _join(where, name)
        if name not in table:
            if attribute.default is NOTHING:
                return inside, "missing"
            continue
        found = None
        wanted = _without_none(hints[name])
        if has(wanted) and not isinstance(table[name], list | str):
            found = misfit(table[name], wanted, inside)
        elif get_origin(wanted) is tuple and isinstance(table[name], str):
            # Text would be read as a list of its letters.
            return inside, f"must be a list, not {table[name]!r}"
        elif get_origin(wanted) is tuple and isinstance(table[name], list):
            item = get_args(wanted)[0]
            # A table where a number must be is left to what reads numbers.
            tables = [each for each in enumerate(table[name]) if isinstance(each[1], dict)]
            tables = tables if has(item) else []
            found = next(filter(None, (misfit(t, item, f"{inside}[{i}]") for i, t in tables)), None)
        if found is not None:
            return found
    return None


def _without_none(hint: type) -> type:
    """The class of a field that may be left out."""
    classes = [each for each in get_args(hint) if each is not NoneType]
    return classes[0] if get_origin(hint) is UnionType and len(classes) == 1 else hint


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def line_of(text: str, where: str) -> int:
    """The line of a field; if the field is missing, the line of its table; else 0."""
    wanted = re.sub(r"(\.\w+)\[\d+\].*", r"\1", where)
    table, counts = "", {"cpu": -1}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if match := re.fullmatch(r"\[\[(\w+)\]\]", stripped):
            name = match.group(1)
            counts[name] = counts.get(name, -1) + 1
            table = f"{name}[{counts[name]}]"
            lines.setdefault(table, number)
        elif match := re.fullmatch(r"\[(\w+)\]", stripped):
            table = match.group(1)
            lines.setdefault(table, number)
        elif match := re.match(r"(\w+)\s*=", stripped):
            key = match.group(1)
            lines.setdefault(f"{table}.{key}" if table else key, number)
    while wanted and wanted not in lines and "." in wanted:
        wanted = wanted.rpartition(".")[0]
    return lines.get(wanted, 0)
