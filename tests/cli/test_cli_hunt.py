"""``tdxfuzz hunt``."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from commands import Invoke
from golden_files import check_golden
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.result import Run
from tiers import first_quick, slow

RACY = dedent(
    '''
    from tdxfuzz.host import design

    class Unlocked(design.RefcountLayer):
        """Counts, and forgets the lock."""

        def get(self, pfn, cache=None):
            refcount = self.refcount(pfn)
            if refcount.inc_not_zero():
                return 0
            pair = self.alloc_pair(cache)
            if pair is None:
                return -design.ENOMEM
            if not self.pamt_add(pfn, pair).ok:
                self.free_pair(pair)
                return -design.EIO
            refcount.set(1)
            return 0

        def put(self, pfn):
            if self.refcount(pfn).dec_and_test():
                _, pair = self.pamt_remove(pfn)
                self.free_pair(pair)
    '''
)


def test_a_finding_is_shown_written_and_told_how_to_replay(invoke: Invoke) -> None:
    answer = invoke("hunt", "hint", "--seed", 1)
    assert answer.code == 1
    lines = [line for line in answer.out.splitlines() if not line.startswith("found ")]
    check_golden("hunt-hint-seed-1.txt", "\n".join(lines) + "\n")
    (path,) = Path("reproducers").iterdir()
    assert invoke("replay", path).code == 1


@slow
def test_a_demo_succeeds_when_it_finds_something(invoke: Invoke) -> None:
    assert invoke("hunt", "hint", "--seed", 2, "--expect-finding").code == 0
    assert invoke("hunt", "merged", "--cases", 20, "--seed", 1, "--expect-finding").code == 1


@slow
def test_a_clean_hunt_passes_with_its_statistics(invoke: Invoke) -> None:
    answer = invoke("hunt", "merged", "--cases", 2000, "--seed", 3)
    assert answer.code == 0, answer.out
    for expected in (
        "merged: nothing found in 2,000 cases",
        "distinct schedules; 0 cut off",
        "TDH.PHYMEM.PAMT.ADD      SUCCESS",
        "BUSY seen     ",
        "both CPUs in get or put of one range",
        "pair added while another CPU used its range",
        "pair removed while another CPU used its range",
        "seed 3",
    ):
        assert expected in answer.out
    assert not Path("reproducers").exists()


def test_a_hunt_that_saw_too_little_says_so(invoke: Invoke) -> None:
    answer = invoke("hunt", "merged", "--cases", 1, "--seed", 1, "--cpus", 1)
    assert answer.code == 3
    assert (
        "vacuous: pamt-in-use never had anything to check (`tdxfuzz list checks pamt-in-use`)"
        in answer.out
    )


def without_timings(document: dict[str, object]) -> dict[str, object]:
    timings = {"seconds", "steps_per_second"}

    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items() if key not in timings}
        if isinstance(value, list):
            return [clean(inner) for inner in value]
        return value

    cleaned = clean(document)
    assert isinstance(cleaned, dict)
    return cleaned


@pytest.mark.parametrize("engine", first_quick(1, ["portfolio", "random", "pct", "hypothesis"]))
@pytest.mark.parametrize("design", first_quick(1, ["merged", "hint"]))
def test_cases_and_seed_give_the_same_json_each_time(
    invoke: Invoke, design: str, engine: str
) -> None:
    arguments = ("--engine", engine, "--cases", 250, "--seed", 4, "--format", "json")
    one, other = (invoke("hunt", design, *arguments) for _ in range(2))
    assert without_timings(one.json) == without_timings(other.json)
    assert one.err == ""


@pytest.mark.parametrize("engine", first_quick(1, ["portfolio", "hypothesis"]))
def test_a_scenario_is_all_that_is_run(invoke: Invoke, engine: str) -> None:
    arguments = ("--scenario", "map-zap", "--engine", engine, "--seed", 1)
    assert invoke("hunt", "hint", *arguments).code == 1
    answer = invoke("hunt", "v6", *arguments, "--cases", 100, "--format", "json")
    stats = answer.json["stats"]
    assert isinstance(stats, dict)
    assert stats["cases"] == 100


def test_json_has_the_keys_scripts_rely_on(invoke: Invoke) -> None:
    document = invoke("hunt", "hint", "--seed", 1, "--format", "json").json
    assert document["verdict"] == "fail"
    assert document["seed"] == 1
    stats, findings = document["stats"], document["findings"]
    assert isinstance(stats, dict)
    assert {"cases", "steps", "steps_per_second", "discarded", "distinct_schedules"} <= set(stats)
    assert isinstance(findings, list)
    (finding,) = findings
    assert finding["check"] == "pamt-in-use"
    assert finding["design"] == "hint"
    assert finding["bucket"] == "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
    assert Path(finding["reproducer"]).is_file()
    assert (finding["operations"], finding["preemptions"]) == (2, 1)
    assert finding["original_operations"] >= 2


def test_a_design_of_the_users_is_hunted_and_its_reproducer_needs_it(invoke: Invoke) -> None:
    Path("mine.py").write_text(RACY, encoding="utf-8")
    answer = invoke("hunt", "mine.py:Unlocked", "--seed", 1)
    assert answer.code == 1
    (path,) = Path("reproducers").iterdir()
    assert f"Reproduce with: tdxfuzz replay {path} --design mine.py:Unlocked" in answer.out
    alone = invoke("replay", path)
    assert alone.code == 2
    assert "add --design mine.py:Unlocked" in alone.err
    assert invoke("replay", path, "--design", "mine.py:Unlocked").code == 1
    assert invoke("show", path, "--design", "mine.py:Unlocked").code == 0
    assert invoke("shrink", path, "--design", "mine.py:Unlocked").code == 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("hnt", "unknown design 'hnt'; did you mean hint"),
        ("zzz", "unknown design 'zzz'; known: bias-minus-one, dedicated-pool, "),
        ("none.py:X", "no design file 'none.py'"),
        ("mine.py:Unloked", "mine.py: no design class 'Unloked'; it has: Unlocked"),
    ],
)
def test_an_unknown_design_is_one_line_and_exit_2(
    invoke: Invoke, argument: str, message: str
) -> None:
    Path("mine.py").write_text(RACY, encoding="utf-8")
    answer = invoke("hunt", argument)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"tdxfuzz: {message}")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "pctt"), "unknown engine 'pctt'; did you mean pct or fair-pct?"),
        (("--scenario", "map-zop"), "unknown scenario 'map-zop'; did you mean map-zap"),
        (("--time", "soon"), "'soon' is not a duration; write 60s, 2m or 1h"),
        (("--cpus", "9"), "9 is not in the range 1<=x<=8"),
        (("--cases", "0"), "0 is not in the range x>=1"),
    ],
)
def test_wrong_options_say_what_is_right(
    invoke: Invoke, options: tuple[str, ...], message: str
) -> None:
    answer = invoke("hunt", "hint", *options)
    assert answer.code == 2
    assert message in answer.err


def test_a_design_that_raises_is_an_error_with_its_traceback(invoke: Invoke) -> None:
    broken = RACY.replace("if refcount.inc_not_zero():", "if refcount.increment():")
    Path("mine.py").write_text(broken, encoding="utf-8")
    answer = invoke("hunt", "mine.py:Unlocked")
    assert answer.code == 2
    assert "tdxfuzz: design Unlocked raised AttributeError" in answer.err
    line = broken[: broken.index("refcount.increment")].count("\n") + 1
    assert f"mine.py:{line})" in answer.err
    assert "refcount.increment()" in answer.err
    assert "bucket" not in answer.out


def test_a_design_file_that_raises_is_an_error(invoke: Invoke) -> None:
    Path("mine.py").write_text("import nothing_like_it\n", encoding="utf-8")
    answer = invoke("hunt", "mine.py:Unlocked")
    assert answer.code == 2
    assert "mine.py: raised ModuleNotFoundError when loaded" in answer.err


def test_several_designs_share_the_time(invoke: Invoke) -> None:
    answer = invoke("hunt", "merged", "v6", "--seed", 1, "--time", "0.4s")
    first, second = (line for line in answer.out.splitlines() if line.startswith("hunting"))
    assert first.endswith("up to 0.2 s")
    left = float(second.split()[-2])
    assert left <= 0.2


def test_a_hunt_that_is_interrupted_reports_what_it_did(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Statistics.add

    def interrupted(self: Statistics, run: Run) -> None:
        add(self, run)
        if self.cases == 50:
            raise KeyboardInterrupt

    monkeypatch.setattr(Statistics, "add", interrupted)
    answer = invoke("hunt", "merged", "v6", "--seed", 1, "--workers", 1)
    assert answer.code == 3
    assert "merged: nothing found in 50 cases" in answer.out
    assert "interrupted" in answer.out
    assert "v6" not in answer.out.split("interrupted")[1]


def test_shrinking_that_is_interrupted_keeps_what_it_reached(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(found: object, design: object, progress: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tdxfuzz.cli.report.shrink", interrupted)
    answer = invoke("hunt", "hint", "--seed", 1)
    assert answer.code == 1
    assert "interrupted while shrinking; this is the smallest run so far" in answer.out
    (path,) = Path("reproducers").iterdir()
    assert invoke("replay", path).code == 1


def test_a_folder_that_cannot_be_written_is_named(invoke: Invoke) -> None:
    Path("taken").write_text("a file", encoding="utf-8")
    answer = invoke("hunt", "hint", "--seed", 1, "--out", "taken/inside")
    assert answer.code == 2
    assert "taken" in answer.err
    assert "Not a directory" in answer.err


def test_hostile_is_hunted_to_the_end_with_a_file_for_each_bucket(invoke: Invoke) -> None:
    answer = invoke("hunt", "hostile", "--seed", 43, "--cases", 300)
    assert answer.code == 1
    assert "TDH.PHYMEM.PAMT.REMOVE(rcx=A0|1) = SUCCESS" in answer.out
    assert "hostile: 2 buckets found in 300 cases" in answer.out
    closing = answer.out.partition("hostile: 2 buckets found")[2].splitlines()
    buckets = [line.partition(": ")[2] for line in answer.out.splitlines() if "bucket: " in line]
    told = [line for line in closing if line.startswith("found ")]
    assert [line.split(" (known: docs/findings.md, ")[0] for line in told] == [
        f"found {bucket}" for bucket in buckets
    ]
    assert all(" (known: docs/findings.md, Hostile host: " in line for line in told)
    # What only a host layer does is not counted where there is none.
    assert "a CPU waited for a lock" not in answer.out
    assert "both CPUs in get or put" not in answer.out
    assert "SEAMCALLs of two CPUs overlapped" in answer.out
    assert len(list(Path("reproducers").iterdir())) == 2
    assert invoke("replay", "reproducers").code == 1


def test_hostile_takes_no_scenario_and_is_no_design(invoke: Invoke) -> None:
    answer = invoke("hunt", "hostile", "--scenario", "map-zap")
    assert answer.code == 2
    assert "hostile takes no --scenario" in answer.err
    answer = invoke("matrix", "hostile")
    assert answer.code == 2
    assert "hostile is not a design; only hunt, verify, campaign, replay and dec" in answer.err


def test_a_clean_hunt_says_what_it_did_not_try(invoke: Invoke) -> None:
    arguments = ("--cases", 150, "--seed", 1)
    answer = invoke("hunt", "merged", "--huge", 0, "--cpus", 1, *arguments)
    assert (
        "\n  not tried: 2MB pages; more than one CPU; faults: busy, refuse, "
        "entropy, interrupt; reordering of memory accesses by a CPU\n"
    ) in answer.out
    document = invoke("hunt", "merged", "v6", *arguments, "--format", "json").json
    left_out, designs = document["not_tried"], document["designs"]
    assert isinstance(left_out, list)
    assert "more than 2 CPUs" in left_out
    assert not {"running vCPUs", "2MB pages"} & set(left_out)
    assert isinstance(designs, list)
    assert [one["not_tried"] for one in designs] == [left_out] * 2


@pytest.mark.parametrize("share", ["2", "-0.5", "nan", "some"])
def test_a_share_of_2mb_pages_is_from_0_to_1(invoke: Invoke, share: str) -> None:
    answer = invoke("hunt", "merged", f"--huge={share}", "--cases", 1)
    assert answer.code == 2
    assert f"'{share}' is not a share; write 0 to 1, few or real" in answer.err


def test_programs_with_2mb_pages_are_drawn_on_request(invoke: Invoke) -> None:
    answer = invoke("hunt", "merged", "--huge", "few", "--cases", 60, "--seed", 1)
    assert "TDH.MEM.PAGE.DEMOTE" in answer.out
    assert "merged: nothing found in 60 cases" in answer.out
    answer = invoke("hunt", "v5", "--huge", "real", "--cases", 1, "--seed", 1)
    assert "v5: nothing found in 1 case, " in answer.out


def test_faults_are_drawn_on_request_and_written_down(invoke: Invoke) -> None:
    answer = invoke("hunt", "merged", "--faults", "refuse", "--cases", 500, "--seed", 1)
    assert answer.code == 1
    (path,) = Path("reproducers").iterdir()
    assert 'faults = [["refuse", ' in path.read_text("utf-8")
    assert invoke("replay", path).code == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--huge", "few", "--scenario", "map-zap"), "--huge draws its own programs; use it with"),
        (("--huge", "few", "--engine", "hypothesis"), "--huge draws its own programs; use it with"),
        (("--faults", "entropy", "--engine", "hypothesis"), "--faults works only without hostile"),
        (("--faults", "power"), "unknown kind 'power'; known: alloc, busy, refuse, entropy"),
    ],
)
def test_what_does_not_go_together_is_refused(
    invoke: Invoke, arguments: tuple[str, ...], complaint: str
) -> None:
    answer = invoke("hunt", "v6", *arguments)
    assert answer.code == 2
    assert complaint in answer.err
