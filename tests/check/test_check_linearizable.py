"""linearizable: fires where an update is lost, stays silent where calls merely overlap."""

from __future__ import annotations

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE, WORLD, setup_ops
from tdxfuzz.case.operation import Op
from tdxfuzz.check import linearizable
from tdxfuzz.check.linearizable import Called, Linearizable, serial_orders
from tdxfuzz.module.lock import AtomicCount
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import READ, WRITE, Schedule

TWO_VCPUS = Case(
    HOSTILE,
    WORLD,
    setup_ops("td"),
    (
        (Op.parse("TDH.VP.CREATE rcx=B40 rdx=B128"),),
        (Op.parse("TDH.VP.CREATE rcx=C300 rdx=B128"),),
    ),
    checks=("linearizable",),
)


def all_with_one_preemption() -> list[Run]:
    return [run(TWO_VCPUS.with_schedule(Schedule.of([(step, 1)]))) for step in range(40)]


def call(cpu: int, nth: int, *after: Called) -> Called:
    return Called(cpu, nth, 0, 0, (), frozenset(each.id for each in after))


def test_calls_that_overlap_have_a_serial_order() -> None:
    runs = all_with_one_preemption()
    assert not any(each.findings for each in runs)
    assert any("linearizable" in each.seen for each in runs), "both succeed, overlapping"


def test_a_lost_update_fits_no_serial_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_two_steps(self: AtomicCount, n: int) -> int:
        self.sim.step(self, READ)
        old = self.value
        self.sim.step(self, WRITE)
        self.value = old + n
        return old

    monkeypatch.setattr(AtomicCount, "xadd", in_two_steps)
    found = [each.finding for each in all_with_one_preemption() if each.finding is not None]
    assert {finding.bucket for finding in found} == {"linearizable/-/SUCCESS/tds"}
    assert "no serial order of the calls that succeeded" in found[0].message


def test_where_no_judgement_is_made_the_witness_is_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overlapping = next(each for each in all_with_one_preemption() if "linearizable" in each.seen)
    assert len(list(serial_orders([call(0, 0), call(1, 0)]))) == 2

    def compared(fits: bool, most: int) -> Run:
        monkeypatch.setattr(linearizable, "MOST_ORDERS", most)
        answer = (0, None, "" if fits else "tds")
        monkeypatch.setattr(Linearizable, "_compare", lambda *arguments: answer)
        return run(overlapping.case)

    assert "linearizable" in compared(fits=True, most=1).seen, "one that fits is enough"
    withheld = compared(fits=False, most=1)
    assert withheld.finding is None
    assert "linearizable" not in withheld.seen
    judged = compared(fits=False, most=2)
    assert judged.finding is not None, "there is no third order"
    assert "linearizable" in judged.seen


def test_orders_respect_which_call_had_returned_before_another_began() -> None:
    a = call(0, 0)
    b, c = call(0, 1, a), call(1, 0, a)
    orders = list(serial_orders([a, c, b]))
    assert orders == [[a, c, b], [a, b, c]]
    assert list(serial_orders([])) == [[]]
