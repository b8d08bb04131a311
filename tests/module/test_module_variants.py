"""Variants of the module: each runs under every subject; a user's may change a lock or a leaf."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS, WORLD, setup_ops
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design_file import DesignFileError
from tdxfuzz.host.variant_file import load_variant
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.variants import VARIANTS, Variant, variant_of
from tdxfuzz.run.session import run
from tdxfuzz.sim import Schedule, Switch
from tdxfuzz.survey.lock_table import LockUse, lock_table
from tdxfuzz.survey.matrix import Effort, row
from tiers import long, slow

FILE = """
from tdxfuzz.module.leaves.mem_range import tdh_mem_track
from tdxfuzz.module.codes import OPERAND_BUSY, RCX
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.variants import Variant

TREE_EX = Variant("any", "", modes={"TDH.MEM.SEPT.ADD": {"SEPT_TREE": EXCLUSIVE}})


def track(module, call):
    raise Refused(OPERAND_BUSY | RCX)


NO_TRACK = Variant("any", "", leaves={"TDH.MEM.TRACK": track})
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "variants.py"
    path.write_text(FILE)
    return path


@slow
@long
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("design", ["merged", "v6", "hint", HOSTILE])
def test_every_variant_runs_under_every_subject(design: str, name: str) -> None:
    result = hunt(HuntPlan(design, Budget(seconds=1), variant=name, seed=1))
    assert result.statistics.cases


@slow
@long
@pytest.mark.parametrize("name", VARIANTS)
def test_the_matrix_decides_merged_on_every_variant(name: str) -> None:
    """But for ``pamt-in-use``: under merged no pair goes while another CPU uses its range."""
    scenarios = tuple(SCENARIOS[each] for each in ("zap-remap", "zap-zap"))
    cells = row("merged", None, Effort(60, 2, scenarios, variant=name))
    asked = ("refcount", "unexpected-status", "module-state", "deadlock", "livelock")
    assert {cell.check: cell.why for cell in cells if cell.check in asked} == dict.fromkeys(
        asked, ""
    )


@pytest.mark.parametrize("setup", SETUPS)
def test_under_ranges_ex_every_hostile_set_up_succeeds(setup: str) -> None:
    world = evolve(WORLD, module_variant="ranges-ex")
    assert not run(Case(HOSTILE, world, setup_ops(setup))).findings


def test_under_ranges_ex_another_cpu_is_still_in_the_way() -> None:
    """Two pages of one range, by two CPUs: BUSY there, and nowhere else."""
    busy = {}
    for variant in ("1.5.25", "ranges-ex"):
        case = Case(
            HOSTILE,
            evolve(WORLD, module_variant=variant),
            setup_ops("pair"),
            (
                (Op.parse("TDH.MNG.CREATE rcx=A0 rdx=33"),),
                (Op.parse("TDH.MNG.CREATE rcx=A1 rdx=34"),),
            ),
        )
        busy[variant] = is_busy_in_some_order(case)
    assert busy == {"1.5.25": False, "ranges-ex": True}


def is_busy_in_some_order(case: Case) -> bool:
    """Whether a range was refused in an order with one preemption of CPU 0."""
    for step in range(1, 8):
        trace = run(case.with_schedule(Schedule((Switch(step, 1),))), traced=True).trace
        assert trace is not None
        events = [record for record in trace if record.kind == "event"]
        if any("PAMT_2M" in record.what and record.data[-1] is False for record in events):
            return True
    return False


def test_a_users_variant_changes_how_a_leaf_takes_a_lock(file: Path) -> None:
    assert load_variant(file, "TREE_EX").name == "TREE_EX"
    variant = variant_of("TREE_EX")
    assert variant is not None
    assert variant.name == "TREE_EX"
    case = SCENARIOS["fault-fault"].case("merged").on_module("TREE_EX")
    trace = run(case, traced=True).trace
    assert trace is not None
    taken = [each for each in trace if each.kind == "event" and "SEPT_TREE" in each.what]
    assert EXCLUSIVE in {record.data[1] for record in taken}


def test_a_users_variant_changes_what_a_leaf_does(file: Path) -> None:
    load_variant(file, "NO_TRACK")
    case = SCENARIOS["zap-zap"].case("merged").on_module("NO_TRACK")
    finding = run(case).finding
    assert finding is not None
    assert "TDH.MEM.TRACK" in finding.bucket


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (FILE, "", "name a variant"),
        (FILE, "TREE", "no variant 'TREE'; it has: TREE_EX, NO_TRACK"),
        ("x = 1", "X", "no tdxfuzz.module.variants.Variant"),
        ("raise OSError", "X", "raised OSError"),
        (FILE.replace("SEPT_TREE", "SEPT"), "TREE_EX", "unknown resource 'SEPT'"),
        (FILE.replace('"TDH.MEM.TRACK"', '"TDH.MEM.TRAC"'), "NO_TRACK", "mean TDH.MEM.TRACK"),
    ],
)
def test_what_is_wrong_with_a_variant_file_is_said(
    tmp_path: Path, text: str, name: str, said: str
) -> None:
    path = tmp_path / "variants.py"
    path.write_text(text)
    with pytest.raises(DesignFileError, match=said):
        load_variant(path, name)


def test_a_variant_of_a_mode_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="EXCLUSIVE or SHARED"):
        Variant("x", "", modes={"TDH.MEM.TRACK": {"TDR": "exclusive"}})


def test_the_table_says_who_takes_a_range_exclusive() -> None:
    exclusive = {use.leaf for use in lock_table() if (use.resource, use.mode) == ("2M", "EX")}
    assert exclusive == {
        "TDH.MEM.PAGE.AUG",
        "TDH.MEM.PAGE.DEMOTE",
        "TDH.MEM.PAGE.REMOVE",
        "TDH.PHYMEM.PAGE.RECLAIM",
        "TDH.PHYMEM.PAMT.ADD",
        "TDH.PHYMEM.PAMT.REMOVE",
    }
    assert LockUse("TDH.MEM.TRACK", "TD_EPOCH", "EX", "") in lock_table()
