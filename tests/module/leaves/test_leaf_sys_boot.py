"""TDH.SYS.INIT, LP.INIT, CONFIG, KEY.CONFIG, SHUTDOWN and LP.SHUTDOWN."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi import KeyIdBits, Registers
from tdxfuzz.abi.address import SIZE_1G, SIZE_4K
from tdxfuzz.module.call import Call, LogicalProcessor
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.leaves.sys_boot import tdh_sys_shutdown
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.system import SysState

from ..boot import (
    DYNAMIC,
    GLOBAL,
    LIST,
    BootLab,
    Row,
    check_refused,
    entry,
    just_loaded,
    row,
    with_region,
)
from ..lab import BASE, HKID, OUTSIDE, Lab, Stage, page

MIB = 1 << 20
ALL = (1 << 64) - 1
NO_LOG = (1 << 46) - 1 << 6
"""In SYS.INIT's R8: fatal errors are not to be logged."""
INFO = LIST + SIZE_4K
GOOD = {"rcx": LIST, "rdx": 1, "r8": GLOBAL | DYNAMIC}


def init_done(lab: BootLab) -> None:
    """SYS.INIT, but no processor yet."""
    lab.ok("SYS.INIT")


def all_lps(lab: BootLab) -> None:
    """What SYS.CONFIG wants; a good TDMR_INFO lies where it will look."""
    lab.init()
    lab.describe(entry())


def config_done(lab: BootLab) -> None:
    lab.init()
    assert lab.config(entry()).text == "SUCCESS"


def ready(lab: BootLab) -> None:
    lab.boot()


def shut_down(lab: BootLab) -> None:
    lab.boot()
    lab.ok("SYS.SHUTDOWN", rcx=1)


def building(lab: BootLab) -> None:
    """Ready, and a TD is being built."""
    lab.boot()
    initialise_tdmr(lab)
    lab.td(Stage.INIT)


def locked(lab: BootLab) -> None:
    """Somebody holds the whole module exclusive."""
    assert lab.module.system.lock.acquire_ex()


def shared(lab: BootLab) -> None:
    """Somebody holds the whole module shared, as SYS.LP.INIT does."""
    assert lab.module.system.lock.acquire_sh()


def ready_and_locked(lab: BootLab) -> None:
    ready(lab)
    locked(lab)


def crooked_list(lab: BootLab) -> None:
    """The list names a TDMR_INFO that is not aligned to 512."""
    lab.init()
    lab.module.memory.write(LIST, (INFO + 256).to_bytes(8, "little"))


def initialise_tdmr(lab: Lab) -> None:
    while lab.ok("SYS.TDMR.INIT", rcx=BASE).rdx < BASE + SIZE_1G:
        pass


