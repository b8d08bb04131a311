"""Which statuses the model's code can give for a leaf: read from its source.

A handler can give what it, or anything it calls by name in ``tdxfuzz/module``, returns
or puts into ``Refused(...)``. That is more than can really happen: a check that a helper
makes only for other callers counts as well. ``NEVER`` lists those, with the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

from tdxfuzz.abi import BY_NUMBER, OPERANDS
from tdxfuzz.module import codes

MODULE = Path(codes.__file__).parent
CODES = {
    name: value
    for name, value in vars(codes).items()
    if isinstance(value, int) and name.isupper() and name not in OPERANDS and value >> 32
}
NOT_STATUSES = frozenset({"REMOVAL_HINT", "NULL_PA"})


@frozen
class Function:
    """What one function of the model mentions: statuses it gives, functions it calls."""

    gives: frozenset[str]
    calls: frozenset[str]
    leaf: int | None = field(default=None)


def producible() -> dict[str, frozenset[str]]:
    """For each modelled host leaf, by name, the names of the statuses its code can give."""
    functions = _functions()
    return {
        BY_NUMBER[function.leaf].name: _closure(name, functions) - NOT_STATUSES
        for name, function in sorted(functions.items())
        if function.leaf is not None
    }


def _closure(name: str, functions: dict[str, Function]) -> frozenset[str]:
    seen: set[str] = set()
    gives: set[str] = set()
    queue = [name]
    while queue:
        current = queue.pop()
        if current in seen or current not in functions:
            continue
        seen.add(current)
        gives |= functions[current].gives
        queue += functions[current].calls
    return frozenset(gives)


def _functions() -> dict[str, Function]:
    """All functions and methods by name; methods of one name are taken together."""
    found: dict[str, Function] = {}
    for path in sorted(MODULE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                function = _read(node)
                other = found.get(node.name)
                if other is not None:
                    function = Function(
                        function.gives | other.gives,
                        function.calls | other.calls,
                        function.leaf if other.leaf is None else other.leaf,
                    )
                found[node.name] = function
    return found


def _read(node: ast.FunctionDef) -> Function:
    calls = set()
    gives: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            name = _called(inner)
            calls.add(name)
            if name == "Refused":
                gives.update(_codes(inner))
        elif isinstance(inner, ast.Return) and inner.value is not None:
            gives.update(_codes(inner.value))
    return Function(frozenset(gives), frozenset(calls), _leaf(node))


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _codes(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and (inner.id in CODES or inner.id == "SUCCESS"):
            yield inner.id


def _leaf(node: ast.FunctionDef) -> int | None:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and _called(decorator) == "leaf":
            number = decorator.args[0]
            if isinstance(number, ast.Constant) and isinstance(number.value, int):
                return number.value
    return None
