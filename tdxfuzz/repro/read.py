"""Read reproducer files: each field is checked, nothing is executed or imported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import cattrs
from attrs import evolve, field, frozen, validators

from tdxfuzz.case.case import DEFAULT_STEPS, Case, CaseError
from tdxfuzz.case.faults import fault_of
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.case.untrusted import UntrustedError, toml_tables
from tdxfuzz.case.untrusted import read_text as read_untrusted
from tdxfuzz.case.world import World
from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.module.module import MODEL_VERSION
from tdxfuzz.module.variants import variant_of
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.fields import line_of, misfit
from tdxfuzz.repro.reproducer import FORMAT, DesignFile, Expect, Origin, Reproducer
from tdxfuzz.sim import Fault, Schedule, Switch

T = TypeVar("T")
F = TypeVar("F", bound="_CaseFile")


@frozen
class _Design:
    name: str = field(validator=validators.instance_of(str))
    file: str | None = None
    class_name: str | None = None
    sha256: str | None = None


@frozen
class _KvmTable:
    file: str | None = None
    class_name: str | None = None
    sha256: str | None = None


@frozen
class _Operations:
    operations: tuple[Op, ...] = ()


@frozen
class _Schedule:
    switches: tuple[Switch, ...] = ()
    loop: tuple[int, int] | None = None
    faults: tuple[Fault, ...] = ()
    steps: int = DEFAULT_STEPS


@frozen(kw_only=True)
class _CaseFile:
    """The tables of every file."""

    format: int
    model: str
    design: _Design
    cpu: tuple[_Operations, ...]
    kvm: _KvmTable | None = None
    world: World = field(factory=World)
    setup: _Operations = _Operations()
    schedule: _Schedule = _Schedule()


@frozen(kw_only=True)
class _File(_CaseFile):
    """The tables of a reproducer: a case, and the finding that it must show."""

    expect: Expect
    origin: Origin | None = None


@frozen
class _About:
    """What a scenario is about, and the preemptions within which it is searched by default."""

    about: str = field(default="", validator=validators.instance_of(str))
    preemptions: int | None = field(default=None, validator=validators.optional(validators.ge(0)))


@frozen(kw_only=True)
class _ScenarioFile(_CaseFile):
    """The tables of a scenario: the command line says which design runs it."""

    model: str = MODEL_VERSION
    design: _Design = _Design("")
    scenario: _About = _About()


def _exactly(value: object, kind: type[T]) -> T:
    """Take a value of exactly this type: "3", true and 3.0 are not the number 3."""
    if type(value) is not kind:
        raise TypeError(f"must be {_KINDS[kind]}, not {value!r}")
    return value


_PLACES = {
    "setup": "setup.operations",
    "programs": "cpu",
    "schedule": "schedule.switches",
    "faults": "schedule.faults",
}
"""The field of a file in which a part of a case stands."""

_OF_A_FINDING = ("expect", "origin")
"""Tables of a reproducer that say nothing of its case."""

_VARIANT_FIELDS = ("variant_file", "variant_sha256")
"""Fields of a world that say where a user's variant was from."""

_KINDS: dict[type, str] = {int: "a number", str: "a string", bool: "true or false"}


def _pair(value: object, what: str) -> tuple[object, object]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError(f"must be [{what}], not {value!r}")
    return value[0], value[1]


def _switch(value: object, _: object) -> Switch:
    step, cpu = _pair(value, "step, CPU")
    return Switch(_exactly(step, int), _exactly(cpu, int))


