"""The dispatcher of TDCALLs: which leaves there are, and a guest's patience with the host."""

from __future__ import annotations

import pytest

from tdxfuzz.abi import GUEST_BY_NAME, GUEST_BY_NUMBER, Registers
from tdxfuzz.module.leaves import GUEST_HANDLERS
from tdxfuzz.module.leaves.registry import tdcall as register
from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.sept_entry import TDHP
from tdxfuzz.module.td import LastExit
from tdxfuzz.module.td_exit import EXTERNAL_INTERRUPT
from tdxfuzz.sim import HarnessError

from ..guests import ACCEPT, ENTER, READ, Program, Script, answer_of, enter, runnable, septe, tdcall
from ..lab import GPA, NEW, TDVPR, Lab, Result, Td
from ..races import call

TIMEOUT = Platform().tsc_frequency
"""One second, the default, in ticks."""
ACCEPT_GPA = call(ACCEPT, rcx=GPA)


@pytest.fixture
def td(lab: Lab) -> Td:
    """A TD that can run, with a pending page."""
    td = runnable(lab)
    td.aug(NEW)
    return td


@pytest.fixture
def contended(td: Td) -> Td:
    """A host wants the entry of the pending page before any guest."""
    entry = septe(td.lab)
    assert entry.lock_guest() == 0
    assert not entry.lock_host()
    entry.unlock()
    return td


def one(results: list[Result], leaf: int, version: int = 0) -> Program:
    """A program of one TDCALL by number."""

    def program(guest: Guest) -> int:
        regs = Registers(rcx=GPA)
        results.append(Result(guest.tdcall(leaf, regs, version), regs))
        return EXTERNAL_INTERRUPT

    return program


def test_these_guest_leaves_are_modelled() -> None:
    names = {str(GUEST_BY_NUMBER[number]) for number in GUEST_HANDLERS}
    assert names == {f"TDG.MEM.PAGE.{name}" for name in ("ACCEPT", "ATTR.RD", "ATTR.WR")}


def test_a_guest_leaf_cannot_be_modelled_twice() -> None:
    with pytest.raises(AssertionError, match="guest leaf 6 is modelled twice"):
        register(6)(lambda m, call: 0)


@pytest.mark.parametrize(
    ("leaf", "version"), [(13, 0), (1000, 0), (6, 1), (23, 1), (24, 2), (0, 1)]
)
def test_what_the_module_lacks_is_refused(td: Td, leaf: int, version: int) -> None:
    results: list[Result] = []
    enter(td.lab, one(results, leaf, version))
    assert results[0].text == "OPERAND_INVALID|RAX"
    assert results[0].regs.rcx == GPA


@pytest.mark.parametrize(("leaf", "version"), [(0, 0), (3, 1), (7, 1), (18, 0)])
def test_what_the_model_lacks_is_an_error_of_its_own(td: Td, leaf: int, version: int) -> None:
    with pytest.raises(HarnessError, match=f"{GUEST_BY_NUMBER[leaf]} is not modelled"):
        enter(td.lab, one([], leaf, version))


def test_a_guest_can_make_many_calls_between_entry_and_exit(td: Td) -> None:
    script = Script(call(READ, rcx=GPA), ACCEPT_GPA, ACCEPT_GPA, call(READ, rcx=GPA))
    assert enter(td.lab, script).status == EXTERNAL_INTERRUPT
    assert script.texts == ["SUCCESS", "SUCCESS", "PAGE_ALREADY_ACCEPTED|level 0", "SUCCESS"]
    assert [result.regs.rcx >> 62 for result in (script.results[0], script.results[3])] == [1, 0]


def test_a_program_starts_anew_on_each_entry(td: Td) -> None:
    script = Script(ACCEPT_GPA)
    for _ in range(2):
        enter(td.lab, script)
    assert script.texts == ["SUCCESS", "PAGE_ALREADY_ACCEPTED|level 0"]


def test_the_module_dies_of_a_guests_call_as_of_any_other(td: Td) -> None:
    def program(guest: Guest) -> int:
        septe(td.lab).unlock()
        return tdcall(guest, ACCEPT, rcx=GPA).status

    assert enter(td.lab, program).text == "SEAMCALL_VMFAILINVALID"
    assert td.lab.watch.told == [("fatal", 196)]