REFUSED = [
    row("SYS.INIT", locked, "OPERAND_INVALID|RAX", 2, rcx=1),
    row("SYS.INIT", locked, "SYS_BUSY", rcx=1),
    row("SYS.INIT", shared, "SYS_BUSY"),
    row("SYS.INIT", just_loaded, "OPERAND_INVALID|RCX", rcx=1 << 63),
    row("SYS.INIT", init_done, "OPERAND_INVALID|RCX", rcx=1),
    row("SYS.INIT", init_done, "SYS_INIT_NOT_PENDING"),
    row("SYS.INIT", ready, "SYS_INIT_NOT_PENDING", 1, r8=1),
    row("SYS.INIT", just_loaded, "OPERAND_INVALID|R8", 1, r8=NO_LOG | 1),
    row("SYS.INIT", just_loaded, "OPERAND_INVALID|R8", 1, r8=NO_LOG | 1 << 53),
    row("SYS.INIT", just_loaded, "OPERAND_INVALID|R8", 1, r8=GLOBAL << 40),
    row("SYS.INIT", just_loaded, "OPERAND_INVALID|R8", 1, r8=NO_LOG | 1 << 54 | 15 << 56),
    row("SYS.LP.INIT", locked, "SYS_BUSY"),
    row("SYS.LP.INIT", just_loaded, "SYS_LP_INIT_NOT_PENDING"),
    row("SYS.LP.INIT", all_lps, "SYS_LP_INIT_DONE"),
    row("SYS.LP.INIT", config_done, "SYS_LP_INIT_NOT_PENDING"),
    row("SYS.CONFIG", locked, "SYS_BUSY"),
    row("SYS.CONFIG", shared, "SYS_BUSY"),
    row("SYS.CONFIG", just_loaded, "SYS_CONFIG_NOT_PENDING", **GOOD),
    row("SYS.CONFIG", init_done, "SYS_CONFIG_NOT_PENDING", **GOOD),
    row("SYS.CONFIG", config_done, "SYS_CONFIG_NOT_PENDING", **GOOD),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|RCX", rcx=LIST + 256, rdx=0),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|RCX", rcx=1 << 52, rdx=1),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|RCX", rcx=LIST | GLOBAL << 40, rdx=1),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|RDX", rcx=LIST, rdx=0),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|RDX", rcx=LIST, rdx=65),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|R8", rcx=LIST, rdx=1, r8=31),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|R8", rcx=LIST, rdx=1, r8=64),
    row("SYS.CONFIG", all_lps, "OPERAND_INVALID|R8", rcx=LIST, rdx=1, r8=GLOBAL | 1 << 17),
    row("SYS.KEY.CONFIG", locked, "SYS_BUSY"),
    row("SYS.KEY.CONFIG", shared, "SYS_BUSY"),
    row("SYS.KEY.CONFIG", all_lps, "SYS_KEY_CONFIG_NOT_PENDING"),
    row("SYS.KEY.CONFIG", ready, "SYS_KEY_CONFIG_NOT_PENDING"),
    row("SYS.SHUTDOWN", config_done, "SYS_NOT_READY", rcx=0),
    row("SYS.SHUTDOWN", ready_and_locked, "OPERAND_INVALID|RCX", rcx=0),
    row("SYS.SHUTDOWN", ready_and_locked, "OPERAND_INVALID|RCX", rcx=2),
    row("SYS.SHUTDOWN", ready_and_locked, "OPERAND_INVALID|RCX", rcx=1 | 1 << 17),
    row("SYS.SHUTDOWN", ready_and_locked, "SYS_BUSY", rcx=1),
    row("SYS.SHUTDOWN", building, "UPDATE_COMPATIBILITY_SENSITIVE|0x10000", rcx=1 | 1 << 16),
    row("SYS.SHUTDOWN", shut_down, "SYS_SHUTDOWN", rcx=0),
]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_refused_call_changes_nothing(case: Row) -> None:
    check_refused(BootLab(), case)


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_module_is_brought_up_step_by_step(dynamic: bool) -> None:
    lab = BootLab(cpus=2)
    states = [lab.sys_state]
    for leaf, cpu in [("SYS.INIT", 0), ("SYS.LP.INIT", 0), ("SYS.LP.INIT", 1)]:
        lab.ok(leaf, cpu)
        states.append(lab.sys_state)
    assert lab.config(entry(dynamic=dynamic), dynamic=dynamic).text == "SUCCESS"
    states.append(lab.sys_state)
    lab.ok("SYS.KEY.CONFIG", 1)
    states.append(lab.sys_state)
    assert [state.name for state in states] == [
        "SYSINIT_PENDING",
        "SYSINIT_DONE",
        "SYSINIT_DONE",
        "SYSINIT_DONE",
        "SYSCONFIG_DONE",
        "SYS_READY",
    ]


def test_from_reset_to_a_page_pair() -> None:
    lab = BootLab()
    lab.boot()
    add = {"rcx": page(0) | 1, "rdx": page(400), "r8": page(401)}
    assert lab.call("PHYMEM.PAMT.ADD", **add).text == "OPERAND_ADDR_RANGE_ERROR|RDX"
    ends = [lab.ok("SYS.TDMR.INIT", rcx=BASE).rdx for _ in range(64)]
    assert ends == [BASE] * 63 + [BASE + SIZE_1G]
    lab.ok("PHYMEM.PAMT.ADD", **add)
    assert lab.node(0).is_node
    lab.td(Stage.RUNNABLE)


def test_from_reset_to_a_td_without_dynamic_pamt() -> None:
    lab = BootLab()
    lab.boot(dynamic=False)
    assert [lab.ok("SYS.TDMR.INIT", rcx=BASE).rdx for _ in range(256)][-1] == BASE + SIZE_1G
    refused = lab.call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(256), r8=page(257))
    assert refused.text == "OPERAND_INVALID|RAX"
    lab.td(Stage.RUNNABLE)


def test_a_reserved_area_stays_out_of_use() -> None:
    lab = BootLab()
    lab.init()
    # PAMT may lie in a reserved area, even in its own TDMR's.
    info = with_region(entry(reserved=[(512 * MIB, MIB)]), 0, BASE + 512 * MIB)
    assert lab.config(info).text == "SUCCESS"
    lab.ok("SYS.KEY.CONFIG")
    initialise_tdmr(lab)
    add = lab.call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(256), r8=page(258))
    assert add.text == "PAGE_NOT_FREE|RDX"


def test_init_zeroes_registers_even_if_it_is_refused() -> None:
    for version, status in ((0, "SUCCESS"), (2, "OPERAND_INVALID|RAX")):
        regs = dict.fromkeys(("rdx", "r8", "r9", "r10", "r11"), 7)
        result = BootLab().call("SYS.INIT", 0, version, **regs)
        assert result.text == status
        assert {k: v for k, v in result.regs.as_dict().items() if v} == {"r11": 7}


