"""The dispatcher: which leaves exist, versions, and a module that has died."""

from __future__ import annotations

from inspect import isfunction

import pytest

from tdxfuzz.abi import BY_NUMBER, DEAD, LEAVES, Registers
from tdxfuzz.abi.address import SIZE_1G
from tdxfuzz.module.call import Call, LogicalProcessor
from tdxfuzz.module.errors import LeafNotModelledError, ModuleFatal
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.module.watch import ModuleWatch
from tdxfuzz.sim import Simulator

from .lab import NEW, TDR, Lab, Stage, Watch, page

MODELLED = [
    *("TDH.MNG.ADDCX", "TDH.MEM.PAGE.ADD", "TDH.MEM.SEPT.ADD", "TDH.VP.ADDCX"),
    *("TDH.MEM.PAGE.RELOCATE", "TDH.MEM.PAGE.AUG", "TDH.MEM.RANGE.BLOCK", "TDH.MNG.KEY.CONFIG"),
    *("TDH.MNG.CREATE", "TDH.VP.CREATE", "TDH.MEM.PAGE.DEMOTE", "TDH.MR.FINALIZE"),
    *("TDH.VP.FLUSH", "TDH.MNG.VPFLUSHDONE", "TDH.MNG.KEY.FREEID", "TDH.MNG.INIT"),
    *("TDH.VP.INIT", "TDH.MEM.PAGE.PROMOTE", "TDH.PHYMEM.PAGE.RDMD", "TDH.MNG.KEY.RECLAIMID"),
    *("TDH.PHYMEM.PAGE.RECLAIM", "TDH.MEM.PAGE.REMOVE", "TDH.MEM.SEPT.REMOVE"),
    *("TDH.SYS.TDMR.INIT", "TDH.MEM.TRACK", "TDH.MEM.RANGE.UNBLOCK", "TDH.PHYMEM.CACHE.WB"),
    *("TDH.PHYMEM.PAGE.WBINVD", "TDH.PHYMEM.PAMT.ADD", "TDH.PHYMEM.PAMT.REMOVE"),
    *("TDH.VP.ENTER", "TDH.MEM.SEPT.RD", "TDH.MR.EXTEND", "TDH.MNG.RD", "TDH.MNG.WR"),
    *("TDH.SYS.INIT", "TDH.SYS.LP.INIT", "TDH.SYS.CONFIG", "TDH.SYS.KEY.CONFIG"),
    *("TDH.SYS.INFO", "TDH.SYS.RD", "TDH.SYS.RDALL"),
    *("TDH.SYS.SHUTDOWN", "TDH.SYS.LP.SHUTDOWN"),
]
WITH_VERSION_1 = {
    *("TDH.MEM.SEPT.ADD", "TDH.VP.INIT", "TDH.MEM.PAGE.PROMOTE", "TDH.MEM.SEPT.REMOVE"),
    *("TDH.MNG.RD", "TDH.SYS.INIT"),
}


def test_these_leaves_are_modelled() -> None:
    assert {str(BY_NUMBER[number]) for number in HANDLERS} == set(MODELLED)


def test_a_leaf_the_real_module_lacks_is_refused(lab: Lab) -> None:
    unknown = max(BY_NUMBER) + 1
    word = lab.module.seamcall(lab.lps[0], unknown, Registers())
    assert str(word) == "OPERAND_INVALID|RAX"


def test_a_leaf_the_model_lacks_is_an_error_of_its_own(lab: Lab) -> None:
    missing = [known for known in LEAVES if known.number not in HANDLERS]
    assert missing
    for known in missing:
        with pytest.raises(LeafNotModelledError, match=f"{known} is not modelled"):
            lab.call(known.name)


@pytest.mark.parametrize("name", [name for name in MODELLED if name not in WITH_VERSION_1])
def test_a_leaf_without_versions_refuses_version_1_before_all_else(name: str) -> None:
    lab = Lab()
    regs = {"rcx": (1 << 64) - 1, "rdx": (1 << 64) - 1, "r8": 7, "r9": 9}
    result = lab.call(name, 0, 1, **regs)
    assert result.text == "OPERAND_INVALID|RAX"
    assert {k: v for k, v in result.regs.as_dict().items() if v} == regs


@pytest.mark.parametrize("name", sorted(WITH_VERSION_1))
def test_a_leaf_with_two_versions_refuses_a_third(name: str) -> None:
    assert Lab().call(name, 0, 2, rcx=page(0), rdx=page(0)).text == "OPERAND_INVALID|RAX"
    assert Lab().call(name, 0, 1, rcx=page(0), rdx=page(0)).text != "OPERAND_INVALID|RAX"


