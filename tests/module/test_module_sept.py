"""S-EPT entries as locks and shared words, and the walk to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.sept import SecureEpt, SeptEntry, SeptPage
from tdxfuzz.module.sept_entry import INIT_VALUE, RWX, TDEL, TDHP, leaf_value, non_leaf_value
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.sim import FollowSchedule, Schedule, Simulator

from .lab import GPA, NEW, SEPT, TDR, Lab, Td, page

VALUE = non_leaf_value(NEW)


def entry_with(raw: int, cpus: int = 1, switch_at: int = 0) -> SeptEntry:
    policy = FollowSchedule(Schedule.of([(switch_at, 1)])) if cpus > 1 else None
    return SeptEntry(Simulator(cpus, policy), raw, TDR, GPA, 1)


@pytest.mark.parametrize(
    ("before", "ok", "after"),
    [
        pytest.param(VALUE, True, VALUE | TDEL, id="free"),
        pytest.param(VALUE | TDHP, True, VALUE | TDEL, id="free with HP: success clears it"),
        pytest.param(VALUE | TDEL, False, VALUE | TDEL | TDHP, id="taken: HP set"),
        pytest.param(VALUE | TDEL | TDHP, False, VALUE | TDEL | TDHP, id="taken with HP"),
    ],
)
def test_locking_an_entry_takes_two_instructions(before: int, ok: bool, after: int) -> None:
    entry = entry_with(before)
    assert entry.lock_host() is ok
    assert (entry.raw, entry.sim.clock) == (after, 2)


def test_unlocking_an_entry_keeps_host_priority() -> None:
    entry = entry_with(VALUE | TDEL | TDHP)
    entry.unlock()
    assert (entry.raw, entry.sim.clock) == (VALUE | TDHP, 1)


def test_unlocking_an_entry_that_is_not_locked_is_fatal() -> None:
    with pytest.raises(ModuleFatal, match="fatal error 196"):
        entry_with(VALUE).unlock()


@pytest.mark.parametrize("priority", [0, TDHP])
def test_an_update_writes_the_value_and_keeps_host_priority(priority: int) -> None:
    entry = entry_with(INIT_VALUE | TDEL | priority)
    entry.update(VALUE)
    assert entry.raw == VALUE | priority


@pytest.mark.parametrize(("at", "attempts"), [(0, 1), (1, 2), (2, 1)])
def test_an_update_starts_again_when_host_priority_is_set_meanwhile(at: int, attempts: int) -> None:
    entry = entry_with(INIT_VALUE | TDEL, cpus=2, switch_at=at)
    tries: list[bool] = []
    entry.sim.log = lambda op, mode, what, ok: tries.append(ok) if op == "cmpxchg" else None
    other: list[bool] = []
    bodies: list[Callable[[], None]] = [
        lambda: entry.update(VALUE | TDEL),
        lambda: other.append(entry.lock_host()),
    ]
    entry.sim.run(bodies)
    assert entry.raw == VALUE | TDEL | TDHP
    assert tries == [False] * (attempts - 1) + [True]
    assert other == [False]


def test_an_update_may_drop_the_lock_in_the_same_instruction() -> None:
    entry = entry_with(INIT_VALUE | TDEL)
    entry.update(VALUE)
    assert not entry.raw & TDEL
    assert entry.sim.clock == 2


def sept_of(td: Td) -> SecureEpt:
    sept = td.structure.tdcs.sept
    assert sept is not None
    return sept


@pytest.mark.parametrize("tables", [0, 1, 2, 3])
def test_a_walk_ends_where_the_tables_do(td: Td, tables: int) -> None:
    td.tables(down_to=4 - tables)
    entry, raw = sept_of(td).walk(GPA, 0)
    assert (entry.level, raw) == (3 - tables, INIT_VALUE)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_walk_finds_the_entry_of_the_level_it_was_sent_to(td: Td, level: int) -> None:
    td.tables()
    entry, raw = sept_of(td).walk(GPA + 5 * SIZE_4K, level)
    assert entry.level == level
    assert entry.gpa == GPA + 5 * SIZE_4K & -(SIZE_4K << 9 * level)
    assert (raw == INIT_VALUE) is (level == 0)


def test_a_walk_does_not_pass_a_large_page_or_a_blocked_table(td: Td) -> None:
    td.aug(page(0), level=1)
    assert sept_of(td).walk(GPA, 0)[0].level == 1
    td.tables(GPA + SIZE_2M)
    td.block(GPA + SIZE_2M, level=1)
    assert sept_of(td).walk(GPA + SIZE_2M, 0)[0].level == 1


def test_a_walk_does_not_pass_a_large_page_that_the_guest_has_accepted(td: Td) -> None:
    td.aug(page(0), level=1)
    entry = sept_of(td).walk(GPA, 1)[0]
    entry.raw = leaf_value(page(0), SeptState.MAPPED, RWX)
    assert sept_of(td).walk(GPA, 0) == (entry, entry.raw)


def test_walking_through_mapped_tables_is_one_step(td: Td) -> None:
    td.tables()
    before = td.lab.sim.clock
    sept_of(td).walk(GPA, 0)
    assert td.lab.sim.clock - before == 1


@pytest.mark.parametrize("tables", [0, 1, 2])
def test_the_entry_that_ends_a_walk_early_is_read_in_a_step(td: Td, tables: int) -> None:
    td.tables(down_to=4 - tables)
    before = td.lab.sim.clock
    sept_of(td).walk(GPA, 0)
    assert td.lab.sim.clock - before == 1


def test_all_entries_in_use_are_listed_with_their_addresses(td: Td) -> None:
    td.aug(NEW, GPA)
    td.aug(page(1), GPA + SIZE_2M, level=1)
    listed = [(gpa, level) for gpa, level, _ in sept_of(td).entries()]
    assert listed == [(0, 3), (GPA, 2), (GPA, 1), (GPA, 0), (GPA + SIZE_2M, 1)]


def test_touched_entries_include_free_ones(td: Td) -> None:
    td.tables()
    sept_of(td).walk(GPA + 7 * SIZE_4K, 0)
    touched = {(entry.gpa, entry.level) for entry in sept_of(td).touched()}
    assert (GPA + 7 * SIZE_4K, 0) in touched
    assert (GPA, 1) in touched


def test_a_split_page_has_512_consecutive_entries(td: Td) -> None:
    td.aug(page(0), level=1)
    td.demote()
    table = td.lab.module.memory.at(page(8, 18))
    assert isinstance(table, SeptPage)
    assert [table.raw(i) - table.raw(0) for i in (1, 511)] == [SIZE_4K, 511 * SIZE_4K]
    assert not table.is_free()
    assert sum(level == 0 for _, level, _ in sept_of(td).entries()) == 512


def test_a_table_is_free_when_each_of_its_entries_is(td: Td) -> None:
    td.aug(NEW)
    table = td.lab.module.memory.at(SEPT + 2 * SIZE_4K)
    assert isinstance(table, SeptPage)
    assert not table.is_free()
    td.remove()
    assert table.is_free()


def test_a_zeroed_table_has_no_entry_left() -> None:
    table = SeptPage(SEPT, fill=VALUE, stride=SIZE_4K)
    table.zero()
    assert [table.raw(i) for i in (0, 511)] == [0, 0]
    assert table.entries == {}


def test_two_tds_have_entries_of_their_own(lab: Lab) -> None:
    first, second = lab.td(), lab.td(home=9, hkid=41)
    first.aug(NEW)
    assert sept_of(second).walk(GPA, 0)[0].level == 3
    assert sept_of(second).walk(GPA, 3)[0].name == f"SEPTE[{page(9):#x},0x0,3]"
