"""Reproducer files: what is written reads back, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden_files import HINT_RACE
from tdxfuzz.case.case import Case
from tdxfuzz.case.untrusted import MAX_BYTES
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import parse, read
from tdxfuzz.repro.reproducer import DesignFile, Expect, Origin, Reproducer
from tdxfuzz.repro.write import file_name, to_toml, write
from tdxfuzz.sim import Fault
from tdxfuzz.strategies import cases

TEXT = HINT_RACE.read_text(encoding="utf-8")

texts = st.text(max_size=30)


@given(
    case=cases("hint"),
    message=texts,
    engine=texts,
    numbers=st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 1 << 40)),
    file=st.none() | st.builds(DesignFile, texts, texts, st.just("0f" * 32)),
)
def test_a_reproducer_reads_back_as_it_was_written(
    case: Case,
    message: str,
    engine: str,
    numbers: tuple[int, int, int],
    file: DesignFile | None,
) -> None:
    operations, preemptions, seed = numbers
    expect = Expect("pamt-in-use/LEAF/SUCCESS/range", message)
    origin = Origin(operations, preemptions, engine, seed)
    reproducer = Reproducer(case, expect, origin, file)
    assert parse(to_toml(reproducer)) == reproducer


def test_faults_are_kept() -> None:
    reproducer = parse(TEXT.replace("faults = []", 'faults = [["alloc", 3]]'))
    assert reproducer.case.faults == (Fault("alloc", 3),)
    assert parse(to_toml(reproducer)) == reproducer


ELSEWHERE = {"cpus = 3": "", "tds = 1": '"create 1"'}
"""What shows a mistake, where that is not the line with the mistake; "": no line does."""


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "field", "complaint"),
    [
        ("format = 1", "format = 2", "format", "2 is later than 1; use a newer tdxfuzz"),
        ("format = 1", "format = 0", "format", "0 does not exist"),
        ("format = 1", 'format = "1"', "format", "missing, or not a number"),
        ("format = 1", "", "format", "missing, or not a number"),
        ('model = "1.5.25"', 'model = "9.9"', "model", "'9.9' is not modelled here"),
        ("cpus = 2", "cpus = 99", "world.cpus", "must be <= 8"),
        ("faults = []", "loop = [{}, 1]", "schedule.loop[0]", "must be a number, not {}"),
        ("cpus = 2", "cpus = 2.0", "world.cpus", "must be a number, not 2.0"),
        ("cpus = 2", "cpus = true", "world.cpus", "must be a number, not True"),
        ("cpus = 2", "processors = 2", "world.processors", "unknown field; known here: cpus"),
        ("cpus = 2", "cpu = 2", "world.cpu", "unknown field; did you mean cpus?"),
        ("cpus = 2", "cpus = 3", "cpu", "2 programs for 3 CPUs"),
        ("tds = 2", "tds = 1", "setup.operations[1]", "create 1: the world has only 1 tds"),
        ('"map 1 0"', '"map 1 3"', "cpu[0].operations[0]", "the world has only 1 slots"),
        ("slots = 1", "slots = 0", "world.slots", "must be >= 1"),
        ("guest_ranges = [0]", "guest_ranges = [0, 0]", "world.guest_ranges", "each once: [0, 0]"),
        ("seed = 1", "seed = -1", "origin.seed", "must be >= 0"),
        ("seed = 1", "colour = 1", "origin.colour", "unknown field"),
        ('"map 1 0"', '"map 1"', "cpu[0].operations[0]", "map takes 2 arguments"),
        ('"zap 0 0"', '"fly 0 0"', "cpu[1].operations[0]", "unknown operation 'fly'"),
        ('"zap 0 0"', "7", "cpu[1].operations[0]", "must be a string, not 7"),
        ("[[120, 1]]", "[[120, 20]]", "schedule.switches[0]", "switch to CPU 20, but there are 2"),
        ("[[120, 1]]", "[[120, 1], [119, 0]]", "schedule.switches", "ascending order"),
        ("[[120, 1]]", "[[-1, 1]]", "schedule.switches[0].step", "must be >= 0"),
        ("[[120, 1]]", "[120, 1]", "schedule.switches[0]", "must be [step, CPU], not 120"),
        ("steps = 20000", "steps = 0", "schedule.steps", "must be >= 1"),
        ('[design]\nname = "hint"', "", "design", "missing"),
        ("[expect]", "[except]", "except", "unknown field"),
        ("bucket = ", "basket = ", "expect.basket", "unknown field"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_field(
    old: str, new: str, field: str, complaint: str
) -> None:
    assert old in TEXT
    with pytest.raises(ReproducerError) as caught:
        parse(TEXT.replace(old, new, 1), "case.tdx.toml")
    message = str(caught.value)
    assert complaint in message
    where = ELSEWHERE.get(new, new)
    line = f"{line_of(TEXT.replace(old, new, 1), where)}: " if where else " "
    assert message.startswith(f"case.tdx.toml:{line}{field}: ")


def test_the_line_of_a_wrong_field_is_named() -> None:
    wrong = TEXT.replace("cpus = 2", "cpus = 99")
    with pytest.raises(ReproducerError) as caught:
        parse(wrong, "x")
    assert str(caught.value).startswith(f"x:{line_of(wrong, 'cpus = 99')}: world.cpus: ")


@pytest.mark.parametrize("length", [1, 40, 200, 400, len(TEXT) - 40])
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(ReproducerError):
        parse(TEXT[:length])


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_a_single_wrong_character_is_refused_or_makes_another_whole_file(
    at: int, character: str
) -> None:
    try:
        reproducer = parse(TEXT[:at] + character + TEXT[at + 1 :])
    except ReproducerError:
        return
    assert parse(to_toml(reproducer)) == reproducer


def test_what_is_not_text_or_too_large_or_absent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tdx.toml"
    with pytest.raises(ReproducerError, match="No such file"):
        read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReproducerError, match="not UTF-8 text"):
        read(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ReproducerError, match="larger than"):
        read(path)


def test_writing_leaves_no_half_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reproducer = parse(TEXT)
    path = tmp_path / "deep" / "er" / "x.tdx.toml"

    def full_disk(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write(reproducer, path)
    assert list(path.parent.iterdir()) == []


def test_a_file_is_named_after_what_it_shows() -> None:
    reproducer = parse(TEXT)
    name = file_name(reproducer, "abcdef0123456789")
    assert name == "hint-pamt-in-use-phymem-pamt-remove-abcdef01.tdx.toml"