def _fault(value: object, _: object) -> Fault:
    if isinstance(value, str):
        return fault_of(value)
    kind, index = _pair(value, "kind, index")
    return Fault(_exactly(kind, str), _exactly(index, int))


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    for kind in (int, str, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(Op, lambda value, _: Op.parse(_exactly(value, str)))
    converter.register_structure_hook(Switch, _switch)
    converter.register_structure_hook(Fault, _fault)
    return converter


def read(path: Path) -> Reproducer:
    """Read a reproducer file.

    Raises:
        ReproducerError: the file cannot be read, or is not a reproducer. The text names file,
            line and field.
    """
    return parse(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of an untrusted file.

    Raises:
        ReproducerError: the file cannot be read, is too large, or is not text.
    """
    try:
        return read_untrusted(path, "a reproducer")
    except UntrustedError as error:
        raise ReproducerError(path, 0, "", error.problem) from None


def parse(text: str, path: Path | str = "<text>") -> Reproducer:
    """The reproducer in a text. Only messages use ``path``.

    Raises:
        ReproducerError: see :func:`read`.
    """
    file = _structured(_tables(text, path), _File, path, text)
    case = _case(file, file.expect.checks, path, text)
    for i, check in enumerate(case.checks):
        if check not in ALL_CHECKS:
            known = ", ".join(ALL_CHECKS)
            raise _error(
                path,
                text,
                f"expect.checks[{i}]",
                f"unknown check {check!r}; known: {known} (see `tdxfuzz list checks`)",
            )
    return Reproducer(
        case,
        file.expect,
        file.origin,
        _user_file(file.design, "design", path, text),
        None if file.kvm is None else _user_file(file.kvm, "kvm", path, text),
    )


def parse_case(text: str, path: Path | str = "<text>") -> Case:
    """The case in a text: an entry of a corpus, or a reproducer without its finding.

    Raises:
        ReproducerError: see :func:`read`.
    """
    tables = _tables(text, path)
    for name in _OF_A_FINDING:
        tables.pop(name, None)
    file = _structured(tables, _CaseFile, path, text)
    _user_file(file.design, "design", path, text)
    if file.kvm is not None:
        _user_file(file.kvm, "kvm", path, text)
    return _case(file, (), path, text)


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file. It is called as the file is.

    A reproducer says all that a scenario does; its order, its finding and its design are left
    aside.

    Raises:
        ReproducerError: the file cannot be read, or is no scenario. The text names file, line and
            field.
    """
    return parse_scenario(read_text(path), path)


def parse_scenario(text: str, path: Path) -> Scenario:
    """The scenario in the text of a file.

    Raises:
        ReproducerError: see :func:`read_scenario`.
    """
    tables = _tables(text, path)
    for name in _OF_A_FINDING:
        tables.pop(name, None)
    file = _structured(tables, _ScenarioFile, path, text)
    file = evolve(file, schedule=evolve(file.schedule, switches=(), loop=None))
    case = _case(file, (), path, text)
    return Scenario(
        path.name,
        file.scenario.about,
        case.world,
        case.setup,
        case.programs,
        file.scenario.preemptions,
        case.faults,
        case.steps,
        str(path),
    )


def has_finding(path: Path) -> bool:
    """Whether a file says which finding a replay must show: a reproducer and no scenario.

    Raises:
        ReproducerError: the file cannot be read, or is not TOML.
    """
    return "expect" in _tables(read_text(path), path)


def _tables(text: str, path: Path | str) -> dict[str, object]:
    try:
        tables = toml_tables(text)
    except UntrustedError as error:
        raise ReproducerError(path, error.line, "", error.problem) from None
    version = tables.get("format")
    if type(version) is not int:
        raise _error(
            path,
            text,
            "format",
            f"missing, or not a number; a file of this kind has format = {FORMAT}",
        )
    if version > FORMAT:
        raise _error(path, text, "format", f"{version} is later than {FORMAT}; use a newer tdxfuzz")
    if version < 1:
        raise _error(path, text, "format", f"{version} does not exist; must be 1..{FORMAT}")
    return tables


def _structured(tables: dict[str, object], kind: type[F], path: Path | str, text: str) -> F:
    _take_variant_file(tables, path, text)
    wrong = misfit(tables, kind)
    if wrong is not None:
        raise _error(path, text, *wrong)
    try:
        file = _converter().structure(tables, kind)
    except cattrs.BaseValidationError as error:
        where, problem = _first_problem(error)
        raise _error(path, text, where, problem) from None
    if file.model != MODEL_VERSION:
        raise _error(
            path, text, "model", f"{file.model!r} is not modelled here; only {MODEL_VERSION!r} is"
        )
    return file


def _take_variant_file(tables: dict[str, object], path: Path | str, text: str) -> None:
    """Where a user's variant was from is for people. It is not loaded: the user names it again.

    Raises:
        ReproducerError: the variant was not named, or the fields are not strings.
    """
    world = tables.get("world")
    if not isinstance(world, dict):
        return
    file, digest = (world.pop(name, None) for name in _VARIANT_FIELDS)
    for name, value in zip(_VARIANT_FIELDS, (file, digest), strict=True):
        if value is not None and not isinstance(value, str):
            raise _error(path, text, f"world.{name}", f"must be a string, not {value!r}")
    variant = world.get("module_variant")
    if file is not None and isinstance(variant, str) and variant_of(variant) is None:
        problem = f"{variant} is a user's variant; add --module-variant {file}:{variant}"
        raise _error(path, text, "world.module_variant", problem)


def _case(file: _CaseFile, checks: tuple[str, ...], path: Path | str, text: str) -> Case:
    try:
        schedule = Schedule(file.schedule.switches)
    except ValueError as error:
        raise _error(path, text, "schedule.switches", str(error)) from None
    try:
        schedule = evolve(schedule, loop=file.schedule.loop)
    except ValueError as error:
        raise _error(path, text, "schedule.loop", str(error)) from None
    try:
        return Case(
            design=file.design.name,
            world=file.world,
            setup=file.setup.operations,
            programs=tuple(cpu.operations for cpu in file.cpu),
            schedule=schedule,
            faults=file.schedule.faults,
            steps=file.schedule.steps,
            checks=checks,
        )
    except CaseError as error:
        where = _PLACES[error.part] + "".join(f"[{i}]" for i in error.index)
        if error.part == "programs" and error.index:
            where = "cpu[{}].operations[{}]".format(*error.index)
        raise _error(path, text, where, error.problem) from None
    except ValueError as error:
        where, problem = _first_problem(error, "schedule")
        raise _error(path, text, where, problem) from None


def _user_file(
    table: _Design | _KvmTable, name_of_table: str, path: Path | str, text: str
) -> DesignFile | None:
    given = {"file": table.file, "class_name": table.class_name, "sha256": table.sha256}
    if name_of_table == "design" and all(value is None for value in given.values()):
        return None
    whose = "a user's design" if name_of_table == "design" else "a user's KVM"
    for name, value in given.items():
        if value is None:
            raise _error(
                path,
                text,
                f"{name_of_table}.{name}",
                f"missing; {whose} needs file, class_name and sha256",
            )
    try:
        return DesignFile(str(table.file), str(table.class_name), str(table.sha256))
    except ValueError:
        raise _error(path, text, f"{name_of_table}.sha256", "must be 64 hex digits") from None


def _first_problem(error: BaseException, where: str = "") -> tuple[str, str]:
    """The innermost first error, and the field it belongs to."""
    if isinstance(error, cattrs.IterableValidationError):
        inner, item = error.group_exceptions()[0][0]
        return _first_problem(inner, f"{where}[{item.index}]")
    if isinstance(error, cattrs.ClassValidationError):
        with_notes, without_notes = error.group_exceptions()
        if with_notes:
            inner, attribute = with_notes[0]
            name = attribute.name
            return _first_problem(inner, f"{where}.{name}" if where else name)
        return _first_problem(without_notes[0], where)
    text = str(error)
    named = re.match(r"'(\w+)' (must .*)", text, re.DOTALL)
    if named is None:
        return where, text
    name, problem = named.groups()
    return (where if where.rpartition(".")[2] == name else f"{where}.{name}"), problem


def _error(path: Path | str, text: str, where: str, problem: str) -> ReproducerError:
    return ReproducerError(path, line_of(text, where), where, problem)
