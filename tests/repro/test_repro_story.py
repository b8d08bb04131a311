"""A trace always tells the bug: in each view, whatever was found, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from attrs import evolve

import broken_designs
from broken_designs import FreesInUse, LocksBothWays, NoPair
from golden_files import HINT_RACE, MATRIX, REGRESSIONS
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.host.design import EIO, PageCache, RefcountLayer
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.repro.answers import ERROR, EXPECTED
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.mermaid import mermaid
from tdxfuzz.repro.read import read
from tdxfuzz.repro.reproducer import Expect, Reproducer
from tdxfuzz.repro.save import save
from tdxfuzz.repro.story import story_of
from tdxfuzz.repro.svg import svg
from tdxfuzz.repro.write import file_name
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, SetupError, run
from tdxfuzz.sim import Schedule
from tiers import only_quick

HASH_OF_NOTHING = "e3b0c442"
ALONE = World(cpus=1, tds=1, slots=1)
USERS: tuple[type[RefcountLayer], ...] = tuple(
    thing
    for thing in vars(broken_designs).values()
    if isinstance(thing, type) and issubclass(thing, Merged) and thing is not Merged
)


def words(text: str) -> str:
    """A text without what a view changes of it: spaces, marks of Mermaid, short leaf names."""
    for old, new in ((";", ","), ("#", "no."), ("TDH.", ""), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(old, new)
    return "".join(text.split())


def assert_each_view_names_a_call(traced: Run) -> None:
    calls = [line for line in story_of(traced).lines if line.calls and line.text[0] != "…"]
    assert calls, columns(traced)
    views = [columns(traced, 72), columns(traced), "".join(texts(svg(traced))), mermaid(traced)]
    for view in views:
        for line in calls:
            # Mermaid shows call and answer of a line apart.
            shown = words(line.text.partition(" = ")[0])
            assert shown in words(view), view


def texts(picture: str) -> Iterator[str]:
    for part in picture.split("<text ")[1:]:
        yield part.partition(">")[2].partition("</text>")[0].replace("&amp;", "&")


@pytest.mark.parametrize("path", [*REGRESSIONS, *MATRIX], ids=lambda path: path.name.split(".")[0])
def test_each_view_of_a_reproducer_names_a_call(path: Path) -> None:
    assert HASH_OF_NOTHING not in path.name
    assert_each_view_names_a_call(run(read(path).case, traced=True))


def with_a_longer_setup(case: Case, rng: Random) -> Case:
    """The case, sometimes with the first operations of a program at the end of its set-up."""
    cpu = rng.randrange(case.world.cpus)
    moved = rng.choice((0, 0, 1, len(case.programs[cpu])))
    programs = list(case.programs)
    programs[cpu] = programs[cpu][moved:]
    if rng.random() < 0.2:
        programs = [()] * case.world.cpus
    return evolve(
        case, setup=case.setup + case.programs[cpu][:moved], programs=tuple(programs), faults=()
    )


def random_findings(seed: int, most: int) -> Iterator[Run]:
    """Traced runs with a finding: programs, set-ups and orders drawn, under broken designs."""
    rng = Random(seed)
    known: list[tuple[str, Design]] = [(name, None) for name in DESIGNS]
    known += [(user.__name__, user) for user in USERS]
    while most:
        name, design = rng.choice([*known, (HOSTILE, None)])
        choices = RandomChoices(rng)
        cpus = rng.choice((1, 2, 2, 3))
        case = draw_hostile(choices, cpus) if name == HOSTILE else draw_case(choices, name, cpus)
        if name != HOSTILE:
            case = with_a_longer_setup(case, rng)
        switches = [(rng.randrange(300), rng.randrange(cpus)) for _ in range(rng.randrange(4))]
        try:
            found = run(case.with_schedule(Schedule.of(switches)), design, traced=True)
        except SetupError:
            continue
        if found.finding is not None:
            most -= 1
            yield found


@pytest.mark.parametrize("seed", only_quick([0], range(4)))
def test_each_view_of_a_random_finding_names_a_call(seed: int) -> None:
    in_setup = 0
    for found in random_findings(seed, 50):
        assert_each_view_names_a_call(found)
        in_setup += found.told_by_setup
        assert found.trace is not None
        assert not found.trace.hash().startswith(HASH_OF_NOTHING)
    assert in_setup >= 5, "set-ups are among them"


def alone(*setup: str, design: str = "Broken") -> Case:
    return Case(design, ALONE, tuple(map(Op.parse, setup)), ((),))


def test_a_finding_in_the_setup_shows_the_operation_call_by_call() -> None:
    traced = run(alone("create 0", "map 0 0", design="Broken"), NoPair, traced=True)
    assert traced.in_setup
    text = columns(traced)
    assert text.count("-- create TD0") == 1
    assert "before" not in text
    assert "map TD0" not in text, "it never began"
    assert re.search(r"get\([BC]\d+\) = 0", text)


def test_what_came_before_the_operation_at_fault_is_named_only() -> None:
    case = alone("create 0", "map 0 0", "zap 0 0", "map 0 0", design="v2")
    traced = run(case, traced=True)
    assert traced.in_setup
    story = story_of(traced)
    assert story.before == ("create TD0", "map TD0 page A0")
    assert story.lines[0].text == "zap TD0 page A0"
    assert all(line.step is None for line in story.lines[:-1])
    assert story.lines[-1].kind == "mark"


def test_a_finding_at_the_end_of_a_setup_alone_shows_all_of_it() -> None:
    traced = run(alone("create 0"), LocksBothWays, traced=True)
    assert not traced.in_setup
    assert traced.told_by_setup
    assert "-- create TD0" in columns(traced)
    assert "TDH.MNG.CREATE" in columns(traced)


def test_two_setups_that_show_a_bug_have_two_names(tmp_path: Path) -> None:
    names = set()
    for setup in (("create 0", "destroy 0"), ("create 0", "map 0 0", "zap 0 0")):
        found = run(alone(*setup, design="v2"))
        names.add(save(found, found, tmp_path).path.name)
    assert len(names) == 2
    assert not any(HASH_OF_NOTHING in name for name in names)


def test_the_call_in_which_the_module_dies_begins() -> None:
    path = next(path for path in REGRESSIONS if "module-fatal-mem-page-remove" in path.name)
    traced = run(read(path).case, traced=True)
    for view in (columns(traced), "".join(texts(svg(traced))), mermaid(traced)):
        assert "TDH.MEM.PAGE.REMOVE(rcx=0x0 rdx=B128) begins" in view


def test_a_get_that_waits_for_ever_begins() -> None:
    path = next(path for path in REGRESSIONS if "rwlock-deadlock" in path.name)
    traced = run(read(path).case, traced=True)
    begun = [line for line in story_of(traced).lines if line.text.startswith("get(")]
    assert [line.cpu for line in begun if line.text.endswith(") begins")] == [0, 1]


class WarnsAtOnce(Merged):
    """Complains before it has made a call."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.warn("no")
        return -EIO