def test_a_guest_that_makes_way_is_told_busy(contended: Td) -> None:
    assert answer_of(contended.lab, ACCEPT, rcx=GPA).text == "OPERAND_BUSY|RCX"
    assert contended.lab.module.tdvps_at(TDVPR).hp_busy_since == 0


@pytest.mark.parametrize(("ticks", "patient"), [(TIMEOUT - 1, True), (TIMEOUT, False)])
def test_its_patience_ends_with_the_timeout(contended: Td, ticks: int, patient: bool) -> None:
    lab = contended.lab
    answer_of(lab, ACCEPT, rcx=GPA)
    lab.lps[0].tsc = ticks
    script = Script(ACCEPT_GPA)
    exit_ = enter(lab, script)
    if patient:
        assert script.texts == ["OPERAND_BUSY|RCX"]
        return
    assert (exit_.text, script.results) == ("HOST_PRIORITY_BUSY_TIMEOUT", [])
    assert exit_.status & 1 << 60
    assert set(exit_.regs.as_dict().values()) == {0}
    assert lab.held() == {}
    assert lab.module.tdvps_at(TDVPR).last_exit is LastExit.ASYNC_TRAP


def test_the_timeout_counts_ticks_of_the_platform() -> None:
    lab = Lab(platform=Platform(tsc_frequency=1_000_000))
    runnable(lab).aug(NEW)
    septe(lab).raw |= TDHP
    answer_of(lab, ACCEPT, rcx=GPA)
    lab.lps[0].tsc = 999_999
    assert answer_of(lab, ACCEPT, rcx=GPA).text == "OPERAND_BUSY|RCX"
    lab.lps[0].tsc = 1_000_000
    assert enter(lab, Script(ACCEPT_GPA)).text == "HOST_PRIORITY_BUSY_TIMEOUT"


def test_a_counter_that_goes_back_ends_its_patience(contended: Td) -> None:
    """The difference has 64 bits and no sign."""
    lab = contended.lab
    lab.lps[0].tsc = 5

    def program(guest: Guest) -> int:
        tdcall(guest, ACCEPT, rcx=GPA)
        lab.lps[0].tsc = 4
        return tdcall(guest, ACCEPT, rcx=GPA).status

    assert enter(lab, program).text == "HOST_PRIORITY_BUSY_TIMEOUT"


def test_after_the_timeout_the_host_may_say_that_it_will_do_better(contended: Td) -> None:
    lab = contended.lab
    answer_of(lab, ACCEPT, rcx=GPA)
    lab.lps[0].tsc = TIMEOUT
    enter(lab, Script(ACCEPT_GPA))
    lab.lps[0].guest = None
    assert lab.call(ENTER, rcx=TDVPR | 1 << 52).status == EXTERNAL_INTERRUPT
    assert lab.call(ENTER, rcx=TDVPR | 1 << 52).text == "OPERAND_INVALID|RCX"


def test_any_other_answer_restores_its_patience(contended: Td) -> None:
    lab = contended.lab
    elsewhere = call(READ, rcx=1 << 47)
    enter(lab, Script(ACCEPT_GPA, elsewhere))
    lab.lps[0].tsc = TIMEOUT
    assert answer_of(lab, ACCEPT, rcx=GPA).text == "OPERAND_BUSY|RCX"


def test_being_kept_out_by_a_lock_that_is_held_costs_no_patience(td: Td) -> None:
    assert septe(td.lab).lock_host()
    assert answer_of(td.lab, ACCEPT, rcx=GPA).text == "OPERAND_BUSY|RCX"
    assert td.lab.module.tdvps_at(TDVPR).hp_busy_since is None


def test_the_guest_leaves_have_the_numbers_of_the_module() -> None:
    numbers = {name: GUEST_BY_NAME[f"TDG.{name}"].number for name in (ACCEPT, READ, "VP.INVVPID")}
    assert numbers == {ACCEPT: 6, READ: 23, "VP.INVVPID": 27}
