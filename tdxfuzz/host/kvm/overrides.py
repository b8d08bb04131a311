"""What a user's KVM may override, and what its methods must take and return.

A mistake there is told by the class and the method. Otherwise it would end in code of ours that
was called with the wrong arguments, or was given None.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from difflib import get_close_matches
from types import CodeType
from typing import TYPE_CHECKING

from tdxfuzz.abi import Registers, Status
from tdxfuzz.host.kvm.paths import Kvm
from tdxfuzz.host.result_error import ResultError

if TYPE_CHECKING:
    from tdxfuzz.host.tdx_core import TdxCore


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_errno(value: object) -> bool:
    return _is_int(value) and isinstance(value, int) and value <= 0


def _is_answer(value: object) -> bool:
    match value:
        case (int() as status, Registers()):
            return _is_int(status) and 0 <= status < 1 << 64
    return False


def _is_pair(value: object, kind: Callable[[object], bool]) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(kind, value))


RESULTS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "Answer": ("(Status, Registers)", _is_answer),
    "Answer | None": ("(Status, Registers) or None", lambda v: v is None or _is_answer(v)),
    "Iterator[None]": (
        "a context manager (contextlib.contextmanager)",
        lambda v: isinstance(v, AbstractContextManager),
    ),
    "Status": ("a Status", lambda v: isinstance(v, Status)),
    "bool": ("True or False", lambda v: isinstance(v, bool)),
    "int": ("0 or a negative errno", _is_errno),
    "int | None": ("a page frame number or None", lambda v: v is None or _is_int(v)),
    "list[int]": ("a list", lambda v: isinstance(v, list)),
    "tuple[bool, bool]": (
        "(bool, bool)",
        lambda v: _is_pair(v, lambda each: isinstance(each, bool)),
    ),
    "tuple[int, int]": ("(errno, slot)", lambda v: _is_pair(v, _is_int)),
}
"""By the annotation of Kvm's method: what it must return, in words and as a test. Of a method that
returns None, nobody looks at the result.
"""


def make_kvm(kind: type[Kvm], host: TdxCore) -> Kvm:
    """A KVM on a host. A user's methods are held to what they must return.

    Raises:
        ResultError: it does not know the host.
    """
    kvm = kind(host)
    if kind is Kvm:
        return kvm
    if getattr(kvm, "host", None) is not host:
        problem = f"{kind.__name__}.__init__() must call super().__init__(host)"
        raise ResultError(kind, "__init__", problem)
    for name in overridden(kind):
        returns = inspect.signature(getattr(Kvm, name)).return_annotation
        if returns in RESULTS:
            setattr(kvm, name, _checked(kind, name, getattr(kvm, name), returns))
    return kvm


def _checked(
    kind: type[Kvm], name: str, method: Callable[..., object], returns: str
) -> Callable[..., object]:
    """A user's method, held to what it must return."""
    words, is_right = RESULTS[returns]

    def call(*arguments: object, **named: object) -> object:
        result = method(*arguments, **named)
        if not is_right(result):
            problem = f"KVM's {name}() returned {result!r}; it must return {words}"
            raise ResultError(kind, name, problem)
        match result:
            case (int() as status, Registers() as regs):
                return Status(status), regs
        return result

    return call


def overridden(kind: type[Kvm]) -> list[str]:
    """The methods of Kvm that a class has others for."""
    return [
        name
        for name in dir(Kvm)
        if not name.startswith("__")
        and inspect.isfunction(getattr(Kvm, name))
        and inspect.getattr_static(kind, name) is not inspect.getattr_static(Kvm, name)
    ]


def problem_of(kind: type[Kvm]) -> str | None:
    """What is wrong with a user's KVM, as far as that is seen before it runs; None: nothing."""
    for name in ("__init__", *overridden(kind)):
        problem = _problem_of_method(kind, name)
        if problem is not None:
            return f"{kind.__name__}.{name} {problem}"
    for name in _without_effect(kind):
        near = get_close_matches(name.removeprefix("tdh_").removeprefix("mem_"), dir(Kvm), n=1)
        hint = f"did you mean {near[0]}?" if near else "docs/host.md lists the SEAMCALLs"
        return f"{kind.__name__}.{name} is no method of Kvm, and nothing calls it; {hint}"
    return None


def _problem_of_method(kind: type[Kvm], name: str) -> str | None:
    method = inspect.getattr_static(kind, name)
    if isinstance(method, property) or not callable(getattr(kind, name)):
        return "must be a method"
    # A decorator such as contextmanager makes a function of a generator.
    if inspect.isgeneratorfunction(method) or inspect.iscoroutinefunction(method):
        what = "generator" if inspect.isgeneratorfunction(method) else "coroutine"
        return f"must be a plain function, and no {what}"
    wanted = list(inspect.signature(getattr(object.__new__(Kvm), name)).parameters.values())
    least = [each for each in wanted if each.default is inspect.Parameter.empty]
    try:
        signature = inspect.signature(getattr(object.__new__(kind), name))
    except ValueError:
        return None
    for arguments in (least, wanted):
        try:
            signature.bind(*arguments)
        except TypeError:
            own = ", ".join(["self", *(str(each.name) for each in wanted)])
            return f"must take the arguments of Kvm's: ({own})"
    return None


def _without_effect(kind: type[Kvm]) -> Iterator[str]:
    """Methods that override nothing, and that no code of the class or of its module calls."""
    functions = {
        name: thing
        for base in kind.__mro__[: kind.__mro__.index(Kvm)]
        for name, thing in vars(base).items()
        if inspect.isfunction(thing)
    }
    called: set[str] = set()
    for function in map(inspect.unwrap, functions.values()):
        beside = filter(inspect.isfunction, function.__globals__.values())
        for each in (function, *beside):
            called |= _names_in(each.__code__)
    for name in functions:
        if not name.startswith("_") and not hasattr(Kvm, name) and name not in called:
            yield name


def _names_in(code: CodeType) -> set[str]:
    inner = (_names_in(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)
