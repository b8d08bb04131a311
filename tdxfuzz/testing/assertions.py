"""Assertions for tests: programs are clean in many orders; a steered run equals its case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NoReturn

from attrs import evolve
from hypothesis import Phase, currently_in_test_context, event, settings

from tdxfuzz.case.case import Case
from tdxfuzz.engines.draw import ORDERS, orders_of, other_orders
from tdxfuzz.engines.hunt import check_harness, confirm
from tdxfuzz.engines.statistics import BUSY
from tdxfuzz.engines.windows import Windows
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.reproducer import SUFFIX
from tdxfuzz.repro.save import Saved, save
from tdxfuzz.repro.write import write_whole
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, SetupError, run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import HarnessError
from tdxfuzz.testing.designs import Named, design_of
from tdxfuzz.testing.profiles import most_orders
from tdxfuzz.testing.run_cache import RunCache, run_cache

OUT = "TDXFUZZ_OUT"
"""Environment variable: the folder for reproducers; by default ``reproducers``."""

WIDTH = 90
"""Characters in a line of a trace: pytest indents it."""

MOST_LINES = 31
FIRST_LINES = 8
"""Lines of a trace, so that a short test prints 60 at the most. Of a longer trace the middle is
left out, behind the first lines; ``tdxfuzz show`` has it."""

_Key = tuple[Named, str, Path, str, tuple[str, ...]]
"""Design, bucket, folder, variant of the module, and the checks that listen."""

_saved: dict[_Key, Saved] = {}


class _LastWord:
    """Nothing is printed below the trace: Hypothesis would add the case before shrinking."""

    def add_note(self, note: str, /) -> None:
        """Leave it out."""


class Broken(_LastWord, AssertionError):
    """A check fired, or a run does not end. The text has the bucket, the command for a replay, and
    the shrunk trace, or where the CPUs are.
    """


class BrokenAtOnce(_LastWord, BaseException):
    """What :class:`Broken` says, or what a design did wrong, in a test that Hypothesis would
    shrink.

    Hypothesis does not catch it, so the test ends at once. Our shrinker has been at work, and
    Hypothesis's own would take minutes to come to the same.
    """


class DesignMistakes:
    """Around what runs a design: a mistake of the design ends a Hypothesis test at once, and none
    of our frames is shown.

    An example whose set-up fails is rejected, as a hunt goes on to the next case: a drawn world
    may be too small for a design. After :data:`tdxfuzz.engines.draw.MOST_FAILED` of them in a row
    the design is to blame.
    """

    def __init__(self, design: Design) -> None:
        self._cache = run_cache(design)

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        __tracebackhide__ = True
        if isinstance(error, SetupError) and currently_in_test_context():
            self._cache.leave_out()
        elif error is None:
            self._cache.failed = 0
        if isinstance(error, HarnessError):
            if _would_shrink():
                raise BrokenAtOnce(str(error)) from None
            raise error.with_traceback(None) from None


def assert_clean(case: Case, design: Design = None, orders: int | None = None) -> Run:
    """Run a case as it is; then its programs in other orders, those first that matter most.
    Return the first run if no check fired in any.

    Programs that have more to do with each other are run in more orders, as in a hunt. The same
    case is always run in the same orders.

    The first finding is shrunk and written as a reproducer, once for each bucket.

    Args:
        case: what to run.
        design: the class that ``case.design`` names, if the case was not drawn for it.
        orders: how many other orders at the most: so many of programs with much contention. By
            default the Hypothesis profile says it.

    In a Hypothesis test an example whose set-up fails is rejected, unless many of them do.

    Raises:
        Broken: a check fired.
        BrokenAtOnce: the same, or a HarnessError, in a Hypothesis test with the phase ``shrink``.
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    __tracebackhide__ = True
    named = design_of(case.design, design)
    with DesignMistakes(named.design):
        first, broken = _search(case, named, most_orders() if orders is None else orders)
        if broken is not None:
            _fail(broken, named)
    return first


def _search(case: Case, named: Named, orders: int) -> tuple[Run, Run | None]:
    """The run of a case, and the first run of its programs that has a finding or does not end."""
    cache = run_cache(named.design)
    runs = runs_of(case, cache, orders)
    first = next(runs)
    cache.examples += 1
    check_harness(first, cache.examples, named.design, is_new=False)
    if currently_in_test_context():
        _tell_hypothesis(first)
    if first.shown is not None:
        return first, first
    for other in runs:
        cache.orders += 1
        check_harness(other, cache.orders, named.design, is_new=False)
        if other.shown is not None:
            return first, other
    return first, None