def test_the_get_during_which_a_finding_comes_is_shown() -> None:
    case = evolve(alone(), programs=((Op.parse("create 0"),),))
    traced = run(case, WarnsAtOnce, traced=True)
    assert re.search(r"get\([BC]\d+\) = -EIO", columns(traced))


def test_calls_on_other_ranges_are_folded() -> None:
    text = columns(run(read(HINT_RACE).case, traced=True))
    assert "… 9 calls on other ranges" in text
    assert "(C)" not in text
    assert "C153" not in text
    assert "TDH.PHYMEM.PAMT.REMOVE(A) = SUCCESS" in text


def test_the_ranges_of_a_finding_are_never_folded() -> None:
    for path in REGRESSIONS:
        traced = run(read(path).case, traced=True)
        lines = story_of(traced).lines
        last = next(line for line in reversed(lines) if line.kind != "mark")
        assert last.kind != "fold", path


def test_an_answer_that_the_design_expects_is_no_error() -> None:
    traced = run(read(HINT_RACE).case, traced=True)
    answers = {line.text.rpartition(" = ")[2]: line.answer for line in story_of(traced).lines}
    assert answers["HPA_RANGE_NOT_FREE|RCX"] == EXPECTED
    assert answers["MISSING_PAMT_PAGE_PAIR|R8"] == ERROR
    boxes = svg(traced)
    assert boxes.count('class="busy"') == 1
    assert boxes.count('<rect class="bad"') == 2, "the refused AUG, and the finding"