def test_a_leaf_cannot_be_modelled_twice() -> None:
    with pytest.raises(AssertionError, match="leaf 58 is modelled twice"):
        leaf(58)(lambda m, call: 0)


def kill(lab: Lab) -> None:
    """Make the page count of a range disagree with its entries, and look (fatal 343)."""
    lab.pair(0)
    lab.node(0).page_count.value = 1
    assert lab.unpair(0).status is DEAD


def test_a_failed_sanity_check_kills_the_module_and_is_reported_once(lab: Lab) -> None:
    kill(lab)
    assert lab.module.dead is not None
    assert lab.module.dead.fatal_id == 343
    lab.unpair(0)
    assert lab.watch.told == [("fatal", 343)]


@pytest.mark.parametrize("name", MODELLED)
def test_after_a_fatal_error_every_leaf_answers_as_dead(name: str) -> None:
    lab = Lab()
    kill(lab)
    state = lab.state()
    result = lab.call(name, rcx=TDR, rdx=TDR, r8=NEW)
    assert result.status is DEAD
    assert result.status.is_software
    assert (result.regs.rcx, result.regs.rdx, result.regs.r8) == (TDR, TDR, NEW)
    assert lab.state() == state


def test_a_dead_module_answers_as_dead_to_leaves_it_never_had(lab: Lab) -> None:
    kill(lab)
    for number in (0, 1000):
        assert lab.module.seamcall(lab.lps[0], number, Registers()) is DEAD


def test_a_living_module_has_no_cause_of_death(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE)
    assert lab.module.dead is None
    assert lab.watch.told == []


def test_the_watch_is_told_of_pages_and_pairs_that_go(lab: Lab) -> None:
    td = lab.td()
    lab.pair(0)
    td.aug(page(0, 7))
    td.remove()
    lab.unpair(0)
    assert lab.watch.told == [("page_gone", page(0, 7)), ("pair_removed", page(0))]


def test_the_watch_is_told_of_new_pairs_and_of_refused_ones_not(lab: Lab) -> None:
    lab.pair(0)
    assert lab.call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=NEW, r8=NEW).status.is_error
    lab.pair(1)
    assert lab.watch.pairs_added == [page(0), page(1)]


def test_a_module_nobody_watches_works_as_well() -> None:
    module = TdxModule(Simulator(1), [TdmrInfo(page(0), SIZE_1G)])
    regs = Registers(rcx=page(0) | 1, rdx=page(1), r8=page(2))
    answers = [module.seamcall(LogicalProcessor(0), number, regs) for number in (58, 59)]
    assert answers == [0, 0]


def hooks(watch: type[ModuleWatch]) -> set[str]:
    return {name for name, value in vars(watch).items() if isfunction(value)} - {"__init__"}


def test_the_module_does_the_same_with_any_watch() -> None:
    """A plain watch ignores what the lab's notes; what the module does depends on neither."""
    assert hooks(Watch) == hooks(ModuleWatch)
    ends = []
    for watch in (Watch(), ModuleWatch()):
        lab = Lab()
        lab.module.watch = watch
        td = lab.td()
        td.aug(NEW)
        td.remove()
        kill(lab)
        lab.module.touched_page_given_back(page(0), "entry")
        ends.append((lab.state(), lab.held(), lab.sim.clock))
        if isinstance(watch, Watch):
            assert [kind for kind, _ in watch.told] == ["page_gone", "fatal", "touched"]
    assert ends[0] == ends[1]


def test_a_fatal_error_says_number_and_reason() -> None:
    fatal = ModuleFatal(343, "because")
    assert (str(fatal), fatal.fatal_id, fatal.why) == ("fatal error 343: because", 343, "because")


def test_a_fatal_error_stops_the_call_where_it_is(lab: Lab) -> None:
    """The locks it held stay held: nobody comes to release them."""
    kill(lab)
    assert lab.held()[f"PAMT_2M[{page(0):#x}]"] == "EX"


def test_modules_share_nothing() -> None:
    first, second = Lab(), Lab()
    first.td()
    assert second.state()["tds"] == {}
    assert isinstance(second.module, TdxModule)
    assert second.call("MNG.CREATE", rcx=TDR, rdx=40).text == "MISSING_PAMT_PAGE_PAIR|RCX"


def test_the_watch_learns_who_called_what(lab: Lab) -> None:
    calls: list[tuple[int, int]] = []

    class Who(ModuleWatch):
        def fatal(self, lp: LogicalProcessor, call: Call, fatal: ModuleFatal) -> None:
            calls.append((lp.id, call.leaf))

    lab.module.watch = Who()
    kill(lab)
    assert calls == [(0, 59)]
