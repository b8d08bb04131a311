"""What the targets do with bytes, without libFuzzer."""

from __future__ import annotations

import random
from pathlib import Path
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from c_layers import needs_compiler, text_of, twin, write
from golden_files import HINT_RACE, REGRESSIONS, ROOT
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.fuzzers import seeds
from tdxfuzz.fuzzers.cases import MOST_BYTES, MOST_CPUS, MOST_OPERATIONS, Cases, FoundByFuzzing
from tdxfuzz.fuzzers.known import KNOWN_HOSTILE
from tdxfuzz.fuzzers.properties import check_reproducer, check_words
from tdxfuzz.fuzzers.seeds import write_seeds
from tdxfuzz.generate.codec import decode, encode
from tdxfuzz.host.design import PageCache
from tdxfuzz.host.design_file import class_in
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.repro.read import read
from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.result import Run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import Schedule
from tiers import slow

HOSTILE_REGRESSIONS = [path for path in REGRESSIONS if read(path).case.design == HOSTILE]


def test_a_finding_is_raised() -> None:
    data = encode(read(HINT_RACE).case)
    with pytest.raises(FoundByFuzzing, match="pamt-in-use"):
        Cases("hint").test_one_input(data)
    Cases("merged").test_one_input(data)


def test_a_world_that_was_used_before_says_the_same() -> None:
    data = encode(read(HINT_RACE).case)
    cases = Cases("hint")
    for _ in range(4):
        with pytest.raises(FoundByFuzzing, match="pamt-in-use"):
            cases.test_one_input(data)


def test_a_run_that_is_not_deterministic_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    get = Merged.get

    def guesses(self: Merged, pfn: int, cache: PageCache | None = None) -> int:
        if random.random() < 0.5:
            self.refcount(pfn).read()
        return get(self, pfn, cache)

    monkeypatch.setattr(Merged, "get", guesses)
    cases, data = Cases("merged"), encode(read(HINT_RACE).case)

    def fuzz() -> None:
        for _ in range(16):
            cases.test_one_input(data)

    with pytest.raises(NotDeterministicError):
        fuzz()


def test_the_known_findings_are_those_that_are_written_up() -> None:
    assert {read(path).expect.bucket for path in HOSTILE_REGRESSIONS} == KNOWN_HOSTILE


@pytest.mark.parametrize("path", HOSTILE_REGRESSIONS, ids=lambda path: path.name.split(".")[0])
def test_a_known_finding_is_passed_over(path: Path) -> None:
    data = encode(read(path).case)
    Cases(HOSTILE, KNOWN_HOSTILE).test_one_input(data)
    with pytest.raises(FoundByFuzzing):
        Cases(HOSTILE).test_one_input(data)


