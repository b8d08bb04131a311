"""What a CPU can still know: what is forgotten when, and what must not be."""

from __future__ import annotations

from tdxfuzz.sim import LocalMemory


def test_what_was_learnt_makes_a_difference() -> None:
    local = LocalMemory(2)
    local.learn(0, 1)
    local.learn(1, 2)
    assert local.known[0] != local.known[1]


def test_of_code_that_returned_only_the_result_is_left() -> None:
    local = LocalMemory(3)
    for cpu, learnt, result in ((0, 1, 7), (1, 2, 7), (2, 2, 8)):
        local.enter(cpu)
        local.learn(cpu, learnt)
        local.leave(cpu, result)
    assert local.known[0] == local.known[1] != local.known[2]


def test_of_code_in_vain_nothing_is_left() -> None:
    local = LocalMemory(1)
    local.learn(0, "before")
    before = local.snapshot()
    local.enter(0)
    local.learn(0, "in vain")
    local.drop(0)
    assert local.snapshot() == before


def test_a_snapshot_is_gone_back_to() -> None:
    local = LocalMemory(1)
    local.enter(0)
    kept = local.snapshot()
    local.leave(0, 1)
    local.begin_operation(0)
    local.restore(kept)
    assert local.snapshot() == kept


def spin(local: LocalMemory) -> set[int]:
    """Two rounds of a loop, as if in a function of its own; what was known at its head."""
    known: set[int] = set()
    local.enter(0)
    for round_number in range(2):
        local.learn(0, round_number)
        pass_by(local)
        known.add(local.known[0])
    local.leave(0, 0)
    return known


def pass_by(local: LocalMemory) -> None:
    local.retry(0)


def test_rounds_are_folded_but_not_those_of_another_call() -> None:
    local = LocalMemory(1)
    known = []
    for argument in range(2):
        local.learn(0, argument)
        known.append(spin(local))
    assert [len(one) for one in known] == [1, 1]
    assert known[0] != known[1]