def test_lp_init_zeroes_registers_even_if_it_is_refused() -> None:
    lab = BootLab()
    for status in ("SYS_LP_INIT_NOT_PENDING", "SUCCESS"):
        result = lab.call("SYS.LP.INIT", rcx=1, rdx=2, r8=8, r9=9)
        assert result.text == status
        assert {k: v for k, v in result.regs.as_dict().items() if v} == {"r9": 9}
        if status != "SUCCESS":
            lab.ok("SYS.INIT")


def test_config_and_key_config_leave_registers_alone() -> None:
    lab = BootLab()
    lab.init()
    result = lab.config(entry())
    assert result.text == "SUCCESS"
    assert (result.regs.rcx, result.regs.rdx, result.regs.r8) == (LIST, 1, GLOBAL | DYNAMIC)
    assert lab.ok("SYS.KEY.CONFIG", rcx=1, r8=8).as_tuple()[0] == 1


@pytest.mark.parametrize(
    "r8", [0, NO_LOG, 1 << 25, NO_LOG | 1 << 54 | 16 << 56, NO_LOG | 2 << 54, NO_LOG | 3 << 54]
)
def test_version_1_of_init_takes_what_to_do_on_a_fatal_error(r8: int) -> None:
    lab = BootLab()
    lab.ok("SYS.INIT", 0, 1, r8=r8)
    assert lab.sys_state is SysState.SYSINIT_DONE


def test_version_0_of_init_does_not_look_at_r8() -> None:
    BootLab().ok("SYS.INIT", r8=ALL)


@pytest.mark.parametrize(
    ("platform", "status"),
    [
        (Platform(private_hkid_max=2047), "SUCCESS"),
        (Platform(private_hkid_max=2048), "NUM_ACTIVATED_HKIDS_NOT_SUPPORTED|0x800"),
        (Platform(cmrs=((0, 1 << 41),)), "CMR_LIST_INVALID"),
        (
            Platform(private_hkid_max=2048, cmrs=((1, 1),)),
            "NUM_ACTIVATED_HKIDS_NOT_SUPPORTED|0x800",
        ),
    ],
)
def test_init_looks_at_the_machine(platform: Platform, status: str) -> None:
    lab = BootLab(platform=platform)
    assert lab.call("SYS.INIT").text == status
    done = SysState.SYSINIT_DONE if status == "SUCCESS" else SysState.SYSINIT_PENDING
    assert lab.sys_state is done
    assert lab.held() == {}


def test_config_waits_for_the_last_processor() -> None:
    lab = BootLab(cpus=2)
    lab.ok("SYS.INIT")
    lab.ok("SYS.LP.INIT", 1)
    assert lab.config(entry()).text == "SYS_CONFIG_NOT_PENDING"
    lab.ok("SYS.LP.INIT", 0)
    assert lab.config(entry()).text == "SUCCESS"


def test_config_reserves_the_hkid_even_if_it_is_refused_afterwards() -> None:
    """The source sets the key table's entry as soon as R8 itself is valid."""
    lab = BootLab()
    lab.init()
    assert lab.config(entry(size=SIZE_4K), hkid=HKID).text == "INVALID_TDMR|TDMR 0"
    assert lab.config(entry()).text == "SUCCESS"
    reserved = {h for h, key in lab.module.keys.entries.items() if key.state is Kot.RESERVED}
    assert reserved == {GLOBAL, HKID}
    lab.ok("SYS.KEY.CONFIG")
    initialise_tdmr(lab)
    lab.pair(8)
    assert lab.call("MNG.CREATE", rcx=page(8), rdx=HKID).text == "HKID_NOT_FREE"


@pytest.mark.parametrize(("start", "status"), [(48, "SUCCESS"), (49, "OPERAND_INVALID|R8")])
def test_dynamic_pamt_needs_short_addresses(start: int, status: str) -> None:
    """An HPA of more than 48 bits does not fit into a PAMT_2M entry; static PAMT has none."""
    platform = Platform(max_pa=52, key_bits=KeyIdBits(start, 52 - start), private_hkid_min=1)
    for dynamic in (True, False):
        lab = BootLab(platform=platform)
        lab.init()
        result = lab.config(entry(dynamic=dynamic), dynamic=dynamic)
        assert result.text == (status if dynamic else "SUCCESS")
        assert lab.module.keys.entries[GLOBAL].state is Kot.RESERVED


