"""Guests at the module's locks: they make way for the host, and mark nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi import status
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.lock import HpLock, NamedHpLock
from tdxfuzz.module.sept import SeptEntry
from tdxfuzz.module.sept_entry import TDEL, TDHP
from tdxfuzz.sim import FollowSchedule, Schedule, Simulator

EX, HP, SHARER = HpLock.EX, HpLock.HP, HpLock.SHARER
OK, BUSY, PRIORITY = "SUCCESS", "OPERAND_BUSY", "OPERAND_BUSY_HOST_PRIORITY"


def lock_with(word: int, sim: Simulator | None = None) -> HpLock:
    lock = NamedHpLock(sim or Simulator(1), "L")
    lock.word = word
    return lock


def entry_with(raw: int, sim: Simulator | None = None) -> SeptEntry:
    return SeptEntry(sim or Simulator(1), raw, tdr=0x1000, gpa=0, level=0)


@pytest.mark.parametrize(
    ("before", "result", "after", "instructions"),
    [
        pytest.param(0, OK, SHARER, 1, id="free"),
        pytest.param(SHARER, OK, 2 * SHARER, 1, id="shared"),
        pytest.param(EX, BUSY, EX | SHARER, 1, id="exclusive: the sharer stays, no HP"),
        pytest.param(HP, PRIORITY, HP, 2, id="free with HP"),
        pytest.param(SHARER | HP, PRIORITY, SHARER | HP, 2, id="shared with HP"),
        pytest.param(EX | HP, PRIORITY, EX | HP, 2, id="exclusive with HP"),
    ],
)
def test_what_a_guest_s_acquire_does_to_the_word(
    before: int, result: str, after: int, instructions: int
) -> None:
    lock = lock_with(before)
    assert str(status(lock.acquire_guest_sh())) == result
    assert (lock.word, lock.sim.clock) == (after, instructions)


@pytest.mark.parametrize(
    ("before", "result", "after"),
    [
        pytest.param(0, OK, EX, id="free"),
        pytest.param(HP, PRIORITY, HP, id="free with HP: it stays the host's"),
        pytest.param(EX, BUSY, EX, id="exclusive"),
        pytest.param(SHARER, BUSY, SHARER, id="shared: no HP"),
        pytest.param(SHARER | HP, BUSY, SHARER | HP, id="shared with HP: busy all the same"),
        pytest.param(EX | HP, BUSY, EX | HP, id="exclusive with HP"),
    ],
)
def test_guest_acquire_exclusive_is_one_instruction(before: int, result: str, after: int) -> None:
    lock = lock_with(before)
    assert str(status(lock.acquire_guest_ex())) == result
    assert (lock.word, lock.sim.clock) == (after, 1)


@pytest.mark.parametrize(
    ("before", "result", "after", "instructions"),
    [
        pytest.param(0, OK, TDEL, 2, id="free"),
        pytest.param(TDEL, BUSY, TDEL, 1, id="locked: no host priority"),
        pytest.param(TDEL | TDHP, BUSY, TDEL | TDHP, 1, id="locked, with host priority"),
        pytest.param(TDHP, PRIORITY, TDHP, 3, id="host priority: unlocked again"),
    ],
)
def test_guest_lock_of_an_s_ept_entry(
    before: int, result: str, after: int, instructions: int
) -> None:
    entry = entry_with(before)
    assert str(status(entry.lock_guest())) == result
    assert (entry.raw, entry.sim.clock) == (after, instructions)


@pytest.mark.parametrize("word", [0, EX, HP])
@pytest.mark.parametrize("name", ["acquire_guest_sh", "acquire_guest_ex"])
def test_an_operation_is_one_event_however_many_instructions_it_takes(name: str, word: int) -> None:
    lock = lock_with(word)
    events: list[tuple[str, str, str, bool]] = []
    lock.sim.log = lambda *event: events.append(event)
    getattr(lock, name)()
    assert events == [("acq", name[-2:].upper(), "L", word == 0)]


@pytest.mark.parametrize(("raw", "ok"), [(0, True), (TDEL, False), (TDHP, False)])
def test_locking_an_entry_is_one_event(raw: int, ok: bool) -> None:
    entry = entry_with(raw)
    events: list[tuple[str, str, str, bool]] = []
    entry.sim.log = lambda *event: events.append(event)
    entry.lock_guest()
    assert events == [("acq", "EX", entry.name, ok)]


def race(
    first: Callable[[], object], second: Callable[[], object], sim: Simulator, at: int
) -> None:
    """``second`` as a whole before instruction ``at`` of ``first``."""
    sim.policy = FollowSchedule(Schedule.of([(at, 1)]))
    done: list[object] = []
    sim.run([lambda: done.append(first()), lambda: done.append(second())])
    assert len(done) == 2


@pytest.mark.parametrize(
    ("at", "after"),
    [
        pytest.param(0, HP, id="released before: the sharer comes and goes"),
        pytest.param(1, 0xFFFE, id="released in between: the count goes below zero"),
        pytest.param(2, HP, id="released after"),
    ],
)
def test_a_guest_that_shares_while_an_exclusive_holder_releases(at: int, after: int) -> None:
    """The release drops all sharers, so the guest takes back what is not there any more."""
    sim = Simulator(2)
    lock = lock_with(EX | HP, sim)
    race(lock.acquire_guest_sh, lock.release_ex, sim, at)
    assert lock.word == after


def test_a_count_below_zero_kills_the_module_at_the_next_share() -> None:
    lock = lock_with(0xFFFE)
    assert not lock.acquire_ex()
    with pytest.raises(ModuleFatal, match="fatal error 198"):
        lock.acquire_sh()


@pytest.mark.parametrize(
    ("at", "guest", "host", "after"),
    [
        pytest.param(0, BUSY, True, TDEL, id="the host was first"),
        pytest.param(1, PRIORITY, False, TDHP, id="priority comes before the guest looks"),
        pytest.param(2, OK, False, TDEL | TDHP, id="the guest was first: priority for later"),
    ],
)
def test_a_host_that_wants_an_entry_the_guest_is_locking(
    at: int, guest: str, host: bool, after: int
) -> None:
    sim = Simulator(2)
    entry = entry_with(0, sim)
    results: dict[str, object] = {}

    def lock_guest() -> None:
        results["guest"] = str(status(entry.lock_guest()))

    def lock_host() -> None:
        results["host"] = entry.lock_host()

    race(lock_guest, lock_host, sim, at)
    assert (results, entry.raw) == ({"guest": guest, "host": host}, after)


def test_priority_is_over_once_the_host_had_its_turn() -> None:
    entry = entry_with(0)
    assert entry.lock_guest() == 0
    assert not entry.lock_host()
    entry.unlock()
    assert str(status(entry.lock_guest())) == PRIORITY
    assert entry.lock_host()
    entry.unlock()
    assert entry.lock_guest() == 0
