"""Every field of a host is declared, and is what its declaration says.

The tests walk all objects that can be reached from a session, whatever leads to them, after its
set-up and after a run. What the walk leaves aside are values: numbers, text, enums, frozen attrs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType

import pytest
from attrs import evolve
from greenlet import greenlet

from c_layers import needs_compiler, twin
from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import ALLOC, INTERRUPT, REFUSE
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.check.linearizable import Called
from tdxfuzz.generate.hostile_calls import hostile_case
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.hold import Context
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.pamt import PamtPage
from tdxfuzz.run.observer import Observer
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Session
from tdxfuzz.sim import Cell, Cpu, Declared, Fault, Schedule, WaitLock, roles_of
from tdxfuzz.sim.livelock import Rounds
from tdxfuzz.sim.schedule import Switch
from waiting_designs import Completed, CountedPerCpu, Recorded, TabledLater
from workqueue_designs import Deferred

VALUES = (
    int,
    str,
    bytes,
    float,
    type(None),
    type,
    Enum,
    range,
    ModuleType,
    BaseException,
    greenlet,
)
REFUSES = Switch.__setattr__
"""What attrs gives each frozen class."""


def scenario(name: str, design: str, *faults: Fault) -> Case:
    return evolve(SCENARIOS[name].case(design), faults=faults)


OWN: dict[str, type[RefcountLayer]] = {
    design.__name__: design
    for design in (Deferred, Recorded, CountedPerCpu, TabledLater, Completed)
}
"""Designs with primitives that the built-in ones do without."""

CASES = {
    "plain": scenario("map-zap", "merged"),
    "hints": scenario("map-map", "hint-retry"),
    "softirqs": scenario("destroy-create", "v5"),
    "irqsave": scenario("destroy-create", "v5-irqsave"),
    "huge": scenario("zap2m-fault", "merged"),
    "split": scenario("split-fault", "v3"),
    "vcpu": scenario("vcpu-map", "v6-base"),
    "vcpu goes": evolve(
        scenario("vcpu-map", "merged"),
        setup=tuple(map(Op.parse, ("create 0", "create 1", "vcpu 0", "map 0 0"))),
        programs=((Op.parse("destroy 0"),), (Op.parse("map 1 0"),)),
    ),
    "pool": scenario("map-map", "dedicated-pool"),
    "rwlocks": scenario("map-map", "per-range-rwlock-ordered"),
    "one rwlock": scenario("fault-fault", "global-rwlock"),
    "no memory": scenario("map-map", "merged", Fault(ALLOC, 1)),
    "refused": scenario("map-map", "merged", Fault(REFUSE, 2), Fault(INTERRUPT, 1)),
    "no dynamic PAMT": evolve(
        scenario("map-zap", "merged"),
        world=evolve(SCENARIOS["map-zap"].case("merged").world, dynamic_pamt=False),
    ),
    **{name: scenario("map-map", name) for name in OWN},
    "calls": hostile_case(
        "blocked",
        2,
        (
            (Op.parse("TDH.MEM.PAGE.REMOVE rcx=0 rdx=B128"),),
            (Op.parse("TDH.PHYMEM.PAMT.REMOVE rcx=A0|1"),),
        ),
    ),
}

IN_C = "InC"

every_case = pytest.mark.parametrize(
    "case",
    [
        *(pytest.param(case, id=name) for name, case in CASES.items()),
        pytest.param(scenario("map-zap", IN_C), id="in C", marks=needs_compiler),
    ],
)


def set_up(case: Case) -> Session:
    design = twin("merged") if case.design == IN_C else OWN.get(case.design)
    session = Session(case, design)
    # What looks for state outside of cells remembers its looks from run to run, on purpose.
    session._outside._first = None
    session.overhear()
    session.keep()
    return session


SOME_CHANGES = Schedule.of([(step, (step // 40) % 2) for step in range(40, 400, 40)])


def run(session: Session) -> Run:
    """Run the programs, with a few changes of CPU."""
    session.rewind(session.case.with_schedule(SOME_CHANGES), traced=True)
    return session.run_programs()


def is_value(thing: object) -> bool:
    return isinstance(thing, VALUES) or type(thing).__setattr__ is REFUSES


def fields_of(thing: object) -> dict[str, object]:
    """All attributes of an object by name."""
    found = dict(getattr(thing, "__dict__", {}))
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name) and name not in ("__dict__", "__weakref__"):
                found[name] = getattr(thing, name)
    return found


def inside(thing: object) -> Iterable[object]:
    """What an object of a built-in kind consists of."""
    match thing:
        case dict():
            return [*thing.keys(), *thing.values()]
        case list() | tuple() | set() | frozenset():
            return thing
        case MethodType() | BuiltinMethodType():
            return [thing.__self__]
        case partial():
            return [thing.func, *thing.args, *thing.keywords.values()]
        case FunctionType():
            return [cell.cell_contents for cell in thing.__closure__ or ()]
    return ()


def objects(*roots: object, leave_out: tuple[str, ...] = ()) -> Iterator[object]:
    """Each object of ours that can be reached, but for fields of some roles."""
    seen: dict[int, object] = {}
    ahead: list[object] = list(roots)
    while ahead:
        thing = ahead.pop()
        if id(thing) in seen or is_value(thing):
            continue
        seen[id(thing)] = thing
        ahead += inside(thing)
        if type(thing).__module__.startswith("tdxfuzz."):
            yield thing
            roles = roles_of(type(thing))
            ahead += [v for n, v in fields_of(thing).items() if roles.get(n) not in leave_out]


def roots_of(session: Session) -> tuple[object, ...]:
    return session.host, session.sim, session._checks, session._in_flight, session._tally


def undeclared(*roots: object) -> list[str]:
    return sorted(
        {
            f"{type(thing).__name__}.{name}"
            for thing in objects(*roots)
            for name in fields_of(thing)
            # What a design assigns in its setup is fixed, and compared after each run.
            if name not in roles_of(type(thing)) and not isinstance(thing, RefcountLayer)
        }
    )


@every_case
def test_every_field_is_declared(case: Case) -> None:
    session = set_up(case)
    assert undeclared(*roots_of(session)) == []
    run(session)
    assert undeclared(*roots_of(session)) == []


class Forgetful(Cell):
    """A class with a field that nobody declared."""

    __slots__ = ("count",)
    __module__ = "tdxfuzz.tests"

    def __init__(self, session: Session) -> None:
        super().__init__(session.sim)
        self.count = 0


def test_a_field_that_is_not_declared_is_found_wherever_it_is() -> None:
    session = set_up(CASES["plain"])
    session.host.vms[0].sptes[0, 0] = Forgetful(session)  # type: ignore[assignment]
    assert undeclared(*roots_of(session)) == ["Forgetful.count"]


def another(value: object, session: Session, name: str) -> object:
    """A value that a field could have as well."""
    match value:
        case int() if name == "refused":
            return 0 if value else 1  # it counts whether there were any
        case bool():
            return not value
        case Enum():
            kind = type(value)
            return next(each for each in kind if each is not value)
        case int():
            return value + 1
        case str():
            return f"{value}x"
        case bytes():
            return value + b"x"
        case Cpu():
            return next(cpu for cpu in session.sim.cpus if cpu is not value)
        case dict() if name == "_open":
            return {9: Called(9, 0, 0, 0, (), frozenset())}
        case dict():
            return dict(list(value.items())[1:]) if value else {0: 0}
        case set():
            return value ^ {1 << 40}
        case frozenset():
            return value ^ {(9, 9)}
        case list():
            return value[1:] if value else [cpu_or_number(session, name)]
        case tuple() if name == "backing":
            return value[1:] or (PamtPage(session.sim, 1 << 40),)
        case tuple():
            return value[1:] if value else (0,)
        case None:
            return {
                "dead": ModuleFatal(1, "so"),
                "owner": session.sim.cpus[0],
                "writer": session.sim.cpus[0],
                "waiting_for": session.host.tdx_lock,
            }.get(name, 1)
    return None


def cpu_or_number(session: Session, name: str) -> object:
    cpu = session.sim.cpus[0]
    return {"queue": (cpu, True), "readers": cpu, "callbacks": (1, "a page", True)}.get(name, 1)


def changes_key(session: Session, thing: object, name: str, value: object) -> bool:
    """Whether the key of the state is another if a field has another value."""
    observer = Observer(session.host, session.remembered)
    before, key = getattr(thing, name), observer.key()
    setattr(thing, name, value)
    try:
        return observer.key() != key
    finally:
        setattr(thing, name, before)


ELSEWHERE = {
    # In a search no number of rounds counts as a livelock, see Explorer.
    (Rounds, "_of"),
    (Rounds, "_dirty"),
}


def fields_with_role(session: Session, *wanted: str) -> Iterator[tuple[object, str, object]]:
    """Every field of some roles of what belongs to a session."""
    for thing in objects(*roots_of(session), leave_out=("derived",)):
        for name, role in roles_of(type(thing)).items():
            if role in wanted and hasattr(thing, name):
                yield thing, name, getattr(thing, name)


@every_case
def test_a_change_of_what_is_shared_or_remembered_changes_the_key(case: Case) -> None:
    session = set_up(case)
    run(session)
    missed = set()
    for thing, name, value in list(fields_with_role(session, "shared", "memory")):
        if (type(thing), name) in ELSEWHERE or is_asked_elsewhere(session, thing, name):
            continue
        new = another(value, session, name)
        if isinstance(thing, HeldLocks):
            new = ways(session, thing, name)
        if not changes_key(session, thing, name, new):
            missed.add(f"{type(thing).__name__}.{name}: {value!r} to {new!r}")
    assert not missed


def ways(session: Session, held: HeldLocks, name: str) -> object:
    lock = session.host.tdx_lock
    return {(lock, lock): (0, 0)} if name == "nested" else {(lock, Context.SOFTIRQ): (0, 0)}


def is_asked_elsewhere(session: Session, thing: object, name: str) -> bool:
    """Fields of which only part counts, or whose part of the key is tested by itself."""
    if thing is session.host.pages and name == "count":
        return not session.host.pages.failing
    # The list of checks is read check by check.
    return name == "held_locks"


def test_how_many_allocations_there_were_counts_where_one_is_to_fail() -> None:
    session = set_up(CASES["no memory"])
    run(session)
    assert changes_key(session, session.host.pages, "count", 99)


@every_case
def test_a_change_of_a_tally_changes_no_key(case: Case) -> None:
    session = set_up(case)
    run(session)
    counted = list(fields_with_role(session, "tally"))
    assert len(counted) > 15
    for thing, name, value in counted:
        assert not changes_key(session, thing, name, another(value, session, name)), name


@every_case
def test_a_change_of_a_tally_changes_nothing_that_happens(case: Case) -> None:
    session = set_up(case)
    as_it_is = what_happened(run(session))
    session.rewind(session.case.with_schedule(SOME_CHANGES), traced=True)
    for thing, name, value in list(fields_with_role(session, "tally")):
        if isinstance(value, int | None):
            setattr(thing, name, another(value, session, name))
    assert what_happened(session.run_programs()) == as_it_is


def what_happened(found: Run) -> tuple[object, ...]:
    assert found.trace is not None
    return found.trace.hash(), [finding.bucket for finding in found.findings]


@every_case
def test_nothing_that_is_fixed_changes_in_a_run(case: Case) -> None:
    session = set_up(case)
    session.rewind(session.case)
    before = list(fields_with_role(session, "fixed"))
    copies = [list(inside(value)) for _, _, value in before]
    run(session)
    for (thing, name, value), copy in zip(before, copies, strict=True):
        if name == "case":
            continue
        assert getattr(thing, name) is value or getattr(thing, name) == value, name
        assert list(inside(value)) == copy, name


def everything(session: Session) -> list[tuple[object, str, object, list[object]]]:
    """Each field of each object, with its value and what that consists of."""
    return [
        (thing, name, value, list(inside(value)))
        for thing in objects(*roots_of(session))
        for name, value in fields_of(thing).items()
    ]


@every_case
def test_what_is_put_back_is_all_there_is(case: Case) -> None:
    session = set_up(case)
    session.rewind(session.case)
    before = everything(session)
    run(session)
    session.rewind(session.case)
    for thing, name, value, parts in before:
        if name in ("case", "faults", "policy"):
            continue  # new for each run
        now = getattr(thing, name)
        assert now is value or now == value, f"{thing}.{name}"
        assert list(inside(now)) == parts or isinstance(now, WaitLock), f"{thing}.{name}"


def test_names_are_checked_where_they_are_declared() -> None:
    with pytest.raises(ValueError, match="'a-b' cannot be declared as shared"):
        Declared(shared="a-b")
    with pytest.raises(ValueError, match="'a' cannot be declared as fixed"):
        Declared(shared="a", fixed="a")
