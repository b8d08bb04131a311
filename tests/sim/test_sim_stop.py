"""Whoever ends a run leaves nothing behind: no lock released, nobody let run."""

from __future__ import annotations

import pytest

from tdxfuzz.sim import (
    End,
    FairLock,
    FairRwLock,
    FollowSchedule,
    HarnessError,
    Schedule,
    Simulator,
    StopRun,
    Variable,
)


def test_a_cpu_that_stops_the_run_releases_nothing_on_its_way_out() -> None:
    sim = Simulator(2, FollowSchedule(Schedule.of([(1, 1)])))
    lock = FairLock(sim, "lock")
    x = Variable(sim, "x", 0)

    def stops() -> None:
        with lock:
            raise StopRun

    def writes() -> None:
        x.write(1)
        x.write(2)

    outcome = sim.run([stops, writes])
    assert (outcome.end, outcome.steps) == (End.STOPPED, 1)
    assert x.value == 0
    assert lock.owner is sim.cpus[0]


def test_stopping_is_as_final_in_a_finally_block() -> None:
    sim = Simulator(1)
    x = Variable(sim, "x", 0)

    def stops() -> None:
        try:
            sim.stop(StopRun())
        finally:
            x.write(1)

    assert sim.run([stops]).steps == 0
    assert x.value == 0


def test_a_deadlock_is_told_as_it_was_when_it_was_found() -> None:
    sim = Simulator(2, FollowSchedule(Schedule.of([(2, 1)])))
    lock = FairRwLock(sim, "rw")

    def upgrades() -> None:
        with lock.read(), lock.write():
            pass

    def reads() -> None:
        with lock.read():
            pass

    outcome = sim.run([upgrades, reads])
    assert outcome.deadlock is not None
    assert [(cpu.id, blocker.id) for cpu, _, blocker in outcome.deadlock.waits] == [(0, 0)]


def test_what_a_finally_block_raises_at_the_end_changes_nothing() -> None:
    sim = Simulator(2, FollowSchedule(Schedule.of([(1, 1)])))
    x = Variable(sim, "x", 0)

    def suspended() -> None:
        try:
            x.write(1)
            x.write(2)
        finally:
            raise ValueError("on the way out")

    def stops() -> None:
        raise StopRun

    assert sim.run([suspended, stops]).end is End.STOPPED
    assert x.read() == 1


def test_a_simulator_runs_once() -> None:
    sim = Simulator(1)
    sim.run([lambda: None])
    with pytest.raises(HarnessError, match="runs once"):
        sim.run([lambda: None])


def test_taking_a_lock_twice_before_the_run_is_a_mistake_of_the_harness() -> None:
    lock = FairLock(Simulator(1), "lock")
    lock.acquire()
    with pytest.raises(HarnessError, match="lock is taken twice"):
        lock.acquire()
