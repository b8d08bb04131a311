"""What the documents show is what happens."""

from __future__ import annotations

import ast
import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c_layers import needs_compiler
from commands import Invoke
from golden_files import FOLDER, ROOT
from target_libraries import build
from tdxfuzz.cli import report
from tdxfuzz.cli.design_arg import choose
from tdxfuzz.cli.main import COMMANDS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.shrink.shrink import ShrinkResult
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.record import record
from tiers import first_quick, slow

TRACE = (FOLDER / "hint-pamt-in-use-phymem-pamt-remove-c8e40b86.72.txt").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str = "") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def test_the_trace_in_the_readme_is_the_real_one() -> None:
    (shown,) = [block for block in blocks(ROOT / "README.md") if "CPU 0" in block]
    for line in shown.splitlines():
        if line.strip() != "...":
            assert line in TRACE.splitlines()


def test_the_design_in_the_guide_runs_and_is_clean(tmp_path: Path) -> None:
    path = tmp_path / "mylayer.py"
    path.write_text(blocks(ROOT / "docs/writing-a-design.md", "python")[0], encoding="utf-8")
    chosen = choose(f"{path}:MyLayer")
    plan = HuntPlan("MyLayer", Budget(cases=500), design=chosen.design)
    assert hunt(plan).found is None


def test_what_the_guide_adds_to_its_design_passes(invoke: Invoke) -> None:
    first, *others = blocks(ROOT / "docs/writing-a-design.md", "python")
    for added in others:
        name = added.partition("class ")[2].partition("(")[0]
        verified(f"{first}\n\n{added}", name, invoke, "--scenario", "zap-zap")


@needs_compiler
def test_what_the_c_guide_adds_to_its_layer_passes(invoke: Invoke) -> None:
    first, *others = blocks(C_GUIDE, "c")
    layer = first.partition("TDX_LAYER(")[0]
    for added in others:
        if "TDX_LAYER(.init = init, " in added:
            Path("added.c").write_text(f"{layer}\n{added}", encoding="utf-8")
            answer = invoke("verify", "added.c", "--scenario", "zap-zap", "--format", "json")
            assert answer.code == 0, answer.err


def designs_shown() -> list[tuple[str, str, str]]:
    """Each class of a page that is a design of its own: page, code block, name."""
    return [
        (path.name, block, node.name)
        for path in DOCUMENTS
        for block in blocks(path, "python")
        for node in ast.parse(block).body
        if isinstance(node, ast.ClassDef) and is_whole_design(node)
    ]


def is_whole_design(node: ast.ClassDef) -> bool:
    """Whether a class has all that a design must have; other examples leave some out."""
    return {"get", "put"} <= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}


each_design_shown = pytest.mark.parametrize(
    ("block", "name"),
    [pytest.param(block, name, id=f"{page}:{name}") for page, block, name in designs_shown()],
)


def verified(block: str, name: str, invoke: Invoke, *options: object) -> None:
    """Each scenario passes, or the first that does not is shown."""
    Path("shown.py").write_text(block, encoding="utf-8")
    answer = invoke("verify", f"shown.py:{name}", *options, "--fail-fast", "--format", "json")
    rows = answer.json["results"]
    assert isinstance(rows, list)
    assert [(row["scenario"], row["why"]) for row in rows if row["verdict"] != "pass"] == []


@each_design_shown
def test_a_design_that_a_page_shows_passes_a_small_scenario(
    block: str, name: str, invoke: Invoke
) -> None:
    verified(block, name, invoke, "--scenario", "zap-zap", "--scenario", "map-zap")


@slow
@each_design_shown
def test_a_design_that_a_page_shows_passes_all_scenarios(
    block: str, name: str, invoke: Invoke
) -> None:
    """With 2MB pages as well; --states is a bound so that no time is."""
    verified(block, name, invoke, "--states", 1_000_000)


@slow
def test_the_design_of_the_guide_without_its_lock_around_the_split_fails(invoke: Invoke) -> None:
    (block,) = [block for page, block, _ in designs_shown() if page == "writing-a-design.md"]
    code, _, _ = block.partition("    def around_demote")
    Path("shown.py").write_text(code, encoding="utf-8")
    assert invoke("verify", "shown.py:MyLayer", "--scenario", "split-map").code == 1


def test_the_first_hunt_of_the_tutorial_is_the_real_one() -> None:
    shown = blocks(ROOT / "docs/tutorial.md")[0].splitlines()
    assert shown[0] == "$ tdxfuzz hunt hint --seed 1"
    real = (FOLDER / "hunt-hint-seed-1.txt").read_text(encoding="utf-8").splitlines()
    for line in shown[1:]:
        # How long it took is left out there.
        assert line in real or line.startswith("found pamt-in-use after 83 cases in "), line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for command in re.findall(r"^(?:\$ )?tdxfuzz ([a-z]+)", text, re.MULTILINE):
        assert command in COMMANDS, command
    for target in re.findall(r"\]\(([^)]+\.md)\)", text):
        assert (path.parent / target).is_file(), target
    for name in re.findall(r"`(tdxfuzz/[\w/]+(?:\.py)?)`", text):
        assert (ROOT / name).exists(), name


LONGEST = "0.3s"
"""How long an example may search here, whatever it says there."""

UNTIL_FOUND = "60s"
"""Hunts of hint with a seed end long before that; the next examples are about their finding."""

WITHOUT_TRACE = ("verify", "matrix")
"""Commands that leave nothing that the next one needs: run where they are shown first."""