def test_a_refusal_that_a_finding_names_is_an_error() -> None:
    case = alone("create 0", "map 0 0", "zap 0 0", design="v3-base")
    traced = run(evolve(case, world=evolve(ALONE, kernel_ranges=(0,))), traced=True)
    assert traced.finding is not None
    assert traced.finding.status == "PAMT_PAGE_NOT_EMPTY"
    (refused,) = [line for line in story_of(traced).lines if "PAMT_PAGE_NOT_EMPTY" in line.text][:1]
    assert refused.answer == ERROR


def test_lines_of_a_design_name_file_and_line() -> None:
    traced = run(read(HINT_RACE).case, traced=True, sources=True)
    source = Path(str(Hint.get.__code__.co_filename)).read_text("utf-8").splitlines()
    text = columns(traced, 160, source=True)
    for shown, code in (
        ("TDH.PHYMEM.PAMT.ADD(A) = HPA_RANGE_NOT_FREE|RCX", "self.pamt_add(pfn, pair)"),
        ("put(A0, hint)", "def put("),
        ("get(A16) = 0", "def get("),
    ):
        line = next(line for line in text.splitlines() if shown in line)
        number = int(line.rpartition("[hint.py:")[2].rstrip("]"))
        assert code in source[number - 1]
    assert "[" not in next(line for line in text.splitlines() if "MEM.TRACK" in line)


def test_locks_of_an_inherited_design_are_named_too() -> None:
    case = evolve(alone(), programs=((Op.parse("create 0"),),))
    text = columns(run(case, FreesInUse, traced=True, sources=True), 160, source=True)
    assert "[broken_designs.py:" in text


def test_names_of_lines_change_neither_run_nor_hash() -> None:
    case = read(HINT_RACE).case
    plain, told = run(case, traced=True), run(case, traced=True, sources=True)
    assert plain.trace is not None
    assert told.trace is not None
    assert plain.trace.hash() == told.trace.hash()
    assert columns(plain) == columns(told)


def test_the_file_of_a_bug_does_not_depend_on_how_it_was_found(tmp_path: Path) -> None:
    shrunk = run(read(HINT_RACE).case)
    long = evolve(shrunk, case=evolve(shrunk.case, setup=(*shrunk.case.setup, Op.parse("map 1 0"))))
    first = save(shrunk, long, tmp_path / "a").path
    second = save(shrunk, shrunk, tmp_path / "b").path
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    assert read(first) == Reproducer(shrunk.case, expected(shrunk))
    assert file_name(read(first), "12345678") != first.name


def expected(found: Run) -> Expect:
    assert found.finding is not None
    return Expect(found.finding.bucket, found.finding.message)


def test_calls_around_a_lock_that_a_finding_names_are_not_folded() -> None:
    """The message names no range, but the lock was taken in the put of one."""
    path = next(path for path in REGRESSIONS if "irq-safety" in path.name)
    traced = run(read(path).case, traced=True)
    assert traced.finding is not None
    assert "pamt_lock" in traced.finding.message
    shown = [line.text for line in story_of(traced).lines]
    assert shown.index("put(A0)") < shown.index("lock pamt_lock")
