"""The state that matters at a moment of a run, as small tables with names. Looking is no step."""

from __future__ import annotations

from collections.abc import Iterator

from tdxfuzz.abi.address import SIZE_2M
from tdxfuzz.case.names import with_names
from tdxfuzz.host.host import Host
from tdxfuzz.host.kvm.vm import VmState
from tdxfuzz.host.layout import Layout
from tdxfuzz.module.lock import HpLock
from tdxfuzz.module.pamt import PT, PamtEntry
from tdxfuzz.module.sept_entry import BASE, TDEL, TDHP, name_of
from tdxfuzz.module.snapshot import all_tdrs
from tdxfuzz.module.td import MIN_TDCS_PAGES, Lifecycle, OpState, Tdr

Rows = tuple[tuple[str, str], ...]
Cards = dict[str, Rows]
"""By the name of a thing: what is known of it, as pairs of a word and a value."""

MOST_NAMED = 8
"""So many pages stand in one row by name. The others are counted."""

NOTHING = "-"


def cards_of(host: Host) -> Cards:
    """The state of a host: its CPUs with the locks that they hold or want, its 2MB ranges, its
    TDs.
    """
    cards: Cards = {"CPUs": tuple(_cpus(host))}
    for index in sorted(_ranges(host)):
        cards[f"range {host.layout.name_of_range(index * SIZE_2M)}"] = tuple(_range(host, index))
    for tdr in all_tdrs(host.module):
        cards[_name_of_td(host, tdr)] = tuple(_td(host, tdr))
    return cards


def _cpus(host: Host) -> Iterator[tuple[str, str]]:
    for cpu in host.sim.cpus:
        holds = [
            f"{with_names(hold.name)}{'' if hold.exclusive else ' (read)'}"
            for hold in host.held_locks.of[cpu.id]
        ]
        name = f"CPU {cpu.on}{'' if cpu.on == cpu.id else ' softirq'}"
        yield f"{name} holds", _listed(holds)
        wanted = cpu.waiting_for
        yield f"{name} waits for", NOTHING if wanted is None else with_names(wanted.name)


def _ranges(host: Host) -> set[int]:
    """The numbers of the 2MB ranges of which anything is known."""
    touched = {node.hpa // SIZE_2M for node in host.module.pamt.nodes()}
    return touched | set(host.refcounts) | set(host.holders)


def _range(host: Host, index: int) -> Iterator[tuple[str, str]]:
    layout, pamt = host.layout, host.module.pamt
    hpa = index * SIZE_2M
    block = pamt.blocks.get(hpa >> 30)
    node = None if block is None else block.entries_2m.get(index)
    if pamt.dynamic:
        pair = "out"
        if node is not None and node.is_node:
            pages = " ".join(layout.name_of_page(page.hpa) for page in node.backing)
            pair = f"in ({pages})"
        yield "pair", pair
    if index in host.refcounts:
        yield "refcount", str(host.refcounts[index].value)
    if node is not None:
        if node.is_node:
            yield "page_count", str(node.page_count.value)
        elif node.pt != PT.NDA:
            yield "in use as", f"one 2MB page ({PT(node.pt).name})"
    if index in host.holders:
        pages_held = host.holders[index].pages.items()
        yield "holders", _listed([f"{layout.name_of_page(pfn << 12)} {k}" for pfn, k in pages_held])
    if node is None:
        return
    yield "2MB entry", _word(node)
    if node.is_node and pamt.dynamic:
        entries = [entry for page in node.backing for _, entry in sorted(page.entries.items())]
        yield "module uses", _listed([_page(layout, e) for e in entries if e.pt != PT.NDA])
        taken = [f"{layout.name_of_page(e.hpa)} {_word(e)}" for e in entries if e.word]
        yield "4KB entries", _listed(taken)


def _page(layout: Layout, entry: PamtEntry) -> str:
    return f"{layout.name_of_page(entry.hpa)} {PT(entry.pt).name}"


def _word(lock: HpLock) -> str:
    """A lock of the module by its word: how it is held, and its HOST_PRIORITY bit."""
    word = lock.mode
    held = "exclusive" if word & HpLock.EX else "free"
    if not word & HpLock.EX and word >= HpLock.SHARER:
        held = f"shared by {word // HpLock.SHARER}"
    return f"{held}, HOST_PRIORITY" if lock.host_priority else held


def _name_of_td(host: Host, tdr: Tdr) -> str:
    for vm in host.vms:
        if vm.state.value is not VmState.EMPTY and (vm.tdr_page or 0) << 12 == tdr.hpa:
            return f"TD{vm.id}"
    return f"TD of TDR {host.layout.name_of_page(tdr.hpa)}"


def _td(host: Host, tdr: Tdr) -> Iterator[tuple[str, str]]:
    layout = host.layout
    yield "TDR", layout.name_of_page(tdr.hpa)
    yield "life cycle", tdr.lifecycle.name
    yield "pages", str(tdr.chldcnt.value)
    if tdr.lifecycle is not Lifecycle.KEYS_CONFIGURED or tdr.num_tdcx < MIN_TDCS_PAGES:
        return
    tdcs = tdr.tdcs
    yield "op state", tdcs.op_state.name
    yield "S-EPT lock", _word(tdcs.secure_ept_lock)
    if tdcs.op_state is OpState.UNINITIALIZED or tdcs.sept is None:
        return
    locked = {entry.name: entry.raw for entry in tdcs.sept.touched() if entry.raw & (TDEL | TDHP)}
    mask = BASE & ~host.module.platform.key_bits.mask
    for gpa, level, raw in tdcs.sept.entries():
        if gpa >= 1 << 40:
            continue
        whole = layout.name_of_range if level == 1 and raw & 1 << 7 else layout.name_of_page
        bits = locked.get(f"SEPTE[{tdr.hpa:#x},{gpa:#x},{level}]", 0)
        told = f"{name_of(raw)} {whole(raw & mask)}"
        told += ", locked" if bits & TDEL else ""
        told += ", HOST_PRIORITY" if bits & TDHP else ""
        yield f"S-EPT {gpa:#x} level {level}", told


def _listed(names: list[str]) -> str:
    if len(names) > MOST_NAMED:
        names = [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"]
    return ", ".join(names) or NOTHING
