"""Lock operations of two CPUs, interleaved between any two instructions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.lock import HpLock, NamedHpLock
from tdxfuzz.sim import BLIND, EVENT, RMW, SHARED, Cpu, FollowSchedule, Schedule, Simulator, Why

EX, HP, SHARER = 1, 2, 4

Operation = Callable[[HpLock], object]


def race(word: int, first: Operation, second: Operation, at: int) -> tuple[object, object, int]:
    """``second`` as a whole before instruction ``at`` of ``first``: results and word."""
    sim = Simulator(2, FollowSchedule(Schedule.of([(at, 1)])))
    lock = NamedHpLock(sim, "L")
    lock.word = word
    results: list[object] = [None, None]

    def body(cpu: int, operation: Operation) -> Callable[[], None]:
        def main() -> None:
            results[cpu] = operation(lock)

        return main

    sim.run([body(0, first), body(1, second)])
    return results[0], results[1], lock.word


class Accesses:
    """A policy that only writes down what is announced."""

    due = -1

    def __init__(self) -> None:
        self.seen: list[int] = []

    def preempt(self, sim: Simulator) -> Cpu | None:
        self.seen.append(sim.current.next_access)
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        return next((cpu for cpu in sim.cpus if cpu.runnable), None)

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nobody sleeps."""


@pytest.mark.parametrize(
    ("operation", "word", "accesses"),
    [
        (HpLock.acquire_sh, 0, [EVENT | RMW | SHARED]),
        (HpLock.acquire_sh, HP, [EVENT | RMW | SHARED, RMW | BLIND]),
        (HpLock.acquire_sh, EX, [EVENT | RMW | SHARED, RMW | BLIND]),
        (HpLock.acquire_ex, 0, [EVENT | RMW]),
        (HpLock.acquire_ex, HP, [EVENT | RMW, RMW]),
        (HpLock.acquire_ex, SHARER, [EVENT | RMW, RMW | BLIND]),
        (HpLock.promote, SHARER, [EVENT | RMW]),
        (HpLock.promote, SHARER | HP, [EVENT | RMW, RMW]),
        (HpLock.promote, 2 * SHARER, [EVENT | RMW, RMW | BLIND]),
        (HpLock.release_sh, SHARER, [EVENT | RMW | SHARED | BLIND]),
        (HpLock.release_ex, EX, [EVENT | RMW | BLIND]),
    ],
)
def test_every_instruction_is_announced_and_only_the_first_starts_an_event(
    operation: Operation, word: int, accesses: list[int]
) -> None:
    policy = Accesses()
    sim = Simulator(1, policy)
    lock = NamedHpLock(sim, "L")
    lock.word = word

    def body() -> None:
        operation(lock)

    sim.run([body])
    assert policy.seen == accesses


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(0, (True, None, SHARER), id="released before: no failure"),
        pytest.param(1, (False, None, HP), id="released in between: busy, and HP on a free lock"),
        pytest.param(2, (False, None, HP), id="released after: its sharer is dropped, HP stays"),
    ],
)
def test_shared_acquire_against_the_release_of_an_exclusive_holder(
    at: int, expected: tuple[object, object, int]
) -> None:
    assert race(EX, HpLock.acquire_sh, HpLock.release_ex, at) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(0, (True, None, EX), id="released before"),
        pytest.param(1, (False, None, HP), id="released in between: busy, though it is free"),
        pytest.param(2, (False, None, HP), id="released after"),
    ],
)
def test_exclusive_acquire_against_the_release_of_a_sharer(
    at: int, expected: tuple[object, object, int]
) -> None:
    assert race(SHARER, HpLock.acquire_ex, HpLock.release_sh, at) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(0, (False, True, SHARER | HP), id="shared first: the failure sets HP"),
        pytest.param(1, (False, True, SHARER), id="second compare-exchange fails and sets no HP"),
        pytest.param(2, (True, False, EX | HP | SHARER), id="exclusive first"),
    ],
)
def test_exclusive_acquire_of_a_free_lock_with_host_priority(
    at: int, expected: tuple[object, object, int]
) -> None:
    assert race(HP, HpLock.acquire_ex, HpLock.acquire_sh, at) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(0, (False, True, 2 * SHARER | HP), id="a sharer first: the failure sets HP"),
        pytest.param(1, (False, True, 2 * SHARER), id="second compare-exchange sets no HP"),
        pytest.param(2, (True, False, EX | HP | SHARER), id="promoted first"),
    ],
)
def test_promotion_with_host_priority_against_a_new_sharer(
    at: int, expected: tuple[object, object, int]
) -> None:
    assert race(SHARER | HP, HpLock.promote, HpLock.acquire_sh, at) == expected


@pytest.mark.parametrize("at", [0, 1, 2])
def test_two_sharers_can_both_fail_to_promote(at: int) -> None:
    both_fail = False, False, 2 * SHARER | HP
    assert race(2 * SHARER, HpLock.promote, HpLock.promote, at) == both_fail


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(0, (False, True, EX | HP | SHARER), id="exclusive first"),
        pytest.param(1, (True, False, SHARER), id="the late clearing wipes out the new HP"),
        pytest.param(2, (True, False, SHARER | HP), id="shared first: HP stays"),
    ],
)
def test_shared_acquire_clears_host_priority_in_an_instruction_of_its_own(
    at: int, expected: tuple[object, object, int]
) -> None:
    assert race(HP, HpLock.acquire_sh, HpLock.acquire_ex, at) == expected


@pytest.mark.parametrize("word", [0, EX, EX | HP])
def test_a_second_promotion_attempt_that_finds_the_lock_gone_is_fatal(word: int) -> None:
    with pytest.raises(ModuleFatal, match="fatal error 204"):
        race(SHARER | HP, HpLock.promote, lambda lock: setattr(lock, "word", word), 1)


@pytest.mark.parametrize("at", range(5))
def test_acquire_and_release_leave_a_lock_free_wherever_a_failure_comes(at: int) -> None:
    """Whoever fails leaves nothing behind but HOST_PRIORITY."""

    def hold_and_release(lock: HpLock) -> object:
        assert lock.acquire_ex()
        lock.release_ex()
        return None

    def try_shared(lock: HpLock) -> object:
        if lock.acquire_sh():
            lock.release_sh()
            return True
        return False

    _, got_it, word = race(0, hold_and_release, try_shared, at)
    assert (got_it, word) == ((False, HP) if at == 1 else (True, 0))
