"""The plain share/exclusive lock, the mutex and the locked counter."""

from __future__ import annotations

import pytest

from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.lock import AtomicCount, MutexLock, SharexLock
from tdxfuzz.sim import Simulator

EX, SHARER = 1, 2


def sharex(word: int) -> SharexLock:
    lock = SharexLock(Simulator(1), "KOT")
    lock.word = word
    return lock


def mutex(word: int) -> MutexLock:
    lock = MutexLock(Simulator(1), "WBT[0]")
    lock.word = word
    return lock


@pytest.mark.parametrize(
    ("operation", "before", "ok", "after"),
    [
        pytest.param("acquire_sh", 0, True, SHARER, id="shared from free"),
        pytest.param("acquire_sh", SHARER, True, 2 * SHARER, id="shared again"),
        pytest.param("acquire_sh", EX, False, EX | SHARER, id="the failed sharer stays"),
        pytest.param("acquire_ex", 0, True, EX, id="exclusive from free"),
        pytest.param("acquire_ex", EX, False, EX, id="exclusive against exclusive"),
        pytest.param("acquire_ex", SHARER, False, SHARER, id="exclusive against shared"),
        pytest.param("release_sh", 2 * SHARER, None, SHARER, id="one of two sharers"),
        pytest.param("release_ex", EX, None, 0, id="exclusive"),
        pytest.param("release_ex", EX | 2 * SHARER, None, 0, id="stray sharers go too"),
    ],
)
def test_a_plain_lock_operation_is_one_instruction(
    operation: str, before: int, ok: bool | None, after: int
) -> None:
    lock = sharex(before)
    assert getattr(lock, operation)() is ok
    assert (lock.word, lock.sim.clock) == (after, 1)


@pytest.mark.parametrize(
    ("operation", "before", "fatal_id"),
    [
        ("acquire_sh", 0xFFFE, 189),
        ("release_sh", 0, 191),
        ("release_sh", EX, 191),
        ("release_sh", EX | SHARER, 191),
        ("release_ex", 0, 192),
        ("release_ex", SHARER, 192),
    ],
)
def test_a_plain_lock_used_wrongly_is_fatal(operation: str, before: int, fatal_id: int) -> None:
    with pytest.raises(ModuleFatal, match="KOT") as caught:
        getattr(sharex(before), operation)()
    assert caught.value.fatal_id == fatal_id


def test_the_last_sharer_that_fits_is_let_in() -> None:
    lock = sharex(0xFFFC)
    assert lock.acquire_sh()
    assert lock.word == 0xFFFE


def test_a_plain_lock_knows_whether_it_is_held() -> None:
    assert [sharex(word).is_held for word in (0, EX, SHARER)] == [False, True, True]


def test_a_mutex_lets_one_in_and_the_next_after_its_release() -> None:
    lock = mutex(0)
    results: list[object] = [lock.acquire(), lock.acquire(), lock.is_held]
    lock.release()
    results += [lock.is_held, lock.acquire()]
    assert results == [True, False, True, False, True]
    assert lock.sim.clock == 4


def test_a_free_mutex_cannot_be_released() -> None:
    with pytest.raises(ModuleFatal, match="fatal error 188: release of WBT"):
        mutex(0).release()


def test_events_of_the_plain_locks() -> None:
    sim = Simulator(1)
    events: list[tuple[str, str, str, bool]] = []
    sim.log = lambda op, mode, what, ok: events.append((op, mode, what, ok))
    kot, wbt = SharexLock(sim, "KOT"), MutexLock(sim, "WBT[0]")
    kot.acquire_sh()
    kot.acquire_ex()
    kot.release_sh()
    kot.acquire_ex()
    kot.acquire_sh()
    kot.release_ex()
    wbt.acquire()
    wbt.acquire()
    wbt.release()
    assert events == [
        ("acq", "SH", "KOT", True),
        ("acq", "EX", "KOT", False),
        ("rel", "SH", "KOT", True),
        ("acq", "EX", "KOT", True),
        ("acq", "SH", "KOT", False),
        ("rel", "EX", "KOT", True),
        ("acq", "MUTEX", "WBT[0]", True),
        ("acq", "MUTEX", "WBT[0]", False),
        ("rel", "MUTEX", "WBT[0]", True),
    ]


def test_a_locked_add_gives_the_value_from_before_in_one_instruction() -> None:
    sim = Simulator(1)
    events: list[tuple[str, str, str, bool]] = []
    sim.log = lambda op, mode, what, ok: events.append((op, mode, what, ok))
    count = AtomicCount(sim, "CHLDCNT[0x1000]")
    assert [count.xadd(1), count.xadd(512), count.xadd(-1)] == [0, 1, 513]
    assert (count.value, sim.clock) == (512, 3)
    assert [mode for _, mode, _, _ in events] == ["+1", "+512", "-1"]
    assert {(op, what, ok) for op, _, what, ok in events} == {("xadd", "CHLDCNT[0x1000]", True)}
