"""A scenario for people: its world, which pages its slots are, its set-up and its programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tdxfuzz.abi.address import SIZE_2M
from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import text_of
from tdxfuzz.case.names import TDMR_BASE, name_of_page, name_of_range
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.host.layout import Layout
from tdxfuzz.repro.lines import describe_op
from tdxfuzz.repro.words import counted
from tdxfuzz.run.session import Design, Session
from tdxfuzz.sim import HarnessError


def scenario_text(scenario: Scenario, design_name: str, design: Design = None) -> str:
    """What a scenario is, in lines; with the kernel's pages as its set-up leaves them under a
    design.
    """
    layout = Layout(scenario.world)
    lines = [
        f"{scenario.name}: {scenario.about}" if scenario.about else scenario.name,
        "",
        *_world(scenario),
        "",
        *_slots(layout),
        "",
        "set-up, alone on CPU 0",
        *_operations(layout, scenario.setup),
    ]
    for cpu, program in enumerate(scenario.programs):
        lines += [f"CPU {cpu}", *_operations(layout, program)]
    case = scenario.case(design_name)
    lines += ["", *_kernel_pages(case, design)]
    return "\n".join(lines) + "\n"


def _world(scenario: Scenario) -> Iterator[str]:
    world, bound = scenario.world, scenario.preemptions
    pamt = "dynamic PAMT" if world.dynamic_pamt else "static PAMT"
    yield (
        f"world: {counted(world.cpus, 'CPU')}, {counted(world.tds, 'TD')}, {pamt}, "
        f"module {world.module_variant}"
    )
    yield f"guest pages: {_ranges(world.guest_ranges)}"
    yield f"kernel pages (control, S-EPT and PAMT pages): {_ranges(world.kernel_ranges)}"
    if world.fresh_ranges:
        yield f"kernel pages of the programs: {_ranges(world.fresh_ranges)}"
    if world.areas:
        yield f"4KB pages of a 2MB page: {world.entries}"
    if scenario.faults:
        yield f"faults: {', '.join(map(text_of, scenario.faults))}"
    most = "all orders" if bound is None else f"orders with up to {counted(bound, 'preemption')}"
    yield f"`tdxfuzz verify` searches {most}"


def _ranges(indices: Sequence[int]) -> str:
    names = [name_of_range(TDMR_BASE + index * SIZE_2M) for index in indices]
    return f"range{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _slots(layout: Layout) -> Iterator[str]:
    """A table: for each slot and area its guest address, and its page or range in each TD."""
    world = layout.world
    tds = range(world.tds)
    rows = [["", "GPA", *(f"TD{td}" for td in tds)]]
    for slot in range(world.slots):
        pages = (name_of_page(layout.guest_pfn(td, slot) << 12) for td in tds)
        rows.append([f"slot {slot}", f"{layout.gpa(slot):#x}", *pages])
    for area in range(world.areas):
        ranges = (name_of_range(layout.area_pfn(td, area) << 12) for td in tds)
        rows.append([f"area {area}", f"{layout.area_gpa(area):#x}", *ranges])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _operations(layout: Layout, ops: Sequence[Op]) -> Iterator[str]:
    """Each operation as it stands in files, and what it is about."""
    width = max((len(str(op)) for op in ops), default=0)
    for op in ops:
        told = describe_op(layout, op)
        yield f"  {str(op).ljust(width)}  {told}" if told != str(op) else f"  {op}"
    if not ops:
        yield "  nothing"


def _kernel_pages(case: Case, design: Design) -> Iterator[str]:
    try:
        pages = Session(case, design).host.pages.allocated
    except HarnessError as error:
        yield f"the set-up does not succeed under {case.design}: {error}"
        return
    yield f"kernel pages after the set-up under {case.design}"
    by_use: dict[str, list[int]] = {}
    for pfn, what in pages.items():
        by_use.setdefault(what, []).append(pfn)
    for what, pfns in by_use.items():
        yield f"  {what}: {', '.join(name_of_page(pfn << 12) for pfn in pfns)}"
    if not pages:
        yield "  none"
