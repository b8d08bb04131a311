"""Programs whose TDs run."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from tdxfuzz.case.case import Case
from tdxfuzz.case.guest_script import Act
from tdxfuzz.case.operation import Op
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.huge_programs import draw_huge_case
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.generate.running import TAKES_PAGES_AWAY, with_running_tds


def drawn(count: int = 300) -> list[tuple[Case, Case]]:
    """Cases, each before and after."""
    choices = RandomChoices(Random(1))
    pairs = []
    for i in range(count):
        case = draw_huge_case(choices, "merged") if i % 2 else draw_case(choices, "merged")
        pairs.append((case, with_running_tds(choices, case)))
    return pairs


def test_each_td_of_the_set_up_is_finalised_before_anything_is_mapped() -> None:
    for before, after in drawn():
        created = [op.args for op in before.setup if op.name == "create"]
        assert [op.args for op in after.setup if op.name == "finalize"] == created
        kept = [op for op in after.setup if op.name not in ("vcpu", "finalize")]
        count = len(before.setup)
        assert tuple(kept[:count]) == before.setup
        # A page that was mapped and zapped has left its S-EPT pages.
        assert [op.name for op in kept[count:]] == ["map", "zap"] * (len(kept[count:]) // 2)
        for args in created:
            at = [after.setup.index(Op(name, args)) for name in ("create", "vcpu", "finalize")]
            assert at == list(range(at[0], at[0] + 3))


def test_a_vcpu_is_entered_with_every_kind_of_action() -> None:
    acts, meets, cases = set(), 0, 0
    for before, after in drawn():
        entries = [(cpu, op) for cpu, line in enumerate(after.programs) for op in line if op.script]
        if not any(op.name == "create" for op in before.setup):
            assert after == before
            continue
        assert entries
        cases += 1
        acts |= {action.act for _, op in entries for action in op.script}
        meets += any(
            other.name in TAKES_PAGES_AWAY and other.args[0] == op.args[0]
            for cpu, op in entries
            for at, line in enumerate(after.programs)
            for other in line
            if at != cpu
        )
    assert acts == set(Act) - {Act.VMCALL}
    assert meets > cases // 4


def test_a_guest_mostly_uses_the_page_that_another_cpu_takes_away_or_maps() -> None:
    uses = entries = 0
    for _, after in drawn(600):
        for cpu, line in enumerate(after.programs):
            others = (op for at, each in enumerate(after.programs) if at != cpu for op in each)
            met = {op.args for op in others if op.name in ("zap", "convert", "map")}
            for op in line:
                if op.script and after.world.slots > 1 and {td for td, _ in met} == {op.args[0]}:
                    entries += 1
                    uses += any((op.args[0], action.slot) in met for action in op.script)
    assert uses > 0.75 * entries > 15


def test_a_guest_may_meet_a_page_that_another_cpu_maps_and_holds_its_entry() -> None:
    met = []
    for _, after in drawn(600):
        for cpu, line in enumerate(after.programs):
            others = (op for at, each in enumerate(after.programs) if at != cpu for op in each)
            come = {op.args for op in others if op.name == "map"}
            met += [
                action.act
                for op in line
                for action in op.script
                if (op.args[0], action.slot) in come
            ]
    assert met.count(Act.READ) > 20
    assert met.count(Act.ACCEPT) > 20


def test_some_tds_that_are_destroyed_are_terminated_before() -> None:
    destroyed = terminated = 0
    for _, after in drawn(600):
        for line in after.programs:
            destroyed += sum(op.name == "destroy" for op in line)
            for op, following in pairwise(line):
                if op.name == "terminate":
                    terminated += 1
                    assert following == Op("destroy", op.args)
    assert 0.3 * destroyed < terminated < 0.9 * destroyed
