"""TDH.VP.ENTER: checks and locks on the way in, what is held meanwhile, and the way out."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.td import NO_LP, Tdvps, VcpuState
from tdxfuzz.module.td_exit import EPT_VIOLATION, EXTERNAL_INTERRUPT, TRIPLE_FAULT
from tdxfuzz.sim import HarnessError

from ..guests import ENTER, VE_DISABLE, enter, runnable, touch
from ..lab import GPA, HKID_BIT, NEW, OUTSIDE, TDR, TDVPR, Lab, Stage, page
from ..rows import Refusal, check_refused, refusals
from ..states import Before, at, op_state_held, read, then, tree_held, written

SECOND = page(8, 72)
HINT, RESUME_L1 = 1 << 52, 1 << 53
G, R = "PAMT_1G[0x100000000]", f"PAMT_2M[{page(8):#x}]"


def vcpu(lab: Lab, tdvpr: int = TDVPR) -> Tdvps:
    return lab.module.tdvps_at(tdvpr)


def keys_gone(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE).teardown()


def epoch_held(lab: Lab) -> None:
    assert lab.module.tdr_at(TDR).tdcs.epoch_lock.acquire_ex()


def second_vcpu(pages: int) -> Before:
    """A finalised TD with a second vCPU of so many pages, not initialised."""

    def before(lab: Lab) -> None:
        lab.td(Stage.VCPU)
        lab.ok("VP.CREATE", rcx=SECOND, rdx=TDR)
        for i in range(1, pages):
            lab.ok("VP.ADDCX", rcx=SECOND + i * SIZE_4K, rdx=SECOND)
        lab.ok("MR.FINALIZE", rcx=TDR)

    return before


def elsewhere(lab: Lab) -> None:
    """The vCPU is associated with another processor."""
    lab.td(Stage.RUNNABLE)
    vcpu(lab).assoc_lp = 1


def vcpu_active(lab: Lab) -> None:
    """Another processor runs the vCPU right now."""
    lab.td(Stage.RUNNABLE)
    vcpu(lab).state = VcpuState.ACTIVE


def broken(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE)
    enter(lab, lambda guest: TRIPLE_FAULT)


def tsc_back(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE)
    lab.lps[0].tsc = 1000
    enter(lab)
    lab.lps[0].tsc = 999


def suspected(lab: Lab, attributes: int = 0) -> None:
    """The guest touched memory it does not have, seven times over."""
    runnable(lab, attributes).tables()
    for _ in range(7):
        assert enter(lab, touch()).status == EPT_VIOLATION
    assert vcpu(lab).fault_gpas == [GPA]


row = refusals(rcx=TDVPR)


READY = at(Stage.RUNNABLE)
REFUSALS = [
    row("not aligned", "OPERAND_INVALID|RCX", READY, rcx=TDVPR + 1),
    row("reserved bit", "OPERAND_INVALID|RCX", READY, rcx=TDVPR | 1 << 54),
    row("HKID", "OPERAND_INVALID|RCX", READY, rcx=TDVPR | HKID_BIT),
    row("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", READY, rcx=OUTSIDE),
    row("no TDVPR", "PAGE_METADATA_INCORRECT|RCX", READY, rcx=TDR),
    row("TDVPR held", "OPERAND_BUSY|RCX", then(READY, written(TDVPR))),
    row("TDR held", "OPERAND_BUSY|TDR", then(READY, written(TDR))),
    row("keys gone", "TD_KEYS_NOT_CONFIGURED", keys_gone),
    row("op state held", "OPERAND_BUSY|OP_STATE", then(READY, op_state_held)),
    row("not final", "OP_STATE_INCORRECT|INITIALIZED", at(Stage.VCPU)),
    row("pages missing", "TDCX_NUM_INCORRECT", second_vcpu(5), rcx=SECOND),
    row("not initialised", "VCPU_STATE_INCORRECT", second_vcpu(6), rcx=SECOND),
    row("active", "VCPU_STATE_INCORRECT|0x4", vcpu_active),
    row("disabled", "VCPU_STATE_INCORRECT|R8", broken),
    row("on another processor", "VCPU_ASSOCIATED", elsewhere),
    row("hint without a trap", "OPERAND_INVALID|RCX", READY, rcx=TDVPR | HINT),
    row("no L2 to come from", "OPERAND_INVALID|RCX", READY, rcx=TDVPR | RESUME_L1),
    row("TSC goes back", "TSC_ROLLBACK", tsc_back),
    row("epoch held", "OPERAND_BUSY|TD_EPOCH", then(READY, epoch_held)),
    row("zero-stepping, tree held", "OPERAND_BUSY|SEPT_TREE", then(suspected, tree_held)),
]


@pytest.mark.parametrize("row", REFUSALS, ids=str)
def test_enter_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    result = check_refused(lab, ENTER, row)
    assert result.regs.rcx == row.registers["rcx"]
    if lab.module.tdr_at(TDR).lifecycle.name == "KEYS_CONFIGURED":
        assert lab.module.tdr_at(TDR).tdcs.td_epoch.refcount == [0, 0]


@pytest.mark.parametrize("shared", [TDVPR, TDR])
def test_enter_only_shares_what_it_holds(lab: Lab, shared: int) -> None:
    then(READY, read(shared))(lab)
    assert enter(lab).status == EXTERNAL_INTERRUPT


def test_without_a_guest_the_vcpu_exits_at_once_as_for_an_interrupt(lab: Lab) -> None:
    READY(lab)
    result = lab.call(ENTER, rcx=TDVPR, rdx=7, r8=7, r9=7, r10=7, r11=7, r12=7, r13=7)
    assert (result.text, result.status.detail) == ("SUCCESS", EXTERNAL_INTERRUPT)
    assert set(result.regs.as_dict().values()) == {0}
    assert (lab.held(), vcpu(lab).state) == ({}, VcpuState.READY)


def test_locks_are_taken_and_released_in_the_order_of_the_source(lab: Lab) -> None:
    READY(lab)
    events = lab.record()
    enter(lab)
    op_state, epoch = f"OP_STATE[{TDR:#x}]", f"TD_EPOCH[{TDR:#x}]"
    tdvpr, tdr, refcount = f"PAMT_4K[{TDVPR:#x}]", f"PAMT_4K[{TDR:#x}]", f"REFCOUNT[{TDR:#x}]"
    assert events == [
        *(f"acq SH {name}" for name in (G, R, tdvpr, tdr, op_state)),
        f"cmpxchg ASSOC_LPID[{TDVPR:#x}] FAILED",
        f"acq SH {epoch}",
        f"xadd +1 {refcount}",
        f"rel SH {epoch}",
        f"rel SH {op_state}",
        f"xadd -1 {refcount}",
        *(f"rel SH {name}" for name in (tdr, tdvpr, R, G)),
    ]


def test_only_a_vcpu_without_a_processor_is_exchanged_to_one(lab: Lab) -> None:
    READY(lab)
    lab.ok("VP.FLUSH", rcx=TDVPR)
    events = lab.record()
    for _ in range(2):
        enter(lab)
    exchanges = [event for event in events if event.startswith("cmpxchg")]
    name = f"cmpxchg ASSOC_LPID[{TDVPR:#x}]"
    assert exchanges == [name, f"{name} FAILED"]
    assert lab.module.tdr_at(TDR).tdcs.num_assoc_vcpus == 1


def test_while_a_vcpu_runs_its_tdvpr_and_its_td_are_held_and_nothing_else(lab: Lab) -> None:
    READY(lab)
    seen: list[object] = []

    def program(guest: Guest) -> int:
        seen.extend([lab.held(), vcpu(lab).state])
        return EXTERNAL_INTERRUPT

    enter(lab, program)
    held = {G: "SH 1", R: "SH 1", f"PAMT_4K[{TDVPR:#x}]": "SH 1", f"PAMT_4K[{TDR:#x}]": "SH 1"}
    assert seen == [held, VcpuState.ACTIVE]


def test_a_vcpu_is_counted_in_the_epoch_in_which_it_was_entered(lab: Lab) -> None:
    td = lab.td(Stage.RUNNABLE)
    epoch = td.structure.tdcs.td_epoch
    seen: list[list[int]] = []

    def program(guest: Guest) -> int:
        seen.append(list(epoch.refcount))
        return EXTERNAL_INTERRUPT

    for _ in range(3):
        enter(lab, program)
        td.track()
    assert seen == [[0, 1], [1, 0], [0, 1]]
    assert (epoch.refcount, vcpu(lab).epoch) == ([0, 0], 3)


def test_a_flushed_vcpu_is_associated_where_it_is_entered_next() -> None:
    lab = Lab(cpus=2)
    td = lab.td(Stage.RUNNABLE)
    tdcs = td.structure.tdcs
    assert enter(lab, cpu=1).text == "VCPU_ASSOCIATED"
    lab.ok("VP.FLUSH", rcx=TDVPR)
    assert (vcpu(lab).assoc_lp, tdcs.num_assoc_vcpus) == (NO_LP, 0)
    assert enter(lab, cpu=1).status == EXTERNAL_INTERRUPT
    assert (vcpu(lab).assoc_lp, tdcs.num_assoc_vcpus) == (1, 1)
    assert enter(lab, cpu=1).status == EXTERNAL_INTERRUPT
    assert tdcs.num_assoc_vcpus == 1
    assert lab.call("VP.FLUSH", 0, rcx=TDVPR).text == "VCPU_NOT_ASSOCIATED"


def test_an_entry_that_fails_late_leaves_the_vcpu_associated(lab: Lab) -> None:
    td = lab.td(Stage.RUNNABLE)
    lab.ok("VP.FLUSH", rcx=TDVPR)
    epoch_held(lab)
    assert enter(lab).text == "OPERAND_BUSY|TD_EPOCH"
    assert (vcpu(lab).assoc_lp, td.structure.tdcs.num_assoc_vcpus) == (0, 1)


def test_a_triple_fault_disables_the_vcpu_for_good(lab: Lab) -> None:
    READY(lab)
    result = enter(lab, lambda guest: TRIPLE_FAULT)
    assert (result.status.name, result.status.detail) == ("NON_RECOVERABLE_VCPU", TRIPLE_FAULT)
    assert vcpu(lab).state is VcpuState.DISABLED
    lab.ok("VP.FLUSH", rcx=TDVPR)


def test_a_program_cannot_make_up_an_ept_violation(lab: Lab) -> None:
    READY(lab)
    with pytest.raises(HarnessError, match="cannot leave with exit reason 48"):
        enter(lab, lambda guest: EPT_VIOLATION)


@pytest.mark.parametrize("write", [False, True])
def test_touching_memory_that_is_not_there_is_the_hosts_business(lab: Lab, write: bool) -> None:
    READY(lab)
    result = enter(lab, touch(GPA + 0x123, write))
    assert result.status == EPT_VIOLATION
    assert (result.regs.rcx, result.regs.rdx, result.regs.r8) == (1 + write, 0, GPA)
    assert lab.held() == {}


def test_touching_a_mapped_page_is_nobodys_business(lab: Lab) -> None:
    td = lab.td(Stage.VCPU)
    td.tables()
    lab.ok("MEM.PAGE.ADD", rcx=GPA, rdx=TDR, r8=NEW, r9=1 << 24)
    lab.ok("MR.FINALIZE", rcx=TDR)
    assert enter(lab, touch()).status == EXTERNAL_INTERRUPT
    td.block(track=False)
    assert enter(lab, touch()).status == EPT_VIOLATION


@pytest.mark.parametrize(
    ("attributes", "reason", "extended"), [(0, EXTERNAL_INTERRUPT, 0), (VE_DISABLE, 48, 6)]
)
def test_touching_a_pending_page_is_a_ve_or_an_exit(
    lab: Lab, attributes: int, reason: int, extended: int
) -> None:
    runnable(lab, attributes).aug(NEW)
    accessed: list[bool] = []

    def program(guest: Guest) -> int:
        accessed.append(guest.access(GPA))
        return EXTERNAL_INTERRUPT

    result = enter(lab, program)
    assert (result.status, result.regs.rdx) == (reason, extended)
    assert accessed == ([] if attributes else [False])


def test_only_private_addresses_can_be_touched(lab: Lab) -> None:
    READY(lab)
    with pytest.raises(AssertionError, match="not a private address"):
        enter(lab, touch(1 << 47))


def test_too_many_faults_without_progress_end_in_an_exit_with_no_entry(lab: Lab) -> None:
    suspected(lab)
    entered: list[Guest] = []

    def program(guest: Guest) -> int:
        entered.append(guest)
        return EXTERNAL_INTERRUPT

    result = enter(lab, program)
    assert (result.status, result.regs.rcx, result.regs.r8) == (EPT_VIOLATION, 2, GPA)
    assert (entered, lab.held()) == ([], {})
    assert lab.module.tdr_at(TDR).tdcs.td_epoch.refcount == [0, 0]


def test_the_zero_step_filter_shares_the_tree_until_op_state_is_free(lab: Lab) -> None:
    suspected(lab)
    lab.ok("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=NEW)
    events = lab.record()
    assert enter(lab, touch()).status == EXTERNAL_INTERRUPT
    tree, op_state = f"SEPT_TREE[{TDR:#x}]", f"OP_STATE[{TDR:#x}]"
    shown = [event for event in events if event.endswith((tree, op_state))]
    assert shown == [
        f"acq SH {op_state}",
        f"acq SH {tree}",
        f"rel SH {op_state}",
        f"rel SH {tree}",
    ]


def test_a_pending_page_is_no_reason_to_keep_the_guest_out_if_it_gets_a_ve(lab: Lab) -> None:
    suspected(lab, VE_DISABLE)
    lab.ok("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=NEW)
    entered: list[Guest] = []

    def program(guest: Guest) -> int:
        entered.append(guest)
        return EXTERNAL_INTERRUPT

    assert enter(lab, program).status == EPT_VIOLATION
    assert entered == []


def test_progress_clears_the_suspicion(lab: Lab) -> None:
    suspected(lab)
    lab.ok("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=NEW)
    assert enter(lab, touch()).status == EXTERNAL_INTERRUPT
    assert (vcpu(lab).faults, vcpu(lab).fault_gpas) == (0, [])


def test_each_address_is_suspected_once_and_at_most_32_are(lab: Lab) -> None:
    suspected(lab)
    gpas = [GPA + i * SIZE_4K for i in range(34)]
    for i, gpa in enumerate(gpas[:-1]):
        # The page that kept the guest out is there now, but the next one it needs is not.
        lab.ok("MEM.PAGE.AUG", rcx=gpa, rdx=TDR, r8=page(8, 200 + i))
        for _ in range(2):
            assert enter(lab, touch(gpas[i + 1])).status == EPT_VIOLATION
    assert vcpu(lab).fault_gpas == gpas[:32]


def test_an_exit_without_progress_keeps_the_suspicion(lab: Lab) -> None:
    suspected(lab)
    lab.ok("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=NEW)
    for _ in range(2):
        assert enter(lab).status == EXTERNAL_INTERRUPT
    assert vcpu(lab).fault_gpas == [GPA]
