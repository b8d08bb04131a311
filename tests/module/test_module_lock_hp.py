"""The host-priority lock alone: what each operation makes of each word."""

from __future__ import annotations

import pytest

from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.lock import HpLock, NamedHpLock
from tdxfuzz.sim import Simulator

EX, HP, SHARER = 1, 2, 4


def lock_with(word: int) -> HpLock:
    lock = NamedHpLock(Simulator(1), "L")
    lock.word = word
    return lock


def test_the_bits_of_the_word_are_where_the_module_has_them() -> None:
    assert (HpLock.EX, HpLock.HP, HpLock.SHARER) == (EX, HP, SHARER)


@pytest.mark.parametrize(
    ("before", "ok", "after", "instructions"),
    [
        pytest.param(0, True, SHARER, 1, id="free"),
        pytest.param(SHARER, True, 2 * SHARER, 1, id="one sharer"),
        pytest.param(7 * SHARER, True, 8 * SHARER, 1, id="seven sharers"),
        pytest.param(HP, True, SHARER, 2, id="free with HP: success clears it"),
        pytest.param(SHARER | HP, True, 2 * SHARER, 2, id="shared with HP: success clears it"),
        pytest.param(EX, False, EX | HP | SHARER, 2, id="exclusive: HP, and the sharer stays"),
        pytest.param(EX | HP, False, EX | HP | SHARER, 2, id="exclusive with HP"),
        pytest.param(EX | SHARER, False, EX | HP | 2 * SHARER, 2, id="a second stray sharer"),
    ],
)
def test_what_acquiring_shared_does_to_the_word(
    before: int, ok: bool, after: int, instructions: int
) -> None:
    lock = lock_with(before)
    assert lock.acquire_sh() is ok
    assert (lock.word, lock.sim.clock) == (after, instructions)


@pytest.mark.parametrize(
    ("before", "ok", "after", "instructions"),
    [
        pytest.param(0, True, EX, 1, id="free"),
        pytest.param(HP, True, EX, 2, id="free with HP: success clears it"),
        pytest.param(EX, False, EX | HP, 2, id="exclusive"),
        pytest.param(EX | HP, False, EX | HP, 2, id="exclusive with HP"),
        pytest.param(SHARER, False, SHARER | HP, 2, id="shared"),
        pytest.param(SHARER | HP, False, SHARER | HP, 2, id="shared with HP"),
        pytest.param(3 * SHARER, False, 3 * SHARER | HP, 2, id="three sharers"),
        pytest.param(EX | SHARER, False, EX | SHARER | HP, 2, id="exclusive and a stray sharer"),
    ],
)
def test_what_acquiring_exclusive_does_to_the_word(
    before: int, ok: bool, after: int, instructions: int
) -> None:
    lock = lock_with(before)
    assert lock.acquire_ex() is ok
    assert (lock.word, lock.sim.clock) == (after, instructions)


@pytest.mark.parametrize(
    ("before", "ok", "after", "instructions"),
    [
        pytest.param(SHARER, True, EX, 1, id="the only sharer"),
        pytest.param(SHARER | HP, True, EX, 2, id="the only sharer, with HP: success clears it"),
        pytest.param(2 * SHARER, False, 2 * SHARER | HP, 2, id="two sharers"),
        pytest.param(2 * SHARER | HP, False, 2 * SHARER | HP, 2, id="two sharers with HP"),
        pytest.param(HP, False, HP, 2, id="nothing but HP is no sharer, and not fatal"),
    ],
)
def test_what_promoting_does_to_the_word(
    before: int, ok: bool, after: int, instructions: int
) -> None:
    lock = lock_with(before)
    assert lock.promote() is ok
    assert (lock.word, lock.sim.clock) == (after, instructions)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(SHARER, 0, id="last sharer"),
        pytest.param(2 * SHARER, SHARER, id="one of two"),
        pytest.param(SHARER | HP, HP, id="last sharer; HP stays"),
        pytest.param(2 * SHARER | HP, SHARER | HP, id="one of two; HP stays"),
    ],
)
def test_release_shared_is_one_instruction(before: int, after: int) -> None:
    lock = lock_with(before)
    lock.release_sh()
    assert (lock.word, lock.sim.clock) == (after, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(EX, 0, id="exclusive"),
        pytest.param(EX | HP, HP, id="HP stays"),
        pytest.param(EX | SHARER, 0, id="a stray sharer goes"),
        pytest.param(EX | HP | 3 * SHARER, HP, id="three stray sharers go; HP stays"),
    ],
)
def test_release_exclusive_is_one_instruction(before: int, after: int) -> None:
    lock = lock_with(before)
    lock.release_ex()
    assert (lock.word, lock.sim.clock) == (after, 1)


@pytest.mark.parametrize(
    ("operation", "before", "fatal_id"),
    [
        ("release_sh", 0, 200),
        ("release_sh", HP, 200),
        ("release_sh", EX, 200),
        ("release_sh", EX | SHARER, 200),
        ("release_ex", 0, 201),
        ("release_ex", HP, 201),
        ("release_ex", SHARER, 201),
        ("promote", 0, 203),
        ("promote", EX, 203),
        ("promote", EX | HP | SHARER, 203),
    ],
)
def test_an_operation_on_a_lock_not_held_so_is_fatal(
    operation: str, before: int, fatal_id: int
) -> None:
    lock = lock_with(before)
    with pytest.raises(ModuleFatal, match=f"fatal error {fatal_id}: .* of L,") as caught:
        getattr(lock, operation)()
    assert caught.value.fatal_id == fatal_id


def test_host_priority_outlives_the_release_and_dies_with_the_next_success() -> None:
    lock = lock_with(0)
    assert lock.acquire_ex()
    assert not lock.acquire_ex()
    lock.release_ex()
    assert (lock.host_priority, lock.is_held) == (True, False)
    assert lock.acquire_sh()
    assert (lock.host_priority, lock.is_held) == (False, True)


def test_host_priority_alone_does_not_count_as_held() -> None:
    held = {word: lock_with(word).is_held for word in (0, HP, EX, EX | HP, SHARER, SHARER | HP)}
    assert [word for word, is_held in held.items() if is_held] == [
        EX,
        EX | HP,
        SHARER,
        SHARER | HP,
    ]


@pytest.mark.parametrize(
    ("operation", "before", "event"),
    [
        ("acquire_sh", 0, ("acq", "SH", "L", True)),
        ("acquire_sh", EX, ("acq", "SH", "L", False)),
        ("acquire_ex", HP, ("acq", "EX", "L", True)),
        ("acquire_ex", SHARER, ("acq", "EX", "L", False)),
        ("promote", SHARER | HP, ("promote", "EX", "L", True)),
        ("promote", 2 * SHARER, ("promote", "EX", "L", False)),
        ("release_sh", SHARER, ("rel", "SH", "L", True)),
        ("release_ex", EX, ("rel", "EX", "L", True)),
    ],
)
def test_an_operation_is_one_event_however_many_instructions_it_takes(
    operation: str, before: int, event: tuple[str, str, str, bool]
) -> None:
    lock = lock_with(before)
    events: list[tuple[str, str, str, bool]] = []
    lock.sim.log = lambda op, mode, what, ok: events.append((op, mode, what, ok))
    getattr(lock, operation)()
    assert events == [event]
