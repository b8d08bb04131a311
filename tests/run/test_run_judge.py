"""Hooks reach exactly those that listen."""

from __future__ import annotations

from tdxfuzz.check import CHECKS
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.run.judge import HOOKS, Judge, overridden


class Listener(HostWatch):
    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []

    def held(self, pfn: int, kind: str) -> None:
        self.heard.append((pfn, kind))


def test_a_hook_reaches_all_who_override_it_and_no_one_else() -> None:
    listeners = [Listener(), Listener(), Listener()]
    judge = Judge([*listeners, HostWatch()])
    judge.held(7, "guest page")
    judge.dropped(7, "guest page")
    assert [listener.heard for listener in listeners] == [[(7, "guest page")]] * 3


def test_unheard_hooks_stay_those_of_the_base_class() -> None:
    assert vars(Judge([Listener()])).keys() == {"held"}


def test_every_check_listens_to_something_or_looks_at_the_end() -> None:
    assert set(overridden(Listener)) == {"held"}
    for check in CHECKS.values():
        ends = {"at_rest", "stopped"} & set(vars(check))
        assert ends or overridden(check), check.id
    assert {"called", "held", "pair_removed", "fatal"} <= set(HOOKS)
