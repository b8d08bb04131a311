"""A design that raises anything, hangs, or keeps state outside of cells is told."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import pytest
from attrs import evolve
from greenlet import GreenletExit

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.blame import HANG, DesignError
from tdxfuzz.run.session import run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import OutOfTime, time_limit, watchdog

PROGRAM = (Op("create", (0,)), Op("destroy", (0,)))
CASE = Case("Mine", World(cpus=1), (), (PROGRAM,))
IN_SETUP = Case("Mine", World(cpus=1), PROGRAM, ((),))


def that(put: Callable[[], object]) -> type[RefcountLayer]:
    """A design whose ``put`` does this first."""

    class Mine(Merged):
        def put(self, pfn: int, hint: bool = False) -> None:
            put()
            super().put(pfn)

    return Mine


def raising(error: BaseException) -> type[RefcountLayer]:
    def put() -> None:
        raise error

    return that(put)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 0.4)
    monkeypatch.setattr(watchdog, "TICK", 0.02)
    time.sleep(0.3)  # until the thread has woken up once


@pytest.mark.parametrize("case", [CASE, IN_SETUP], ids=["program", "set-up"])
@pytest.mark.parametrize(
    "error",
    [
        LookupError("x"),
        BaseException("x"),
        SystemExit(0),
        GeneratorExit(),
        KeyboardInterrupt(),
        GreenletExit(),
        asyncio.CancelledError(),
        StopIteration(),
    ],
    ids=repr,
)
def test_whatever_a_design_raises_is_its_error(case: Case, error: BaseException) -> None:
    with pytest.raises(DesignError, match=f"Mine raised {type(error).__name__}") as caught:
        run(case, raising(error))
    assert "test_run_blame.py:" in str(caught.value)
    up_to_there = caught.value.run
    assert up_to_there is not None
    assert up_to_there.finding is not None
    assert up_to_there.finding.bucket == f"crash/{type(error).__name__}/put/-"


def test_the_run_up_to_an_error_is_made_again_by_its_order() -> None:
    with pytest.raises(DesignError) as first:
        run(CASE, raising(KeyError("x")))
    assert first.value.run is not None
    with pytest.raises(DesignError) as again:
        run(first.value.run.case, raising(KeyError("x")))
    assert again.value.run == first.value.run


class ReturnsNone(Merged):
    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        super().get(pfn, cache)
        return None  # type: ignore[return-value]


class ReleasesWhatItDoesNotHold(Merged):
    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.dpamt_lock.release()
        return super().get(pfn, cache)


@pytest.mark.parametrize("case", [CASE, IN_SETUP], ids=["program", "set-up"])
@pytest.mark.parametrize(
    ("layer", "what"), [(ReturnsNone, "ResultError"), (ReleasesWhatItDoesNotHold, "HarnessError")]
)
def test_a_wrong_use_of_the_harness_has_a_line_and_a_run(
    case: Case, layer: type[RefcountLayer], what: str
) -> None:
    with pytest.raises(DesignError, match=r"\(.*test_run_blame\.py:\d+\)$") as caught:
        run(case, layer)
    up_to_there = caught.value.run
    assert up_to_there is not None
    assert up_to_there.finding is not None
    assert up_to_there.finding.bucket == f"crash/{what}/get/-"


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def press_and_hand_on() -> None:
    try:
        press()
    except KeyboardInterrupt as interrupt:
        raise interrupt
    finally:
        [].clear()


@pytest.mark.parametrize("case", [CASE, IN_SETUP], ids=["program", "set-up"])
@pytest.mark.parametrize("body", [press, press_and_hand_on])
def test_ctrl_c_is_no_error_of_a_design(case: Case, body: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(case, that(body))


def test_a_handler_of_ctrl_c_may_raise() -> None:
    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(CASE, that(press))
    finally:
        signal.signal(signal.SIGINT, before)


def spin() -> None:
    n = 0
    while n >= 0:
        n += 1


def spin_against_exceptions() -> None:
    try:
        spin()
    except Exception:
        spin()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("case", [CASE, IN_SETUP], ids=["program", "set-up"])
@pytest.mark.parametrize(
    "body", [spin, spin_against_exceptions, lambda: time.sleep(100)], ids=["spin", "tries", "sleep"]
)
def test_code_that_makes_no_step_is_ended_and_its_line_named(
    case: Case, body: Callable[[], None]
) -> None:
    with pytest.raises(DesignError, match=r"Mine hangs in .*test_run_blame\.py:\d+\): no step"):
        run(case, that(body))


@pytest.mark.usefixtures("impatient")
def test_a_world_can_be_used_again_after_a_hang() -> None:
    hangs = True

    class Mine(Merged):
        def put(self, pfn: int, hint: bool = False) -> None:
            if hangs:
                spin()
            super().put(pfn)

    worlds = Worlds(Mine)
    with pytest.raises(DesignError):
        worlds.run(CASE)
    hangs = False
    assert Worlds(Mine).run(CASE).finding is None


def test_a_set_up_that_steps_for_ever_is_ended() -> None:
    class Mine(Merged):
        def setup(self) -> None:
            super().setup()
            self.flag = self.atomic("flag", 1)

        def put(self, pfn: int, hint: bool = False) -> None:
            while self.flag.read():
                pass
            super().put(pfn)

    with pytest.raises(DesignError, match=r"Mine hangs in .*put.*set-up took more than"):
        run(IN_SETUP, Mine)


def wait_at_retry_points(layer: RefcountLayer) -> None:
    while True:
        layer.cpu_relax()


def spin_with_steps(layer: RefcountLayer) -> None:
    flag = layer.atomic("flag")
    while not flag.read():
        pass


@pytest.mark.parametrize("body", [wait_at_retry_points, spin_with_steps])
def test_a_design_whose_own_set_up_does_not_end_is_told(
    body: Callable[[RefcountLayer], None],
) -> None:
    class Mine(Merged):
        def setup(self) -> None:
            body(self)

    with pytest.raises(DesignError, match=rf"Mine hangs in {body.__name__} .*blame\.py") as problem:
        run(CASE, Mine)
    assert problem.value.kind == HANG


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("case", [CASE, IN_SETUP], ids=["program", "set-up"])
def test_a_time_limit_holds_within_a_run(case: Case) -> None:
    with pytest.raises(OutOfTime), time_limit(0.1):
        run(case, that(lambda: time.sleep(0.3)))


COUNT = 0
SEEN: list[int] = []


def count() -> None:
    global COUNT
    COUNT += 1


def test_state_in_a_module_is_told_by_its_name() -> None:
    with pytest.raises(
        DesignError, match="outside of cells: module global COUNT of test_run_blame"
    ):
        run(CASE, that(count))
    with pytest.raises(DesignError, match="outside of cells: module global SEEN of test_run_blame"):
        run(IN_SETUP, that(lambda: SEEN.append(1)))


def test_state_that_changes_in_a_later_run_is_told_too() -> None:
    class Mine(Merged):
        late: list[int] = []  # noqa: RUF012 that is the mistake

        def put(self, pfn: int, hint: bool = False) -> None:
            self.late.append(pfn)
            super().put(pfn)

    worlds = Worlds(Mine)
    for _ in range(9):
        worlds.run(evolve(CASE, programs=((Op("create", (0,)),),)))

    def nine_more() -> None:
        for _ in range(9):
            worlds.run(CASE)

    with pytest.raises(DesignError, match=r"class attribute Mine\.late"):
        nine_more()