SEARCHES = ("hunt", "verify", "matrix", "campaign")
REPRODUCER = ROOT / "corpus/matrix/hint-pamt-in-use-phymem-pamt-remove-c8e40b86.tdx.toml"
GUIDE = ROOT / "docs/writing-a-design.md"
C_GUIDE = ROOT / "docs/c-code.md"
HOST = ROOT / "docs/host.md"
VARIANT_GUIDE = ROOT / "docs/module-variants.md"
SCENARIO_GUIDE = ROOT / "docs/scenarios.md"
ELSEWHERE = ("SCHEDULER", "crash-")
"""Words in examples that need what a test of their own makes: a cluster, atheris."""


def finds(arguments: list[str]) -> bool:
    """Whether the examples after this one are about what it finds."""
    return arguments[:2] == ["hunt", "hint"] and "--seed" in arguments


def examples(path: Path) -> list[list[str]]:
    """The commands of a page, as arguments: capped in time, their comments gone, and with the
    files there that they speak of.
    """
    found = []
    for line in re.findall(r"^(?:\$ )?tdxfuzz ([a-z].+)$", path.read_text("utf-8"), re.MULTILINE):
        if any(word in line for word in ELSEWHERE):
            continue
        line = line.partition(" #")[0].partition(" >")[0]
        arguments = line.replace("FILE", str(REPRODUCER)).split()
        longest = UNTIL_FOUND if finds(arguments) else LONGEST
        if "--time" in arguments:
            arguments[arguments.index("--time") + 1] = longest
        elif arguments[0] in SEARCHES and arguments[1] not in ("status", "report"):
            arguments += ["--time", longest]
        found.append(arguments)
    return found


def fill(folder: Path) -> None:
    """Put there the files that examples speak of."""
    (folder / "mylayer.py").write_text(blocks(GUIDE, "python")[0], encoding="utf-8")
    (folder / "mykvm.py").write_text(blocks(HOST, "python")[0], encoding="utf-8")
    (folder / "mylayer.c").write_text(blocks(C_GUIDE, "c")[0], encoding="utf-8")
    (folder / "variants.py").write_text(blocks(VARIANT_GUIDE, "python")[0], encoding="utf-8")
    (folder / "mine.toml").write_text(blocks(SCENARIO_GUIDE, "toml")[0], encoding="utf-8")
    for name in ("module.so", "new.so"):
        shutil.copy(build("reference"), folder / name)
    with Library(build("reference")) as library, gzip.open(folder / "old.jsonl.gz", "wt") as file:
        file.writelines(
            f"{json.dumps(each.line)}\n" for each in record(library, "sequential", 3, seed=0)
        )
    for name in ("reproducers", "regressions"):
        (folder / name).mkdir()
        shutil.copy(REPRODUCER, folder / name)


def examples_to_run(path: Path) -> list[list[str]]:
    """The examples of a page, without those that earlier pages show and that leave nothing."""
    earlier = DOCUMENTS[: DOCUMENTS.index(path)]
    repeated = [each for page in earlier for each in examples(page) if each[0] in WITHOUT_TRACE]
    return [each for each in examples(path) if each not in repeated]


def is_long(arguments: list[str]) -> bool:
    """Whether it takes its time many times over: for each design, or for each scenario."""
    searches_all = arguments[0] in WITHOUT_TRACE and "--compare" not in arguments
    return arguments[0] == "campaign" or (searches_all and "--scenario" not in arguments)


each_page = pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if examples(path)], ids=lambda path: path.name
)


@each_page
def test_the_short_examples_of_a_page_run(
    path: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in one folder; findings are fine, errors are not. What no later example
    is about is not shrunk: that takes seconds each, and the slow tier does it.
    """
    fill(tmp_path)
    for arguments in examples_to_run(path):
        if not is_long(arguments):
            with monkeypatch.context() as patch:
                if not finds(arguments):
                    patch.setattr(report, "shrink", lambda run, *_: ShrinkResult(run, 0))
                answer = invoke(*arguments)
            assert answer.code in (0, 1, 3), f"{arguments}: {answer.err}"


@slow
@each_page
def test_all_examples_of_a_page_run(path: Path, tmp_path: Path) -> None:
    """As a reader runs them: each is a process."""
    fill(tmp_path)
    for arguments in examples_to_run(path):
        if arguments[0] == "matrix" and "--compare" not in arguments:
            arguments += ["--scenario", "map-zap"]
        ran = subprocess.run(
            [sys.executable, "-m", "tdxfuzz", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode in (0, 1, 3), f"{arguments}: {ran.stderr}"


FEW = """
from hypothesis import settings

settings.register_profile("few", max_examples=5, deadline=None, stateful_step_count=5)
settings.load_profile("few")
"""


@pytest.mark.parametrize("page", first_quick(1, ["README.md", "docs/tutorial.md"]))
def test_the_tests_shown_pass(page: str, tmp_path: Path) -> None:
    (shown,) = [one for one in blocks(ROOT / page, "python") if "def test_" in one]
    (tmp_path / "conftest.py").write_text(FEW, encoding="utf-8")
    (tmp_path / "test_shown.py").write_text(shown, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shown.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "index.md" or f"({path.name})" in index, path.name


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if blocks(path, "python")], ids=lambda path: path.name
)
def test_python_examples_compile(path: Path) -> None:
    for number, block in enumerate(blocks(path, "python")):
        compile(block, f"{path.name} block {number}", "exec")