@pytest.mark.parametrize(("design", "known"), [("merged", frozenset()), (HOSTILE, KNOWN_HOSTILE)])
def test_fuzzing_for_a_while_shows_nothing_new(
    design: str, known: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libFuzzer does, but for coverage: mutants, and mutants of them, all of them cases.

    A mutant whose set-up fails, and one on another module, is passed over; most are judged.
    """
    write_seeds(tmp_path, ROOT / "corpus")
    folder = tmp_path / ("hostile" if design == HOSTILE else "host_ops")
    inputs = [path.read_bytes() for path in sorted(folder.iterdir())]
    rng = Random(1)
    cases = Cases(design, known)

    def blindly(data: bytes, max_size: int) -> bytes:
        return bytes(rng.randrange(256) if rng.random() < 0.05 else byte for byte in data)

    verdicts: list[Run] = []
    run = Worlds.run

    def noting(worlds: Worlds, case: Case) -> Run:
        verdicts.append(run(worlds, case))
        return verdicts[-1]

    judged = 0
    for _ in range(400):
        data = cases.mutated(rng.choice(inputs), 128, rng.randrange(1 << 30), blindly)
        verdicts.clear()
        with monkeypatch.context() as patched:
            patched.setattr(Worlds, "run", noting)
            cases.test_one_input(data)
        judged += bool(verdicts)
        if rng.random() < 0.2:
            inputs.append(data)
    assert judged > 300


@slow
@needs_compiler
def test_a_layer_in_c_is_fuzzed_as_any_other(tmp_path: Path) -> None:
    """The right one shows nothing; of one that removes too early the fuzzer is told."""
    write_seeds(tmp_path, ROOT / "corpus")
    inputs = [path.read_bytes() for path in sorted((tmp_path / "host_ops").iterdir())]
    broken = text_of(replace=[("atomic_read(refcount) > 1", "atomic_read(refcount) > 2")])
    path = write(tmp_path, broken, "merged.c")
    for layer, found in ((twin("merged"), False), (class_in(path), True)):
        cases = Cases("Merged", layer=layer)
        rng = Random(1)
        told = 0
        for _ in range(150):
            data = cases.mutated(
                rng.choice(inputs), 128, rng.randrange(1 << 30), lambda data, _: data
            )
            try:
                cases.test_one_input(data)
            except FoundByFuzzing:
                told += 1
        assert bool(told) is found


@pytest.mark.parametrize("design", ["merged", HOSTILE])
@given(data=st.binary(max_size=40), other=st.binary(max_size=40), seed=st.integers(0, 1 << 32))
def test_mutants_and_children_are_cases_and_follow_from_the_seed(
    design: str, data: bytes, other: bytes, seed: int
) -> None:
    cases = Cases(design)
    mutant = cases.mutated(data, 4096, seed, lambda data, _: data)
    assert mutant == Cases(design).mutated(data, 4096, seed, lambda data, _: data)
    child = cases.crossed(mutant, other, 4096, seed)
    assert child == Cases(design).crossed(mutant, other, 4096, seed)
    for made in (mutant, child):
        case = decode(made, design)
        assert decode(encode(case), design) == case
        assert case.world.cpus <= MOST_CPUS
        assert case.operations <= MOST_OPERATIONS


def test_no_seed_is_cut_off(tmp_path: Path) -> None:
    write_seeds(tmp_path, ROOT / "corpus")
    for target in ("hostile", "host_ops"):
        lengths = [path.stat().st_size for path in (tmp_path / target).iterdir()]
        assert 0 < max(lengths) <= MOST_BYTES


def test_a_case_that_is_too_large_keeps_its_beginning() -> None:
    programs = ((Op("map", (0, 0)), *[Op("zap", (0, 0))] * 9), *[(Op("vcpu", (1,)),)] * 7)
    switches = Schedule.of([(3, 1), (5, 7), (9, 8), (12, 2)])
    large = Case("merged", World(cpus=8), (), programs, switches)
    child = Cases("merged").crossed(encode(large), encode(large), 4096, 1)
    shortened = tuple(program[:2] for program in programs[:4])
    kept = Schedule.of([(3, 1), (12, 2)])
    assert decode(child, "merged") == Case("merged", World(cpus=4), (), shortened, kept)


def test_two_cases_that_are_too_large_together_have_children() -> None:
    """Crossed before they were cut, they had more operations than a case may have."""
    most = Case("merged", World(cpus=2), (), ((Op("vcpu", (0,)),) * 63, ()))
    last = evolve(most, programs=most.programs[::-1])
    cases = Cases("merged")
    for seed in range(8):
        child = decode(cases.crossed(encode(most), encode(last), 4096, seed), "merged")
        assert child.operations <= MOST_OPERATIONS


def test_what_libfuzzer_makes_of_bytes_is_written_as_a_case_is() -> None:
    """So that the same case does not come again and again as other bytes."""
    cases = Cases("merged")
    long = b"\x00\x01\x08" + bytes(range(60))
    made = {cases.mutated(b"", 4096, seed, lambda *_: long) for seed in range(40)}
    canonical = encode(decode(long, "merged"))
    assert canonical != long
    assert canonical in made
    assert long not in made


def test_what_does_not_fit_is_given_back() -> None:
    data = encode(read(HINT_RACE).case)
    assert Cases("hint").mutated(data, 2, 3, lambda data, size: data[:size]) == data[:2]
    assert Cases("hint").crossed(data, data, 2, 1) == data[:2]


@given(st.binary(max_size=40))
def test_any_bytes_are_words(data: bytes) -> None:
    check_words(data)


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_a_reproducer_or_are_refused(data: bytes) -> None:
    check_reproducer(data)


@pytest.mark.parametrize("corpora", [(), (ROOT / "corpus",)], ids=["built in", "corpus"])
def test_seeds_are_what_they_are_said_to_be(tmp_path: Path, corpora: tuple[Path, ...]) -> None:
    counts = write_seeds(tmp_path, *corpora)
    assert {name for name, count in counts.items() if count} == {
        "host_ops",
        "hostile",
        "status_words",
        "reproducers",
    }
    for path in (tmp_path / "reproducers").iterdir():
        check_reproducer(path.read_bytes())
    for path in (tmp_path / "status_words").iterdir():
        check_words(path.read_bytes())
    for line in (tmp_path / "reproducers.dict").read_text(encoding="utf-8").splitlines():
        assert line.startswith('"')
        assert line.endswith('"')


def test_a_corpus_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tdxfuzz-seeds", str(tmp_path), "--corpus", "nowhere"])
    with pytest.raises(SystemExit) as stop:
        seeds.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: nowhere: no such folder\n"