def test_config_checks_each_address_in_the_list() -> None:
    """Only when it comes to it: an error in an earlier TDMR wins."""
    lab = BootLab()
    crooked_list(lab)
    assert lab.call("SYS.CONFIG", **GOOD).text == "OPERAND_INVALID|RCX"
    lab.describe(entry(size=SIZE_4K))
    lab.module.memory.write(LIST + 8, (INFO | GLOBAL << 40).to_bytes(8, "little"))
    assert lab.call("SYS.CONFIG", rcx=LIST, rdx=2, r8=GLOBAL).text == "INVALID_TDMR|TDMR 0"
    lab.describe(entry())
    config = lab.call("SYS.CONFIG", rcx=LIST, rdx=2, r8=GLOBAL | DYNAMIC)
    assert config.text == "OPERAND_INVALID|RCX"
    assert lab.module.pamt.tdmrs == ()


def test_config_takes_as_many_tdmrs_as_fit() -> None:
    lab = BootLab()
    lab.init()
    infos = [
        entry(base=BASE + i * SIZE_1G, pamt=OUTSIDE + i * (64 << 10), dynamic=True)
        for i in range(64)
    ]
    infos = [with_region(info, 1, OUTSIDE + (64 + i << 16)) for i, info in enumerate(infos)]
    infos = [with_region(info, 2, OUTSIDE + (128 + i << 16)) for i, info in enumerate(infos)]
    assert lab.config(*infos).text == "SUCCESS"
    assert [t.base for t in lab.module.pamt.tdmrs] == [BASE + i * SIZE_1G for i in range(64)]
    assert {t.last_initialized - t.base for t in lab.module.pamt.tdmrs} == {0}


def test_every_package_gets_the_key_once() -> None:
    lab = BootLab(cpus=4, platform=Platform(packages=2))
    config_done(lab)
    seen = [(lab.call("SYS.KEY.CONFIG", cpu).text, lab.sys_state.name) for cpu in (0, 2, 3)]
    assert seen == [
        ("SUCCESS", "SYSCONFIG_DONE"),
        ("KEY_CONFIGURED", "SYSCONFIG_DONE"),
        ("SUCCESS", "SYS_READY"),
    ]


def test_a_processor_without_lp_init_counts_for_package_0() -> None:
    """It was added behind those that SYS.CONFIG wanted; nobody has told the module its package."""
    lab = BootLab(2, Platform(packages=2))
    config_done(lab)
    late = LogicalProcessor(2, package=1)
    lab.lps.append(late)
    assert lab.call("SYS.KEY.CONFIG", 2).text == "SUCCESS"
    assert lab.call("SYS.KEY.CONFIG", 0).text == "KEY_CONFIGURED"
    assert (lab.call("SYS.KEY.CONFIG", 1).text, lab.sys_state) == ("SUCCESS", SysState.SYS_READY)


@pytest.mark.parametrize("rcx", [1, 1 | 1 << 16])
def test_a_shutdown_is_for_good(rcx: int) -> None:
    lab = BootLab()
    lab.boot()
    lab.ok("SYS.SHUTDOWN", rcx=rcx)
    assert lab.sys_state is SysState.SYS_SHUTDOWN
    assert lab.held() == {}
    for leaf in ("SYS.SHUTDOWN", "SYS.INIT", "SYS.RD", "PHYMEM.PAMT.ADD"):
        assert lab.call(leaf).text == "SYS_SHUTDOWN"


def test_a_shutdown_goes_ahead_beside_a_td_in_build_unless_told_otherwise() -> None:
    lab = BootLab()
    building(lab)
    assert lab.call("SYS.SHUTDOWN", rcx=1 | 1 << 16).status.is_recoverable
    assert lab.sys_state is SysState.SYS_READY
    lab.ok("SYS.SHUTDOWN", rcx=1)


def test_a_shutdown_in_a_state_that_the_dispatcher_keeps_out_is_fatal() -> None:
    """It cannot get there: whoever changed the state would have found this call in flight."""
    lab = BootLab()
    config_done(lab)
    with pytest.raises(ModuleFatal, match="fatal error 301"):
        tdh_sys_shutdown(lab.module, Call(52, 0, lab.lps[0], Registers(rcx=1)))


@pytest.mark.parametrize("set_up", [just_loaded, init_done, config_done, ready, shut_down, locked])
def test_lp_shutdown_is_a_no_op_at_any_time(set_up: Callable[[BootLab], None]) -> None:
    lab = BootLab()
    set_up(lab)
    state = lab.everything()
    assert lab.call("SYS.LP.SHUTDOWN", rcx=ALL).text == "SUCCESS"
    assert lab.everything() == state


def test_locks_are_released_by_every_leaf() -> None:
    lab = BootLab()
    events = lab.record()
    lab.boot()
    lab.ok("SYS.SHUTDOWN", rcx=1)
    assert events == [
        "acq EX GLOBAL",
        "rel EX GLOBAL",
        "acq SH GLOBAL",
        "xadd +1 NUM_INIT_LPS",
        "rel SH GLOBAL",
        *["acq EX GLOBAL", "rel EX GLOBAL"] * 3,
    ]
