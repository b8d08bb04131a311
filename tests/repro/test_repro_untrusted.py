"""Files from elsewhere: one error each, in bounded time and memory, whatever is in them."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import hostile_files
from hostile_files import LABORIOUS, LONG_JSON, divergence_texts, mutant, reproducer_texts
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import parse, parse_case, read
from tdxfuzz.repro.replay import replay
from tdxfuzz.sim import HarnessError
from tdxfuzz.targets.conform import conform
from tdxfuzz.targets.library import files
from tdxfuzz.targets.library import replay as divergences
from tdxfuzz.targets.recording import RecordingError
from tdxfuzz.targets.versions import changes_between
from tiers import long, slow

SECONDS = 2.0
"""CPU time for one file."""

KILOBYTES = 200 << 10
"""More than at the start."""


def within_bounds(work: Callable[[], object]) -> float:
    """Do it within the bounds; the CPU seconds that it took."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    work()
    seconds = time.process_time() - begin
    assert seconds < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < KILOBYTES
    return seconds


@pytest.mark.parametrize("name", LABORIOUS)
@pytest.mark.parametrize("reads", [parse, parse_case])
def test_a_text_that_is_laborious_to_parse_is_refused(
    name: str, reads: Callable[[str, str], object]
) -> None:
    def refuse() -> None:
        with pytest.raises(ReproducerError) as caught:
            reads(LABORIOUS[name], "x.tdx.toml")
        text = str(caught.value)
        assert text.startswith("x.tdx.toml")
        assert len(text) < 2_000
        assert text.isprintable()

    within_bounds(refuse)


@pytest.mark.parametrize("name", LONG_JSON)
@pytest.mark.parametrize("reads", [files.read, conform, lambda path: changes_between(path, path)])
def test_so_is_a_recording(tmp_path: Path, name: str, reads: Callable[[Path], object]) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(LONG_JSON[name], encoding="utf-8")

    def refuse() -> None:
        with pytest.raises(RecordingError) as caught:
            reads(path)
        assert str(caught.value).startswith(str(path))
        assert len(str(caught.value)) < 2_000

    within_bounds(refuse)


def test_numbers_dots_and_brackets_in_strings_and_comments_are_harmless() -> None:
    text = hostile_files.TEXT.replace(
        'message = "', 'message = "' + "[" * 99 + "." * 99 + "1" * 999
    )
    parse(f"# {'[{' * 99} {'a.' * 99} {'1' * 999}\n{text}")


def outcome(work: Callable[[], object], *refusals: type[Exception]) -> str:
    """How a file was refused; "" if it was not."""
    try:
        work()
    except refusals as error:
        return str(error)
    return ""


@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=[slow, long])])
def test_mutants_of_reproducers_are_read_replayed_or_refused(tmp_path: Path, count: int) -> None:
    rng, texts = Random(25), reproducer_texts()
    path = tmp_path / "x.tdx.toml"

    def work() -> None:
        replay(read(path))

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    good, slowest = 0, 0.0
    for _ in range(count):
        path.write_text(mutant(rng, texts), encoding="utf-8", errors="surrogatepass")
        begin = time.process_time()
        said = outcome(work, ReproducerError, HarnessError)
        slowest = max(slowest, time.process_time() - begin)
        assert said.isprintable() or "the design" in said
        good += not said
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    print(f"{count} mutants, {good} can be read, slowest {slowest:.2f} s, {more >> 10} MB more")
    assert slowest < SECONDS
    assert more < KILOBYTES
    assert count // 50 < good < count, "mutants of one kind only"


@pytest.mark.parametrize("count", [150, pytest.param(5_000, marks=[slow, long])])
def test_so_are_mutants_of_divergences(tmp_path: Path, count: int) -> None:
    rng, texts = Random(25), divergence_texts()
    path = tmp_path / "x.jsonl"

    def work() -> None:
        divergences.replay(files.read(path), None)

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    good, slowest = 0, 0.0
    for _ in range(count):
        path.write_text(mutant(rng, texts), encoding="utf-8", errors="surrogatepass")
        begin = time.process_time()
        good += not outcome(work, RecordingError, HarnessError)
        slowest = max(slowest, time.process_time() - begin)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    print(f"{count} mutants, {good} can be read, slowest {slowest:.2f} s, {more >> 10} MB more")
    assert slowest < SECONDS
    assert more < KILOBYTES
    assert count // 50 < good < count, "mutants of one kind only"
