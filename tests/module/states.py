"""States of a module, by name: what was done before a call, and who holds a lock.

One name is one state in all tests of the module. A state of one test alone stays with that test.
"""

from __future__ import annotations

from collections.abc import Callable

from .lab import GPA, NEW, PARAMS, TDR, Lab, Stage, page

Before = Callable[[Lab], object]


def nothing(lab: object) -> None:
    """No preparation."""


def at(stage: Stage) -> Before:
    """A TD built so far."""
    return lambda lab: lab.td(stage)


created, keyed, with_vcpu = at(Stage.CREATED), at(Stage.KEYS), at(Stage.VCPU)


def then(*steps: Before) -> Before:
    """One preparation after the other."""

    def before(lab: Lab) -> None:
        for step in steps:
            step(lab)

    return before


def paired(lab: Lab) -> None:
    """The first range has a pair; it is not the TD's."""
    lab.pair(0)


def home_paired(lab: Lab) -> None:
    """The range in which a TD is built has a pair."""
    lab.pair(8)


def upper_tables(lab: Lab) -> None:
    """A TD with all tables of a GPA but the last."""
    lab.td().tables(down_to=2)


def tables(lab: Lab) -> None:
    """A TD with all tables of a GPA."""
    lab.td().tables()


def page_added(lab: Lab) -> None:
    """A TD being built, with one measured page."""
    tables(lab)
    lab.ok("MEM.PAGE.ADD", rcx=GPA, rdx=TDR, r8=NEW, r9=PARAMS)


def page_mapped(lab: Lab) -> None:
    """A TD that may run, with one 4KB page."""
    lab.td(Stage.RUNNABLE).aug(NEW)


def page_tracked(lab: Lab) -> None:
    """The same with the page blocked, and the TLBs tracked."""
    td = lab.td(Stage.RUNNABLE)
    td.aug(NEW)
    td.block()


def large_page(lab: Lab) -> None:
    """A TD being built, with one 2MB page."""
    lab.td().aug(page(0), level=1)


def torn_down(lab: Lab) -> None:
    """A TD whose pages can be reclaimed."""
    lab.td().teardown()


def read(hpa: int) -> Before:
    """The 4KB entry of a page is held shared."""

    def before(lab: Lab) -> None:
        assert lab.entry(hpa).acquire_sh()

    return before


def written(hpa: int) -> Before:
    """The 4KB entry of a page is held exclusive."""

    def before(lab: Lab) -> None:
        assert lab.entry(hpa).acquire_ex()

    return before


def range_read(lab: Lab) -> None:
    """The 2MB entry of the first range is held shared."""
    assert lab.node(0).acquire_sh()


def gigabyte_held(lab: Lab) -> None:
    """The 1GB entry is held exclusive."""
    assert lab.block.entry_1g.acquire_ex()


def keys_held(lab: Lab) -> None:
    """The key table is held exclusive."""
    assert lab.module.keys.lock.acquire_ex()


def op_state_held(lab: Lab) -> None:
    """The TD's OP_STATE is held exclusive."""
    assert lab.module.tdr_at(TDR).tdcs.op_state_lock.acquire_ex()


def tree_held(lab: Lab) -> None:
    """The TD's S-EPT tree is held exclusive."""
    assert lab.module.tdr_at(TDR).tdcs.secure_ept_lock.acquire_ex()


def interrupt_pending(lab: Lab) -> None:
    """An external interrupt is pending on CPU 0."""
    lab.lps[0].interrupt_pending = True
