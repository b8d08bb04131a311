"""The module's state as plain data, in the form the recordings use.

See corpus/conformance/README.md, "Snapshot object". Taking a snapshot is not a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypedDict

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.pamt import PT, PamtEntry
from tdxfuzz.module.sept_entry import BASE, TDHP, name_of
from tdxfuzz.module.td import MIN_TDCS_PAGES, Lifecycle, OpState, Tdr

if TYPE_CHECKING:
    from tdxfuzz.module.module import TdxModule

Json = int | str | list["Json"] | dict[str, "Json"]


class Snapshot(TypedDict):
    """Ranges, pages, bitmap, host-priority bits, key table and TDs."""

    ranges: list[Json]
    pages: list[Json]
    bitmap: list[Json]
    hp: list[Json]
    kot: dict[str, Json]
    tds: dict[str, Json]


PARTS = tuple(Snapshot.__annotations__)
"""The names of its parts."""


def snapshot(m: TdxModule) -> Snapshot:
    """The state of a module with no call in flight.

    Pages, and the TDs found through them, are those of ranges with a PAMT page pair:
    without dynamic PAMT the recordings list none.
    """
    pages = list(used_pages(m)) if m.pamt.dynamic else []
    tdrs = list(all_tdrs(m)) if m.pamt.dynamic else []
    return Snapshot(
        ranges=list(_ranges(m)),
        pages=list(_runs(pages)),
        bitmap=[hex(hpa) for tdmr in m.pamt.tdmrs for hpa in tdmr.bitmap.backing_pages()],
        hp=[*sorted(host_priority_locks(m))],
        kot={
            str(hkid): [key.state.value, key.wbinvd_bitmap]
            for hkid, key in m.keys.entries.items()
            if key.state in (Kot.ASSIGNED, Kot.FLUSHED)
        },
        tds={hex(tdr.hpa): _td(m, tdr) for tdr in tdrs},
    )


def used_pages(m: TdxModule) -> Iterator[PamtEntry]:
    """The 4KB entries of pages in use, by address."""
    if not m.pamt.dynamic:
        yield from (e for e in m.pamt.static_entries() if e.pt not in (PT.NDA, PT.RSVD))
        return
    for node in m.pamt.nodes():
        if node.is_node:
            for page in node.backing:
                yield from page.in_use()


def all_tdrs(m: TdxModule) -> Iterator[Tdr]:
    """The TDRs that PAMT knows, by address."""
    for _, page in sorted(m.memory.pages.items()):
        if isinstance(page, Tdr) and m.pamt.type_of(page.hpa) == PT.TDR:
            yield page


def host_priority_locks(m: TdxModule) -> Iterator[str]:
    """Names of the locks whose HOST_PRIORITY bit is set."""
    for block in m.pamt.blocks.values():
        if block.entry_1g.host_priority:
            yield block.entry_1g.name
    for node in m.pamt.nodes():
        if node.host_priority:
            yield node.name
        if m.pamt.dynamic and node.is_node:
            for page in node.backing:
                yield from (e.name for e in page.entries.values() if e.host_priority)
    if not m.pamt.dynamic:
        yield from (e.name for e in m.pamt.static_entries() if e.host_priority)
    for tdr in all_tdrs(m):
        if tdr.lifecycle is not Lifecycle.KEYS_CONFIGURED or tdr.num_tdcx < MIN_TDCS_PAGES:
            continue  # TDCS cannot be read any more, or not yet
        for lock in (tdr.tdcs.op_state_lock, tdr.tdcs.secure_ept_lock):
            if lock.host_priority:
                yield lock.name
        if tdr.tdcs.sept is not None:
            yield from (e.name for e in tdr.tdcs.sept.touched() if e.raw & TDHP)


def _ranges(m: TdxModule) -> Iterator[Json]:
    for node in m.pamt.nodes():
        if node.pt == PT.PAMT:
            yield {
                "hpa": hex(node.hpa),
                "pt": "PAMT",
                **{f"hpa{i}": hex(page.hpa) for i, page in enumerate(node.backing)},
                "page_count": node.page_count.value,
            }
        elif node.pt != PT.NDA:
            yield {"hpa": hex(node.hpa), "pt": PT(node.pt).name, "owner": hex(node.owner_hpa)}


def _runs(entries: Iterable[PamtEntry]) -> Iterator[Json]:
    """Run-length code entries: [first address, count, type, owner]."""
    run: tuple[int, int, int, int] | None = None
    for entry in entries:
        owner = 0 if entry.pt == PT.TDR else entry.owner_hpa
        if run is not None:
            first, count, pt, run_owner = run
            if (entry.hpa, entry.pt, owner) == (first + count * SIZE_4K, pt, run_owner):
                run = (first, count + 1, pt, run_owner)
                continue
            yield [hex(first), count, PT(pt).name, hex(run_owner)]
        run = (entry.hpa, 1, entry.pt, owner)
    if run is not None:
        first, count, pt, run_owner = run
        yield [hex(first), count, PT(pt).name, hex(run_owner)]


def _td(m: TdxModule, tdr: Tdr) -> Json:
    td: dict[str, Json] = {
        "hkid": tdr.hkid,
        "lifecycle": tdr.lifecycle.name,
        "chldcnt": tdr.chldcnt.value,
        "num_tdcx": tdr.num_tdcx,
    }
    if tdr.lifecycle is not Lifecycle.KEYS_CONFIGURED or tdr.num_tdcx < MIN_TDCS_PAGES:
        return td
    tdcs = tdr.tdcs
    td["op_state"] = tdcs.op_state.name
    td["num_vcpus"] = tdcs.num_vcpus
    if tdcs.op_state is not OpState.UNINITIALIZED:
        td["td_epoch"] = tdcs.td_epoch.value
        td["sept"] = list(_sept(m, tdr))
    return td


def _sept(m: TdxModule, tdr: Tdr) -> Iterator[Json]:
    """[gpa, level, state, hpa, n], high levels first; level-0 runs are merged."""
    assert tdr.tdcs.sept is not None
    base = BASE & ~m.platform.key_bits.mask
    rows = sorted(
        ((-level, name_of(raw), gpa, raw & base) for gpa, level, raw in tdr.tdcs.sept.entries()),
    )
    run: list[Json] | None = None
    end = (0, 0)
    for minus_level, state, gpa, hpa in rows:
        if run and minus_level == 0 and run[1] == 0 and run[2] == state and end == (gpa, hpa):
            count = run[4]
            assert isinstance(count, int)
            run[4] = count + 1
        else:
            if run is not None:
                yield list(run)
            run = [hex(gpa), -minus_level, state, hex(hpa), 1]
        end = (gpa + SIZE_4K, hpa + SIZE_4K)
    if run is not None:
        yield list(run)