def runs_of(case: Case, cache: RunCache, orders: int) -> Iterator[Run]:
    """A case's own run, then its programs in the default order, then in others."""
    base = cache.base(case)
    if case.schedule:
        yield cache.run(case)
    yield base.run
    engine, rng = Windows(), Random(repr(case))
    most = orders * orders_of(base) // max(ORDERS.values())
    yield from other_orders(base, rng, engine, most)


def _fail(found: Run, named: Named) -> NoReturn:
    """Shrink, save, and say so."""
    __tracebackhide__ = True
    case, shown = found.case, found.shown
    assert shown is not None
    out = Path(os.environ.get(OUT, "reproducers"))
    key = named, shown.bucket, out.absolute(), case.world.module_variant, case.checks
    if key not in _saved:
        found = evolve(found, case=evolve(case, design=named.own_name))
        best = found
        if found.finding is not None:
            best = shrink(confirm(found, named.design), named.design).run
        _saved[key] = save(best, found, out, design=named.design, design_file=named.file)
    elif not _saved[key].path.exists():
        write_whole(_saved[key].text, _saved[key].path)
    text = _text(_saved[key], named)
    raise BrokenAtOnce(text) if _would_shrink() else Broken(text)


def _text(saved: Saved, named: Named) -> str:
    shown = saved.run.shown
    assert shown is not None
    if saved.run.finding is None:
        return "\n".join([shown.bucket, "", *_how_to_replay(saved.path, named), "", shown.message])
    trace = columns(saved.run, WIDTH).rstrip().splitlines()
    if len(trace) > MOST_LINES:
        left_out = len(trace) - MOST_LINES + 1
        gap = f"  … {left_out} lines: tdxfuzz show {saved.path} …"
        trace = [*trace[:FIRST_LINES], gap, *trace[FIRST_LINES + left_out :]]
    return "\n".join([shown.bucket, "", *_how_to_replay(saved.path, named), "", *trace])


def _how_to_replay(path: Path, named: Named) -> tuple[str, str]:
    replay = f"tdxfuzz replay {path}"
    kvm = named.kvm_argument
    is_users = named.design is not None and named.name.partition("+")[0] not in DESIGNS
    if named.design is not None and (kvm == "" or (is_users and not named.argument)):
        name = named.design.__name__
        if kvm == "" and named.design.kvm is not None:
            name = named.design.kvm.__name__
            return (
                f"Reproducer: {path}. To replay it, put {name} at the top level of a file:",
                f"{replay} --kvm FILE.py:{name}",
            )
        return (
            f"Reproducer: {path}. To replay it, put {name} at the top level of a file:",
            f"{replay} --design FILE.py:{name}",
        )
    folder, test = path.parent, path.name.removesuffix(SUFFIX)
    pytest = f"pytest -p tdxfuzz.pytest_plugin --tdx-regressions {folder} -k {test}"
    if named.argument:
        replay += f" --design {named.argument}"
        pytest += f" --tdx-design {named.argument}"
    if kvm:
        replay += f" --kvm {kvm}"
        pytest += f" --tdx-kvm {kvm}"
    return f"Reproduce with: {replay}", f"            or: {pytest}"


def forget() -> None:
    """Shrink and save each bucket anew, as a new process would."""
    _saved.clear()


def _would_shrink() -> bool:
    """Whether Hypothesis runs the test, and would go on with an example that fails."""
    return currently_in_test_context() and Phase.shrink in settings().phases


def _tell_hypothesis(found: Run) -> None:
    """For ``--hypothesis-show-statistics``: how much the CPUs had to do with each other."""
    busy = sum(count for (_, code), count in found.calls.items() if code == BUSY)
    event(f"contention: {found.contention.name.lower()}")
    event(f"busy: {'never' if not busy else 'once' if busy == 1 else 'several times'}")
    if found.adds_met:
        event("a pair was added while another CPU used its range")


def assert_same(steered: Run, case: Case, design: Design = None) -> None:
    """A steered run and the case made from it have the same result.

    Raises:
        NotDeterministicError: the results differ, because the design is not deterministic.
        AssertionError: they differ, because of a bug in the simulator.
    """
    __tracebackhide__ = True
    again = run(case, design)
    for what, one, other in (
        ("steps", steered.outcome.steps, again.outcome.steps),
        ("end", steered.outcome.end, again.outcome.end),
        ("findings", steered.findings, again.findings),
        ("calls", steered.calls, again.calls),
    ):
        if one != other:
            check_harness(again, 1, design, is_new=True)
            raise AssertionError(
                f"the steered run and its case differ in {what}: {one} and {other}: {case}"
            )
