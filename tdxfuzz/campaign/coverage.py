"""What a case reached, as numbers: it is interesting if it has one that none before it had.

The features of a run are each SEAMCALL leaf with each status it answered, and the state in
which the run ended. Which page it is does not matter there, nor do big counts: so there are few
enough states to have seen them all one day, and a campaign can tell that nothing new comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from tdxfuzz.host.host import Host
from tdxfuzz.module.td import Tdr
from tdxfuzz.run.result import Run

MANY = 3
"""From here on counts are alike."""

IS_STATE = 1 << 62
"""Set in features that are states; the others are leaf and status."""


def features_of(run: Run) -> Iterator[int]:
    """The features of a run whose session had :func:`end_state` as its fingerprint."""
    for leaf, code in run.calls:
        yield leaf << 32 | code
    if run.state is not None:
        yield run.state


def end_state(host: Host) -> int:
    """A number for the state of ranges, TDs and keys, the same in every process."""
    text = repr((sorted(_ranges(host)), sorted(_tds(host)), host.module.dead is not None))
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2 | IS_STATE


def _ranges(host: Host) -> Iterator[tuple[object, ...]]:
    """Of each 2MB range in use: its entry, its pair, what its 4KB entries are, its refcount."""
    refcounts = host.refcounts
    for block in host.module.pamt.blocks.values():
        for index, node in block.entries_2m.items():
            refcount = refcounts.get(index)
            kinds = {int(entry.pt) for page in node.backing for entry in page.entries.values()}
            yield (
                int(node.pt),
                len(node.backing),
                min(node.page_count.value, MANY),
                tuple(sorted(kinds)),
                0 if refcount is None else min(refcount.value, MANY),
                node.word != 0,
            )


def _tds(host: Host) -> Iterator[tuple[object, ...]]:
    for page in host.module.memory.pages.values():
        if isinstance(page, Tdr):
            yield _td(page)
    for vm in host.vms:
        yield vm.state.value.value, min(vm.users.value, MANY), len(vm.shared_slots)


def _td(page: Tdr) -> tuple[object, ...]:
    tdcs = page.tdcs
    return (
        "tdr",
        int(page.lifecycle),
        int(tdcs.op_state),
        min(page.chldcnt.value, MANY),
        page.num_tdcx,
        min(tdcs.num_vcpus, MANY),
    )
