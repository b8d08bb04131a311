"""State of a design outside of cells is found wherever its code can keep it, and named."""

from __future__ import annotations

import logging
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import count, cycle
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.design_file import class_in
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.outside_state import changed, outside_state
from tdxfuzz.run.session import Session
from tdxfuzz.verify.search import verify
from tdxfuzz.verify.worklist import Bounds

HERE = Path(__file__).name
COUNT = 0
TABLE: dict[str, list[int]] = {"gets": []}
NUMBERS = count()
RNG = Random(1)
BYTES = array("L", [0])
NESTED = SimpleNamespace(inner=deque([Counter[str]()]))
MADE_LATER: int
log = logging.getLogger(__name__)


class Stats:
    """A user's own object, with slots."""

    __slots__ = ("gets",)
    total = 0

    def __init__(self) -> None:
        self.gets = 0


STATS = Stats()


def bump() -> None:
    """A helper with a global, called from the design."""
    global COUNT
    COUNT += 1


def add_to_table() -> None:
    TABLE["gets"].append(1)


def make_later() -> None:
    global MADE_LATER
    MADE_LATER = 1


def by_name() -> None:
    globals()["COUNT"] += 1


def with_default(seen: list[int] = []) -> None:  # noqa: B006
    seen.append(1)


def with_attribute() -> None:
    with_attribute.calls = 1  # type: ignore[attr-defined]


def counting() -> Callable[[], None]:
    n = 0

    def more() -> None:
        nonlocal n
        n += 1

    return more


more = counting()
and_more = counting()


def through_both() -> None:
    more()
    and_more()


def rolls() -> None:
    RNG.random()


def draws() -> None:
    next(NUMBERS)


def writes_bytes() -> None:
    BYTES[0] += 1


def nested() -> None:
    NESTED.inner[0]["gets"] += 1


def counts_in_slots() -> None:
    STATS.gets += 1


def counts_in_another_class() -> None:
    Stats.total += 1


def counts_in_the_base() -> None:
    RefcountLayer.gets = 1  # type: ignore[attr-defined]


def generates() -> Iterator[int]:
    yield from range(1000)


GENERATED = generates()


def advances() -> None:
    next(GENERATED)


@cache
def remembered(pfn: int) -> int:
    return pfn >> 9


def does_nothing_wrong() -> None:
    remembered(COUNT)
    log.debug("a get")


OUTSIDE = {
    bump: f"module global COUNT of {HERE}",
    add_to_table: f"module global TABLE of {HERE}",
    make_later: f"module global MADE_LATER of {HERE}",
    by_name: f"module global COUNT of {HERE}",
    with_default: f"default value of seen in with_default() of {HERE}",
    with_attribute: f"attribute calls of with_attribute() of {HERE}",
    through_both: f"variable n around more() of {HERE}",
    rolls: f"module global RNG of {HERE}",
    draws: f"module global NUMBERS of {HERE}",
    writes_bytes: f"module global BYTES of {HERE}",
    nested: f"module global NESTED of {HERE}",
    counts_in_slots: f"module global STATS of {HERE}",
    counts_in_another_class: "class attribute Stats.total",
    counts_in_the_base: "class attribute RefcountLayer.gets",
    advances: f"module global GENERATED of {HERE}",
}


def design_that(does: Callable[[], None]) -> type[RefcountLayer]:
    """A design whose get does something beside."""

    class Layer(Merged):
        def get(self, pfn: int, cache: PageCache | None = None) -> int:
            does()
            return super().get(pfn, cache)

    return Layer


def what_changes(design: type[RefcountLayer]) -> list[str]:
    """What a run of a design changes outside of cells."""
    session = Session(Case("mine"), design)
    before = outside_state(session.layer)
    page = session.host.layout.guest_pfn(0, 0)

    def program() -> None:
        session.layer.get(page)

    session.sim.run([program, program])
    return changed(before, outside_state(session.layer))


@pytest.mark.parametrize("does", OUTSIDE, ids=lambda does: does.__name__)
def test_what_a_helper_of_a_design_keeps_is_named(does: Callable[[], None]) -> None:
    found = what_changes(design_that(does))
    if "gets" in vars(RefcountLayer):
        del RefcountLayer.gets  # type: ignore[attr-defined]
    vars(with_attribute).clear()
    globals().pop("MADE_LATER", None)
    assert OUTSIDE[does] in found
    assert len(found) == (2 if does is through_both else 1)


