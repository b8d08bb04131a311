"""Programs whose TDs run."""

from __future__ import annotations

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
        assert tuple(kept) == before.setup
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


def test_a_guest_mostly_uses_the_page_that_another_cpu_takes_away() -> None:
    uses = entries = 0
    for _, after in drawn(600):
        for cpu, line in enumerate(after.programs):
            others = (op for at, each in enumerate(after.programs) if at != cpu for op in each)
            gone = {op.args for op in others if op.name in ("zap", "convert")}
            for op in line:
                if op.script and after.world.slots > 1 and {td for td, _ in gone} == {op.args[0]}:
                    entries += 1
                    uses += any((op.args[0], action.slot) in gone for action in op.script)
    assert uses > 0.75 * entries > 15
