"""Retry loops as their code is written: where one is, and how far its counters are.

A retry point says that the loop begins once more. Whether the next round is like the last one
depends on the local variables of the code around it: a loop that counts its rounds is not.
"""

from __future__ import annotations

import ast
import linecache
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from zlib import crc32

from tdxfuzz.sim.declared import roles_of

MOST_DEPTH = 5
"""Containers inside of containers are looked into this deep."""

MADE_IN_PYTHON = 1 << 9
"""``Py_TPFLAGS_HEAPTYPE``: a class that was made by a ``class`` statement."""

IsOurs = Callable[[CodeType], bool]
"""Whether a function's local variables matter: it is of the code under test."""


def site_of(frame: FrameType | None) -> int:
    """Where a retry loop is: the instruction that it is at, and those of all its callers."""
    calls: list[tuple[int, int]] = []
    while frame is not None:
        calls.append((_number_of(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return hash(tuple(calls))


class HiddenError(Exception):
    """A value keeps something that cannot be read: it may be a counter."""


def counters_of(
    frame: FrameType | None, is_ours: IsOurs, outermost: str = ""
) -> tuple[object, ...] | None:
    """The local variables of the functions under test that a frame was called from, up to the
    function of the name ``outermost``.

    None: they do not tell which round it is, so that no round is like another. Either one of the
    functions is inside of a ``for`` loop that keeps its place to itself, or a variable cannot be
    read.
    """
    values: list[object] = []
    callee = ""
    while frame is not None and frame.f_code.co_qualname != outermost:
        code = frame.f_code
        if is_ours(code):
            if not _place_is_told(code, frame.f_lasti, callee):
                return None
            try:
                values += [(name, plain(value)) for name, value in sorted(frame.f_locals.items())]
            except HiddenError:
                return None
        callee = code.co_name
        frame = frame.f_back
    return tuple(values)


def plain(value: object, depth: int = MOST_DEPTH) -> object:
    """A value as numbers, strings and tuples. A cell stands for its name, and another object of
    ours that has state for its kind, because shared state is in the key of a state anyway. What
    else is ours, such as the registers of a call, is read out.

    Raises:
        HiddenError: it may keep more than can be read, as an iterator does.
    """
    ours = type(value).__module__.startswith("tdxfuzz.")
    if isinstance(value, int) and (ours or type(value) in (int, bool)):
        return int(value)
    if value is None or type(value) in (str, float, bytes):
        return value
    if isinstance(value, type | ModuleType):
        return value.__name__
    if ours:
        name = getattr(value, "name", None)
        if isinstance(name, str) or roles_of(type(value)):
            return name if isinstance(name, str) else type(value).__qualname__
    if not depth:
        raise HiddenError
    if isinstance(value, FunctionType):
        kept = [cell.cell_contents for cell in value.__closure__ or ()]
        others = [value.__defaults__, value.__kwdefaults__, vars(value)]
        return value.__name__, plain([*kept, *others], depth - 1)
    if isinstance(value, MethodType):
        return value.__name__, plain(value.__self__, depth - 1)
    if type(value) in (list, tuple, deque):
        return tuple(plain(item, depth - 1) for item in value)  # type: ignore[attr-defined]
    if type(value) is dict:
        return tuple((plain(k, depth - 1), plain(v, depth - 1)) for k, v in value.items())
    if type(value) in (set, frozenset):
        return tuple(sorted(repr(plain(item, depth - 1)) for item in value))  # type: ignore[attr-defined]
    if _keeps_all_in_its_dict(type(value)):
        return type(value).__qualname__, plain(vars(value), depth - 1)
    if ours and not _is_built_in_below(type(value)):
        fields = {name: getattr(value, name, None) for name in _fields_of(type(value))}
        fields |= getattr(value, "__dict__", {})
        return type(value).__qualname__, plain(fields, depth - 1)
    raise HiddenError


def _keeps_all_in_its_dict(kind: type) -> bool:
    """Whether the objects of a class have no other attributes than those in ``__dict__``."""
    made_in_python = kind.__flags__ & MADE_IN_PYTHON and kind.__dictoffset__
    others = any(vars(base).get("__slots__") for base in kind.__mro__)
    return bool(made_in_python) and not others and not _is_built_in_below(kind)


def _is_built_in_below(kind: type) -> bool:
    """Whether a class derives from one that is not written in Python, as an iterator would."""
    return any(base is not object and not base.__flags__ & MADE_IN_PYTHON for base in kind.__mro__)


def _fields_of(kind: type) -> Iterator[str]:
    """The attributes in the slots of a class."""
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


@cache
def _number_of(code: CodeType) -> int:
    """A number for a function, the same in every process."""
    return crc32(f"{code.co_qualname} {code.co_firstlineno}".encode())


@cache
def _place_is_told(code: CodeType, instruction: int, callee: str) -> bool:
    """Whether local variables tell which round it is, at a call: the loops around it are all
    ``while``, or ``for name in range(…)``, the call is of ``callee`` itself and not of something
    in C that calls it in turn, and no value waits for the call's result.
    """
    tree = _tree_of(code.co_filename)
    position = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    if tree is None or None in position:
        return False
    functions = [each for each in ast.walk(tree) if _begins_at(each) == code.co_firstlineno]
    loops = [loop for function in functions for loop in _loops_around(function, position[0] or 0)]
    calls = [call for function in functions for call in _calls_of_their_own(function)]
    line = position[0] or 0
    if any(_holds_a_value(node, line) for function in functions for node in ast.walk(function)):
        return False
    return all(map(_tells_its_place, loops)) and any(
        _position_of(call) == position and _name_of(call.func) == callee for call in calls
    )


def _holds_a_value(node: ast.AST, line: int) -> bool:
    """Whether a block around a line keeps a value that is in no variable: a ``finally`` what is to
    be returned or raised, an ``except`` its exception, a ``with`` what leaves it.

    A ``with`` of a lock keeps the lock, of which all is known: ``with self.lock``, ``with
    self.lock.read()``.
    """
    if isinstance(node, ast.Try | ast.TryStar):
        late: list[ast.stmt | ast.ExceptHandler] = [*node.finalbody, *node.handlers]
        return any(_around(each, line) for each in late)
    if isinstance(node, ast.With):
        inside = any(_around(each, line) for each in node.body)
        return inside and not all(_is_lock(item.context_expr) for item in node.items)
    return isinstance(node, ast.AsyncWith)


def _around(node: ast.stmt | ast.ExceptHandler, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or 0)


def _is_lock(expression: ast.expr) -> bool:
    """Whether an expression is an attribute of the design, or its ``read()`` or ``write()``."""
    match expression:
        case ast.Call(func=ast.Attribute(value=ast.expr() as lock, attr="read" | "write"), args=[]):
            return _is_lock(lock)
        case ast.Attribute(value=ast.Name(id="self")):
            return True
    return False


def _position_of(node: ast.expr) -> tuple[int | None, int | None, int | None, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _name_of(called: ast.expr) -> str:
    """The last name of what is called; "": it has none."""
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _calls_of_their_own(function: ast.AST) -> Iterator[ast.Call]:
    """The calls of a function that begin an expression: nothing was computed for it before."""
    for node in ast.walk(function):
        if isinstance(node, ast.Expr | ast.Assign | ast.Return):
            yield from _first_calls(node.value)
        elif isinstance(node, ast.While | ast.If | ast.Assert):
            yield from _first_calls(node.test)


def _first_calls(expression: ast.expr | None) -> Iterator[ast.Call]:
    match expression:
        case ast.Call():
            yield expression
        case ast.UnaryOp():
            yield from _first_calls(expression.operand)
        case ast.Compare():
            yield from _first_calls(expression.left)
        case ast.BoolOp():
            for value in expression.values:
                yield from _first_calls(value)
        case ast.Attribute():
            yield from _first_calls(expression.value)


def _begins_at(node: ast.AST) -> int:
    """The first line of a function, its decorators included; 0: it is none."""
    if isinstance(node, ast.FunctionDef):
        return min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return node.lineno if isinstance(node, ast.Lambda) else 0


def _loops_around(function: ast.AST, line: int) -> Iterator[ast.For | ast.comprehension]:
    for node in ast.walk(function):
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        if node.lineno <= line <= (node.end_lineno or 0):
            if isinstance(node, ast.For):
                yield node
            yield from getattr(node, "generators", ())


def _tells_its_place(loop: ast.For | ast.comprehension) -> bool:
    """Whether it is ``for name in range(…)``, and nothing else is assigned to the name."""
    made, name = loop.iter, loop.target
    body = loop.body if isinstance(loop, ast.For) else []
    return (
        isinstance(made, ast.Call)
        and isinstance(made.func, ast.Name)
        and made.func.id == "range"
        and all(_stays(argument, body) for argument in made.args)
        and isinstance(name, ast.Name)
        and not any(
            isinstance(node, ast.Name) and node.id == name.id and isinstance(node.ctx, ast.Store)
            for statement in body
            for node in ast.walk(statement)
        )
    )


def _stays(expression: ast.expr, body: Sequence[ast.stmt]) -> bool:
    """Whether the end of a range is known while its loop runs: it is a number, an attribute of the
    design, or a variable to which the loop assigns nothing.
    """
    match expression:
        case ast.Constant() | ast.Attribute(value=ast.Name(id="self")):
            return True
        case ast.UnaryOp(operand=operand):
            return _stays(operand, body)
        case ast.Name(id=name):
            stored = (node for statement in body for node in ast.walk(statement))
            return not any(
                isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
                for node in stored
            )
    return False


@cache
def _tree_of(path: str) -> ast.Module | None:
    text = "".join(linecache.getlines(path))
    try:
        return ast.parse(text) if text else None
    except SyntaxError:
        return None