def test_a_cache_of_a_function_and_a_logger_may_fill_up() -> None:
    remembered.cache_clear()
    assert what_changes(design_that(does_nothing_wrong)) == []
    assert remembered.cache_info().currsize == 1


def test_a_cache_of_a_method_keeps_what_cells_held() -> None:
    """Cells change, and the cache answers as they were."""

    class Remembers(Merged):
        @cache  # noqa: B019
        def count(self, pfn: int) -> int:
            return self.refcount(pfn).read()

        def get(self, pfn: int, cache: PageCache | None = None) -> int:
            self.count(pfn)
            return super().get(pfn, cache)

    assert what_changes(Remembers) == ["cache of Remembers.count()"]


class InItself(Merged):
    """Keeps state in the object and in the class."""

    seen: list[int] = []  # noqa: RUF012
    last = -1

    def setup(self) -> None:
        super().setup()
        self.table: dict[str, list[int]] = {"gets": []}
        self.turns = cycle([0, 1])
        self.stats = Stats()
        self.note = partial(self.table["gets"].append)

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.seen.append(pfn)
        type(self).last = pfn
        self.note(pfn)
        self.stats.gets += 1
        return super().get(pfn, cache)


def test_what_a_design_keeps_in_itself_and_in_its_class_is_named() -> None:
    assert sorted(what_changes(InItself)) == [
        "class attribute InItself.last",
        "class attribute InItself.seen",
        "self.note of InItself",
        "self.stats of InItself",
        "self.table of InItself",
    ]


class KeepsLocks(Merged):
    """Keeps cells in containers: what they hold is in the key."""

    def setup(self) -> None:
        super().setup()
        self.locks = [self.spinlock(f"lock{i}") for i in range(2)]
        self.turn = {"turn": self.atomic("turn")}

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.locks[0]:
            self.turn["turn"].inc()
        return super().get(pfn, cache)


def test_cells_may_change() -> None:
    assert what_changes(KeepsLocks) == []


@pytest.mark.parametrize("design", DESIGNS)
def test_no_built_in_design_keeps_anything(design: str) -> None:
    session = Session(SCENARIOS["map-zap"].case(design))
    before = outside_state(session.layer)
    session.run_programs()
    assert changed(before, outside_state(session.layer)) == []


def test_a_design_in_a_file_and_a_helper_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_of_layer.py").write_text("COUNT = 0\n")
    (tmp_path / "mylayer.py").write_text(
        "import helper_of_layer\n"
        "from tdxfuzz.host.designs.merged import Merged\n"
        "GETS = []\n"
        "class Layer(Merged):\n"
        "    def get(self, pfn, cache=None):\n"
        "        helper_of_layer.COUNT += 1\n"
        "        GETS.append(pfn)\n"
        "        return super().get(pfn, cache)\n"
    )
    assert sorted(what_changes(class_in(tmp_path / "mylayer.py"))) == [
        "module global COUNT of helper_of_layer.py",
        "module global GETS of mylayer.py",
    ]


def test_a_value_that_is_part_of_itself_ends() -> None:
    ring: list[object] = [1]
    ring.append(ring)

    class Layer(Merged):
        def get(self, pfn: int, cache: PageCache | None = None) -> int:
            ring[0] = 2
            return super().get(pfn, cache)

    assert what_changes(Layer) == [f"variable ring around Layer.get() of {HERE}"]


class PutsBack(Merged):
    """Counts the CPUs inside of put, and leaves nothing behind. Nobody has a reason to preempt it
    there: its own step is about something else.
    """

    def setup(self) -> None:
        super().setup()
        self.quiet = self.atomic("quiet")
        self.inside = [0]

    def put(self, pfn: int, hint: bool = False) -> None:
        self.inside[0] += 1
        self.quiet.read()
        if self.inside[0] == 2:
            self.warn("two CPUs at once")
        self.quiet.read()
        self.inside[0] -= 1
        super().put(pfn, hint)


def test_state_that_is_put_back_before_the_next_call_is_seen_at_the_steps_between() -> None:
    with pytest.raises(DesignError, match=r"self\.inside of PutsBack"):
        Session(SCENARIOS["zap-zap"].case("PutsBack"), PutsBack).run_programs()
    with pytest.raises(DesignError, match=r"self\.inside of PutsBack"):
        verify(SCENARIOS["zap-zap"].case("PutsBack"), PutsBack, Bounds(1))
