"""Where a scenario's programs begin, for Spin: the world after its set-up, as macros."""

from __future__ import annotations

from collections.abc import Sequence

from tdxfuzz.abi.address import SIZE_2M, hpa_of
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.host.host import Host
from tdxfuzz.host.kernel.page import FIRST_KERNEL_PAGE
from tdxfuzz.host.kvm.mmu import TOP_LEVEL
from tdxfuzz.host.kvm.vm import Spte, Vm
from tdxfuzz.run.session import Session

RANGES = 4
SPARE_PAGES = 20
"""More than any program draws."""

_OPS = {"map": "MAP", "zap": "ZAP", "convert": "CONVERT"}


def macros(scenario: Scenario, design: str) -> str:
    """What ``kvm.pml`` needs to know of a scenario under a design.

    Raises:
        ValueError: the Promela models do not speak of what the scenario does.
    """
    host = Session(scenario.case(design)).host
    tds = [_td_of(program) for program in scenario.programs]
    if len(set(tds)) < len(tds) or scenario.world.kernel_ranges != (1, 2):
        raise ValueError(f"{scenario.name} is beyond the Promela models")
    lines = [
        f"#define CPUS {len(tds)}",
        f"#define RANGES {RANGES}",
        f"#define PAGES {_pages(host)}",
        f"#define FREE_PAGES {len(host.pages.pcp[0].free) + SPARE_PAGES}",
        f"#define SETUP {_statements(_shared(host, tds))}",
        "#define START if "
        + " ".join(
            f":: me == {cpu} -> {_statements(_own(host, cpu, host.vms[td], program))}"
            for cpu, (td, program) in enumerate(zip(tds, scenario.programs, strict=True))
        )
        + " fi",
    ]
    return "\n".join(lines) + "\n"


def _td_of(program: Sequence[Op]) -> int:
    """The one TD that a program works for, on its slot 0."""
    tds = {op.args[0] for op in program}
    if len(tds) != 1 or any(op.name not in _OPS or op.args[1] for op in program):
        raise ValueError("a program that is beyond the Promela models")
    return tds.pop()


def _shared(host: Host, tds: Sequence[int]) -> list[str]:
    module = host.module
    statements: list[str] = []
    for node in module.pamt.nodes():
        index = _range(node.hpa >> 12)
        if not node.is_node:
            continue
        one, two = (_page(page.hpa >> 12) for page in node.backing)
        statements += [
            f"has_pair[{index}] = 1",
            f"count[{index}] = {node.page_count.value}",
            f"first[{index}] = {one}",
            f"second[{index}] = {two}",
            f"kind[{one}] = PAMT_PAGE",
            f"kind[{two}] = PAMT_PAGE",
        ]
    # Each statement that is not made leaves its array at zero, which is no type.
    in_pairs = {_page(page.hpa >> 12) for node in module.pamt.nodes() for page in node.backing}
    pages = _pages(host)
    for page in set(range(pages)) - in_pairs:
        used = host.module.pamt.type_of(hpa_of(_pfn(host, page)))
        statements.append(f"kind[{page}] = {'EPT_PAGE' if used else 'FREE'}")
    for number, holders in host.holders.items():
        statements.append(f"holders[{_range(number << 9)}] = {len(holders.pages)}")
    for number, refcount in host.refcounts.items():
        statements.append(f"refcount[{_range(number << 9)}] = {refcount.value}")
    for cpu, td in enumerate(tds):
        statements.append(f"guest_page[{cpu}] = {int(_spte(host.vms[td], 0) == Spte.PRESENT)}")
        statements.append(f"run cpu({cpu})")
    return statements


def _own(host: Host, cpu: int, vm: Vm, program: Sequence[Op]) -> list[str]:
    vcpu, pcp = vm.vcpus[cpu], host.pages.pcp[cpu]
    missing = [n for n in range(TOP_LEVEL, 0, -1) if _spte(vm, n) != Spte.PRESENT]
    if missing != list(range(len(missing), 0, -1)):
        raise ValueError("S-EPT pages are missing above others")
    statements = [
        f"home = {_range(vm.tdr >> 12)}",
        f"missing_levels = {len(missing)}",
        f"mapped = {int(_spte(vm, 0) == Spte.PRESENT)}",
        f"fresh = {2 * pcp.start + pcp.next}",
        f"nr_free = {len(pcp.free)}",
        f"nr_sept = {len(vcpu.sept_cache.pages)}",
        f"nr_pamt = {len(vcpu.pamt_cache.pages)}",
    ]
    statements += [f"free_pages[{i}] = {_page(pfn)}" for i, pfn in enumerate(pcp.free)]
    statements += [f"sept_cache[{i}] = {_page(p)}" for i, p in enumerate(vcpu.sept_cache.pages)]
    statements += [f"pamt_cache[{i}] = {_page(p)}" for i, p in enumerate(vcpu.pamt_cache.pages)]
    return statements + [f"program[{i}] = {_OPS[op.name]}" for i, op in enumerate(program)]


def _pages(host: Host) -> int:
    """How many pages there are: what the set-up drew, and each CPU's share of the rest."""
    return 2 * host.pages.pcp[0].start + SPARE_PAGES * len(host.pages.pcp)


def _spte(vm: Vm, level: int) -> int:
    spte = vm.sptes.get((level, 0))
    return Spte.NOT_PRESENT if spte is None else spte.value


def _range(pfn: int) -> int:
    """0 for the first 2MB range of the world, and so on; it begins at a multiple of 1GB."""
    return (pfn << 12) // SIZE_2M % 512


def _page(pfn: int) -> int:
    """Kernel pages in the order in which the allocator hands them out: by ranges in turn."""
    return 2 * (pfn % 512 - FIRST_KERNEL_PAGE) + _range(pfn) - 1


def _pfn(host: Host, page: int) -> int:
    return host.pages.ranges[page % 2] + FIRST_KERNEL_PAGE + page // 2


def _statements(statements: Sequence[str]) -> str:
    return "; ".join(statements)
