"""Exports of a reproducer: the C program that makes its calls, and the mail about it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from attrs import evolve

from c_layers import needs_compiler
from commands import Invoke
from golden_files import HINT_RACE, REGRESSIONS, ROOT
from tdxfuzz.host.design import PageCache, Rwlock
from tdxfuzz.host.designs.per_range_rwlock import PerRangeRwlock
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.repro.as_c import as_c
from tdxfuzz.repro.calls import calls_of
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.mail import WIDTH, mail
from tdxfuzz.repro.mermaid import mermaid
from tdxfuzz.repro.read import parse, read
from tdxfuzz.repro.reproducer import Expect, Reproducer
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import Record
from tiers import SLOW_AND_LONG, only_quick, slow

V4 = next(path for path in REGRESSIONS if path.name.startswith("v4-unexpected"))
FATAL = next(path for path in REGRESSIONS if "module-fatal-mem-page-remove" in path.name)
DEADLOCK = next(path for path in REGRESSIONS if "rwlock-deadlock" in path.name)

MATRIX = sorted((ROOT / "corpus/matrix").glob("*.tdx.toml"))

COMPILE = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread")


def built(text: str, folder: Path, *flags: str) -> Path:
    source, program = folder / "race.c", folder / "race"
    source.write_text(text, encoding="utf-8")
    compiler = shutil.which("gcc") or shutil.which("clang") or "cc"
    command = [compiler, *COMPILE, *flags, "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@needs_compiler
@pytest.mark.parametrize(
    "path",
    only_quick((V4, FATAL, DEADLOCK), REGRESSIONS, SLOW_AND_LONG),
    ids=lambda path: path.name,
)
def test_the_program_makes_the_calls_of_the_run_in_its_order(path: Path, tmp_path: Path) -> None:
    shown = run(read(path).case, traced=True)
    assert shown.trace is not None
    program = built(as_c(shown), tmp_path)
    done = subprocess.run([program], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0
    made = re.findall(r"^CPU (\d) (\S+) = (0x[0-9a-f]{16})$", done.stdout, re.MULTILINE)
    setup = [] if shown.setup_trace is None else list(shown.setup_trace)
    cpus = shown.case.world.cpus
    before = calls_of(setup, cpus)
    calls = calls_of([r for r in shown.trace if not any(r is each for each in setup)], cpus)
    assert len(made) == len(before) + len(calls)
    assert [name for _, name, _ in made[: len(before)]] == [call.leaf.name for call in before]
    # A call that others were told to wait for has returned before they begin.
    place: dict[tuple[int, int], int] = {}
    counts = [0] * cpus
    for i, (cpu, _, _) in enumerate(made[len(before) :]):
        place[int(cpu), counts[int(cpu)]] = i
        counts[int(cpu)] += 1
    own = [0] * cpus
    for call in calls:
        for other, number in call.returned.items():
            if number:
                assert place[other, number - 1] < place[call.cpu, own[call.cpu]]
        own[call.cpu] += 1


@needs_compiler
def test_a_call_that_is_answered_otherwise_is_said_to_be(tmp_path: Path) -> None:
    text = as_c(run(read(V4).case, traced=True))
    program = built(text, tmp_path, "-DSEAMCALL(cpu,rax,regs)=((cpu)*0+(rax)*0+(regs)[0]*0+7)")
    done = subprocess.run([program], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "TDH.MEM.RANGE.BLOCK: the model answers 0x0000000000000000" in done.stdout


def test_a_call_that_overlaps_another_waits_for_its_begin_only() -> None:
    records = [
        Record(0, 0, "call", "58", ("rcx", 1)),
        Record(1, 1, "call", "59", ("rcx", 2)),
        Record(2, 1, "return", "59", (0,)),
        Record(3, 0, "return", "58", (0,)),
        Record(4, 1, "call", "59", ("rcx", 2)),
    ]
    first, second, third = calls_of(records, 2)
    assert (first.begun, first.returned, first.answer) == ({}, {}, 0)
    assert (second.begun, second.returned) == ({0: 1}, {})
    assert (third.returned, third.answer) == ({0: 1}, None)


def test_what_a_file_says_stays_in_the_comment(tmp_path: Path) -> None:
    reproducer = read(HINT_RACE)
    case = evolve(reproducer.case, design="x */ int y; /* \\")
    from tdxfuzz.host.designs import DESIGNS

    text = as_c(run(case, DESIGNS["hint"], traced=True))
    assert text.partition("Written by")[0].count("*/") == 0


HOSTILE = 'a`b "q" \n--> ; %%{init: {"theme": 0}}%% <b> &lt; # \x1b[31m \u202e\u2028 */ From x\n.\n'


class Names(PerRangeRwlock):
    """A design whose locks have hostile names."""

    def lock_of(self, pfn: int) -> Rwlock:
        return self.rwlock(f"{HOSTILE}[{pfn >> 9:#x}]")


class Warns(V6):
    """A design that says what is hostile."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.warn(f"From {HOSTILE}")
        return super().get(pfn, cache)


