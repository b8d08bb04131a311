"""module-state: the module's tables agree with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_2M
from tdxfuzz.check.base import Check
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.pamt import PT, PamtEntry
from tdxfuzz.module.sept_entry import BASE, is_leaf
from tdxfuzz.module.snapshot import used_pages
from tdxfuzz.module.td import Lifecycle, OpState, Tdr

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers, Status
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.sim import Outcome


class ModuleState(Check):
    """Tables of the module contradict each other: page_count, bitmap, entry types, CHLDCNT,
    S-EPT links, key table.
    """

    id = "module-state"
    source = "src/common/memory_handlers/pamt_manager.c; facts of the module, section 1"
    witness = "every program ended, and the module had pages in use"

    def at_rest(self, outcome: Outcome) -> None:
        module = self.host.module
        self.seen = next(used_pages(module), None) is not None
        if module.dead is not None:
            # The call that shut the module down left its work half done; no call can see it.
            return
        for objects, message in inconsistencies(module):
            self.report(message, objects=objects)
            return


class ModuleStateAtEveryCall(ModuleState):
    """Also looks after each call that leaves no other in flight. Slower."""

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        if self.in_flight.calls == 0 and not self._findings:
            for objects, message in inconsistencies(self.host.module):
                self.report(message, leaf=leaf, status=status.name, objects=objects)
                return


def inconsistencies(m: TdxModule) -> Iterator[tuple[str, str]]:
    """The contradictions of a module with no call in flight, as (kind, message)."""
    pages = list(used_pages(m))
    tdrs = [m.tdr_at(entry.hpa) for entry in pages if entry.pt == PT.TDR]
    if m.pamt.dynamic:
        yield from _pairs(m, pages)
    yield from _tds(m, pages, tdrs)
    yield from _keys(m, tdrs)


def _pairs(m: TdxModule, pages: list[PamtEntry]) -> Iterator[tuple[str, str]]:
    in_use = Counter(entry.hpa >> 21 for entry in pages)
    backing: Counter[int] = Counter()
    for node in m.pamt.nodes():
        if not node.is_node:
            continue
        if in_use[node.hpa >> 21] != node.page_count.value:
            counted = f"{node.name} counts {node.page_count.value} pages"
            yield "page_count", f"{counted}, but {in_use[node.hpa >> 21]} are in use"
        backing.update(page.hpa for page in node.backing)
    for hpa, count in sorted(backing.items()):
        if count > 1:
            yield "bitmap", f"{hpa:#x} is a PAMT page {count} times"
    marked = {hpa for tdmr in m.pamt.tdmrs for hpa in tdmr.bitmap.backing_pages()}
    for hpa in sorted(marked ^ set(backing)):
        verb = "is marked as a PAMT page, but backs no range"
        if hpa in backing:
            verb = "is a PAMT page, but its bitmap bit is clear"
        yield "bitmap", f"{hpa:#x} {verb}"


def _tds(m: TdxModule, pages: list[PamtEntry], tdrs: list[Tdr]) -> Iterator[tuple[str, str]]:
    by_hpa: dict[int, PamtEntry] = {entry.hpa: entry for entry in pages}
    children = Counter(entry.owner for entry in pages if entry.pt != PT.TDR)
    for node in m.pamt.nodes():
        if node.pt == PT.REG:
            by_hpa[node.hpa] = node
            children[node.owner] += m.pamt.split.pages_at(LEVEL_2M)
    for tdr in tdrs:
        own = children[tdr.hpa >> 12]
        if tdr.chldcnt.value != own:
            yield (
                "CHLDCNT",
                f"TDR {tdr.hpa:#x} counts {tdr.chldcnt.value} children, but owns {own} pages",
            )
        sept = tdr.tdcs.sept
        if (
            sept is None
            or tdr.lifecycle is not Lifecycle.KEYS_CONFIGURED
            or tdr.tdcs.op_state is OpState.UNINITIALIZED
        ):
            continue
        mapped = set()
        for gpa, level, raw in chain.from_iterable(
            tree.entries() for tree in (sept, *tdr.tdcs.l2_septs)
        ):
            hpa = m.platform.key_bits.strip(raw & BASE)
            mapped.add(hpa)
            wanted = PT.REG if is_leaf(raw) else PT.EPT
            page = by_hpa.get(hpa)
            if page is None or page.pt != wanted or page.owner_hpa != tdr.hpa:
                yield (
                    "S-EPT",
                    f"GPA {gpa:#x} level {level} maps {hpa:#x}, not a {wanted.name} page of its TD",
                )
        for hpa, page in by_hpa.items():
            if page.pt in (PT.REG, PT.EPT) and page.owner_hpa == tdr.hpa and hpa not in mapped:
                yield "S-EPT", f"{hpa:#x} is a {PT(page.pt).name} page, but no GPA maps it"


def _keys(m: TdxModule, tdrs: list[Tdr]) -> Iterator[tuple[str, str]]:
    owners: dict[int, int] = {}
    for tdr in tdrs:
        if tdr.lifecycle is Lifecycle.TEARDOWN:
            continue
        if tdr.hkid in owners:
            yield "key table", f"HKID {tdr.hkid} belongs to two TDs"
        owners[tdr.hkid] = tdr.hpa
        wanted = Kot.FLUSHED if tdr.lifecycle is Lifecycle.BLOCKED else Kot.ASSIGNED
        state = m.keys.entries[tdr.hkid].state
        if state is not wanted:
            yield (
                "key table",
                f"HKID {tdr.hkid} is {state.value}, but its TD is {tdr.lifecycle.name}",
            )
    for hkid, key in m.keys.entries.items():
        if key.state in (Kot.ASSIGNED, Kot.FLUSHED) and hkid not in owners:
            yield "key table", f"HKID {hkid} is {key.state.value}, but no TD has it"
