"""What a call holds, and in which order the exit path lets go of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi import Registers
from tdxfuzz.module.call import Call, LogicalProcessor


class Releases:
    """Releases that note their name when they happen."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.a = self._make("a")
        self.b = self._make("b")
        self.c = self._make("c")

    def _make(self, name: str) -> Callable[[], None]:
        return lambda: self.done.append(name)


@pytest.fixture
def call() -> Call:
    return Call(58, 0, LogicalProcessor(0), Registers())


def test_the_exit_path_releases_last_in_first_out(call: Call) -> None:
    releases = Releases()
    for release in (releases.a, releases.b, releases.c):
        call.hold(release)
    call.unwind()
    assert releases.done == ["c", "b", "a"]


def test_what_is_to_go_first_goes_before_what_is_held_later(call: Call) -> None:
    releases = Releases()
    call.hold(releases.a)
    call.hold(releases.b)
    call.release_first()
    call.hold(releases.c)
    call.unwind()
    assert releases.done == ["b", "c", "a"]


def test_letting_go_releases_the_last_at_once_and_only_once(call: Call) -> None:
    releases = Releases()
    call.hold(releases.a)
    call.hold(releases.b)
    call.let_go()
    assert releases.done == ["b"]
    call.unwind()
    assert releases.done == ["b", "a"]


def test_what_something_else_has_released_is_not_released_again(call: Call) -> None:
    releases = Releases()
    call.hold(releases.a)
    call.hold(releases.b)
    call.hold(releases.c)
    call.forget(releases.b)
    call.unwind()
    assert releases.done == ["c", "a"]


def test_what_was_to_go_first_can_be_forgotten_too(call: Call) -> None:
    releases = Releases()
    call.hold(releases.a)
    call.release_first()
    call.hold(releases.b)
    call.forget(releases.a)
    call.unwind()
    assert releases.done == ["b"]


def test_forgetting_what_is_not_held_is_an_error(call: Call) -> None:
    with pytest.raises(ValueError, match="not in list"):
        call.forget(Releases().a)


def test_a_processor_starts_on_the_first_package_without_interrupts() -> None:
    lp = LogicalProcessor(3)
    assert (lp.id, lp.package, lp.interrupt_pending) == (3, 0, False)