HOSTILE_RUNS = {"names": (DEADLOCK, Names), "words": (V4, Warns)}


@pytest.fixture(params=HOSTILE_RUNS)
def hostile(request: pytest.FixtureRequest) -> tuple[Reproducer, Run]:
    path, design = HOSTILE_RUNS[request.param]
    reproducer = read(path)
    return reproducer, run(evolve(reproducer.case, design=HOSTILE), design, traced=True)


def test_hostile_names_are_one_mail_whose_lines_are_text(hostile: tuple[Reproducer, Run]) -> None:
    reproducer, shown = hostile
    told = evolve(reproducer, case=shown.case)
    text = mail(told, shown, "tdxfuzz replay race.tdx.toml")
    head, body = text.split("\n\n", 1)
    assert [line for line in head.split("\n")[1:] if not line.startswith(" ")] == []
    for line in text.split("\n"):
        assert line.isprintable()
        assert len(line) <= WIDTH
        assert not line.startswith("From ")
        assert line.rstrip() not in (".", "--", "---")
    assert shown.finding is not None
    assert "^ " in body
    pasted = text.partition("save this as race.tdx.toml:")[2].partition("\nand run\n")[0]
    assert parse(pasted) == told


def test_hostile_names_are_text_in_a_diagram(hostile: tuple[Reproducer, Run]) -> None:
    lines = mermaid(hostile[1]).split("\n")
    assert (lines[0], lines[-1]) == ("sequenceDiagram", "")
    for line in lines[1:-1]:
        assert line.isprintable()
        assert re.match(r"    (participant \w+ as|Note over C\d(,C\d)?:|C\d->>M:|M-->>C\d:) ", line)
        text = re.sub(r"#\w+;", "", line.partition(": ")[2])
        assert not set(text) & set("#;<&`")
        assert "%%" not in text


def fits(path: Path) -> str:
    """The mail about a reproducer, after a look at its lines and at what is to be pasted."""
    reproducer = read(path)
    text = mail(reproducer, run(reproducer.case, traced=True), "tdxfuzz replay race.tdx.toml")
    assert max(map(len, text.splitlines())) <= WIDTH
    pasted, _, command = text.partition("save this as race.tdx.toml:")[2].partition("\nand run\n")
    assert parse(pasted) == reproducer
    assert parse(textwrap.dedent(pasted)) == reproducer
    assert command.strip() == "tdxfuzz replay race.tdx.toml"
    return text


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.name)
def test_a_mail_fits_and_says_what_breaks(path: Path) -> None:
    text, reproducer = fits(path), read(path)
    front = text.partition("save this as race.tdx.toml:")[0]
    assert text.startswith(f"Subject: {reproducer.case.design}: {reproducer.expect.check}")
    assert "".join(reproducer.expect.message[1:].split()) in "".join(front.split())
    assert re.search(r"It needs this order|It shows (on one|with each)|which the file lists", front)


@slow
def test_a_mail_about_any_finding_of_the_matrix_fits_and_can_be_pasted() -> None:
    for path in MATRIX:
        fits(path)


def test_a_file_pasted_from_a_mail_replays(invoke: Invoke) -> None:
    text = invoke("show", V4, "--as", "mail").out
    pasted = text.partition("save this as race.tdx.toml:")[2].partition("\nand run\n")[0]
    Path("race.tdx.toml").write_text(pasted, encoding="utf-8")
    command = text.rstrip().rpartition("\n")[2].split()
    answer = invoke(*command[1:])
    assert (answer.code, answer.out.split()[0]) == (1, "FAILED")


def test_a_long_command_of_a_mail_is_one_command_of_several_lines() -> None:
    reproducer = read(HINT_RACE)
    words = f"tdxfuzz replay race.tdx.toml --design {'d' * 40}.py:Mine --kvm {'k' * 30}.py:Kvm"
    text = mail(reproducer, run(reproducer.case, traced=True), words)
    assert max(map(len, text.splitlines())) <= WIDTH
    command = text.partition("\nand run\n")[2]
    assert shlex.split(command.replace("\\\n", "")) == words.split(), "as a shell joins lines"


@pytest.mark.parametrize(
    "path", only_quick((V4, FATAL, DEADLOCK), REGRESSIONS, SLOW_AND_LONG), ids=str
)
def test_columns_fit_into_forty_characters(path: Path) -> None:
    text = columns(run(read(path).case, traced=True), 40)
    assert max(map(len, text.splitlines())) <= 40


def test_a_mail_about_a_run_that_is_clean_says_so() -> None:
    reproducer = evolve(read(HINT_RACE), expect=Expect("pamt-in-use/x", "was there"))
    clean = run(evolve(reproducer.case, design="merged"), traced=True)
    assert "In this order nothing shows." in mail(reproducer, clean, "x")
