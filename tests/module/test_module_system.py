"""The module's state as a whole: who is let in when, and what two processors see of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi import BY_NUMBER, DEAD, LEAVES, Registers, Status, find
from tdxfuzz.abi.address import SIZE_1G
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.errors import LeafNotModelledError
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.memory import Memory
from tdxfuzz.module.module import HAS_VERSIONS, TdxModule
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.system import BEFORE_READY, SysState, System
from tdxfuzz.module.td_exit import EXTERNAL_INTERRUPT
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.sim import FollowSchedule, Schedule, Simulator, Variable

from .boot import DYNAMIC, GLOBAL, LIST, BootLab, entry
from .guests import enter, runnable
from .lab import BASE, Lab, page
from .races import Call, Ending, all_orders, call
from .states import nothing

OK, BUSY, SHUTDOWN = "SUCCESS", "SYS_BUSY", "SYS_SHUTDOWN"
STATES = list(SysState)


def seamcall(lab: Lab, leaf: int, version: int = 0) -> Status:
    return lab.module.seamcall(lab.lps[0], leaf, Registers(), version)


def in_state(state: SysState) -> Lab:
    lab = Lab()
    lab.module.system.state.value = state
    return lab


def test_a_module_is_ready_unless_it_is_made_at_reset() -> None:
    module = TdxModule(Simulator(3), [TdmrInfo(BASE, SIZE_1G)])
    system = module.system
    assert system.state.value is SysState.SYS_READY
    assert (system.num_lps, system.num_init_lps.value) == (3, 3)
    assert (system.pkg_config_bitmap, system.busy_lps.value) == (1, 0)
    assert all(system.is_lp_init(LogicalProcessor(i)) for i in (0, 2, 9))
    assert module.keys.entries[GLOBAL].state is Kot.RESERVED


def test_a_module_at_reset_has_nothing() -> None:
    memory = Memory()
    platform = Platform(packages=2)
    module = TdxModule.at_reset(Simulator(3), platform, memory, VARIANTS["ranges-ex"])
    system = module.system
    assert (module.platform, module.memory) == (platform, memory)
    assert system.state.value is SysState.SYSINIT_PENDING
    assert (system.num_lps, system.num_init_lps.value) == (3, 0)
    assert system.pkg_config_bitmap == 0
    assert not any(system.is_lp_init(LogicalProcessor(i)) for i in range(3))
    assert {key.state for key in module.keys.entries.values()} == {Kot.FREE}
    assert module.pamt.tdmrs == ()
    assert module.pamt.variant.name == "ranges-ex"


def test_how_many_processors_there_are_can_be_told() -> None:
    assert TdxModule.at_reset(Simulator(1), num_lps=7).system.num_lps == 7


def test_the_variant_outlives_sys_config() -> None:
    lab = BootLab()
    lab.module = TdxModule.at_reset(lab.sim, variant=VARIANTS["donors-first"])
    lab.boot()
    assert lab.module.pamt.variant.name == "donors-first"


def test_states_have_the_numbers_of_the_source() -> None:
    assert [(state.name, state.value) for state in STATES] == [
        ("SYSINIT_PENDING", 0),
        ("SYSINIT_DONE", 1),
        ("SYSCONFIG_DONE", 2),
        ("SYS_READY", 3),
        ("SYS_SHUTDOWN", 4),
    ]


@pytest.mark.parametrize("state", [s for s in STATES if s is not SysState.SYS_READY])
def test_who_is_let_in_before_the_module_is_ready(state: SysState) -> None:
    let_in = set()
    for number in BY_NUMBER:
        lab = in_state(state)
        try:
            word = str(seamcall(lab, number))
        except LeafNotModelledError:
            word = "SUCCESS"
        assert lab.module.system.busy_lps.value == 0
        if word not in ("SYS_NOT_READY", "SYS_SHUTDOWN"):
            let_in.add(BY_NUMBER[number].identifier)
    if state is SysState.SYS_SHUTDOWN:
        assert let_in == {"SYS_LP_SHUTDOWN"}
    else:
        assert let_in == {
            *("SYS_KEY_CONFIG", "SYS_INFO", "SYS_INIT", "SYS_RD", "SYS_LP_INIT", "SYS_RDALL"),
            *("SYS_LP_SHUTDOWN", "SYS_CONFIG", "SYS_UPDATE"),
        }
        assert {find(name).number for name in let_in} == BEFORE_READY


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (SysState.SYSINIT_PENDING, "SYS_NOT_READY"),
        (SysState.SYSCONFIG_DONE, "SYS_NOT_READY"),
        (SysState.SYS_READY, "OPERAND_INVALID|RAX"),
        (SysState.SYS_SHUTDOWN, "SYS_SHUTDOWN"),
    ],
)
def test_the_state_is_looked_at_before_the_leaf(state: SysState, text: str) -> None:
    """Whether there is such a leaf, and whether the model has it, comes last."""
    assert str(seamcall(in_state(state), 1000)) == text
    if state is not SysState.SYS_READY:
        assert str(seamcall(in_state(state), find("EXPORT.MEM").number)) == text


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("leaf", "version"),
    [(58, 1), (1000, 1), (58 | 1 << 16, 0), (58 | 1 << 63, 0), (11, 256), (11, 1 << 40)],
)
def test_rax_is_looked_at_before_the_state(state: SysState, leaf: int, version: int) -> None:
    assert str(seamcall(in_state(state), leaf, version)) == "OPERAND_INVALID|RAX"


def test_which_leaves_have_versions() -> None:
    assert {str(BY_NUMBER[number]) for number in HAS_VERSIONS} == {
        *("TDH.MEM.PAGE.PROMOTE", "TDH.MEM.SEPT.ADD", "TDH.MEM.SEPT.REMOVE", "TDH.MNG.RD"),
        *("TDH.VP.RD", "TDH.VP.INIT", "TDH.SYS.INIT", "TDH.SYS.UPDATE"),
    }
    for known in LEAVES:
        refused = "OPERAND_INVALID|RAX" if known.number not in HAS_VERSIONS else SHUTDOWN
        assert str(seamcall(in_state(SysState.SYS_SHUTDOWN), known.number, 1)) == refused


def test_looking_at_the_state_is_a_step_unless_the_module_is_ready() -> None:
    for state, steps in [(SysState.SYS_READY, 0), (SysState.SYSCONFIG_DONE, 1)]:
        lab = in_state(state)
        clock = lab.sim.clock
        seamcall(lab, find("SYS.LP.SHUTDOWN").number)
        assert lab.sim.clock - clock == steps


def test_a_call_is_in_flight_until_it_returns_however_it_ends(lab: Lab) -> None:
    busy = lab.module.system.busy_lps
    lab.pair(0)
    lab.call("PHYMEM.PAMT.ADD", rcx=1)
    with pytest.raises(LeafNotModelledError):
        lab.call("EXPORT.MEM")
    assert busy.value == 0
    lab.node(0).page_count.value = 1
    assert lab.unpair(0).status is DEAD
    assert lab.unpair(0).status is DEAD
    assert busy.value == 0


def test_a_vcpu_that_runs_keeps_the_module_from_shutting_down() -> None:
    lab = Lab(cpus=2)
    runnable(lab)
    seen: list[str] = []

    def program(guest: Guest) -> int:
        seen.append(lab.call("SYS.SHUTDOWN", 1, rcx=1).text)
        return EXTERNAL_INTERRUPT

    enter(lab, program)
    assert seen == ["SYS_BUSY"]
    assert lab.call("SYS.SHUTDOWN", 1, rcx=1).text == "SUCCESS"


def at(*steps: Callable[[BootLab], object], packages: int = 1) -> Callable[[], Lab]:
    """Two processors, and what was done before they race."""

    def make() -> Lab:
        lab = BootLab(cpus=2, platform=Platform(packages=packages))
        for step in steps:
            step(lab)
        return lab

    return make


def race(
    make: Callable[[], Lab],
    first: Call,
    second: Call,
    judge: Callable[[Ending], object] | None = None,
) -> set[tuple[str, str]]:
    return set(all_orders(nothing, first, second, judge, make=make))


def state_of(lab: Lab) -> SysState:
    return lab.module.system.state.value


INIT, LP_INIT, KEY_CONFIG = call("SYS.INIT"), call("SYS.LP.INIT"), call("SYS.KEY.CONFIG")
CONFIG = call("SYS.CONFIG", rcx=LIST, rdx=1, r8=GLOBAL | DYNAMIC)
DOWN = call("SYS.SHUTDOWN", rcx=1)
ADD = call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(400), r8=page(401))


def init_done(lab: BootLab) -> None:
    lab.ok("SYS.INIT")


def first_lp_done(lab: BootLab) -> None:
    lab.ok("SYS.INIT")
    lab.ok("SYS.LP.INIT", 0)
    lab.describe(entry())


def config_done(lab: BootLab) -> None:
    lab.init()
    assert lab.config(entry()).text == OK


def ready(lab: BootLab) -> None:
    lab.boot()
    for tdmr in lab.module.pamt.tdmrs:
        tdmr.last_initialized = tdmr.end


def test_init_takes_the_whole_module() -> None:
    other = "SYS_INIT_NOT_PENDING"
    outcomes = race(at(), INIT, INIT)
    assert outcomes == {(OK, BUSY), (BUSY, OK), (OK, other), (other, OK)}


def test_processors_are_initialised_beside_each_other() -> None:
    def judge(ending: Ending) -> None:
        assert ending.lab.module.system.num_init_lps.value == 2

    assert race(at(init_done), LP_INIT, LP_INIT, judge) == {(OK, OK)}


def test_an_early_lp_init_finds_sys_init_busy_or_pending() -> None:
    early = "SYS_LP_INIT_NOT_PENDING"
    assert race(at(), INIT, LP_INIT) == {(OK, OK), (OK, BUSY), (OK, early), (BUSY, early)}


def test_config_and_the_last_lp_init() -> None:
    """Shared against exclusive; CONFIG's release drops the sharer that LP.INIT left behind."""
    early = "SYS_CONFIG_NOT_PENDING"
    outcomes = race(at(first_lp_done), CONFIG, LP_INIT)
    assert outcomes == {(OK, OK), (BUSY, OK), (early, OK), (early, BUSY)}


def test_config_is_done_once() -> None:
    def both_lps(lab: BootLab) -> None:
        first_lp_done(lab)
        lab.ok("SYS.LP.INIT", 1)

    late = "SYS_CONFIG_NOT_PENDING"
    outcomes = race(at(both_lps), CONFIG, CONFIG)
    assert outcomes == {(OK, BUSY), (BUSY, OK), (OK, late), (late, OK)}


def test_keys_of_two_packages_are_configured_one_after_the_other() -> None:
    def judge(ending: Ending) -> None:
        all_done = ending.outcome == (OK, OK)
        expected = SysState.SYS_READY if all_done else SysState.SYSCONFIG_DONE
        assert state_of(ending.lab) is expected

    outcomes = race(at(config_done, packages=2), KEY_CONFIG, KEY_CONFIG, judge)
    assert outcomes == {(OK, OK), (OK, BUSY), (BUSY, OK)}


def test_the_last_key_lets_other_leaves_in() -> None:
    """From the write of the state on, while KEY.CONFIG still holds the lock."""
    outcomes = race(at(config_done), KEY_CONFIG, call("PHYMEM.PAGE.RDMD", rcx=page(0)))
    assert outcomes == {(OK, "SYS_NOT_READY"), (OK, "OPERAND_ADDR_RANGE_ERROR|RCX")}


def test_a_shutdown_gives_way_to_a_call_in_flight() -> None:
    def judge(ending: Ending) -> None:
        gone = ending.outcome[0] == OK
        assert state_of(ending.lab) is (SysState.SYS_SHUTDOWN if gone else SysState.SYS_READY)

    outcomes = race(at(ready), DOWN, ADD, judge)
    assert outcomes == {(OK, OK), (BUSY, OK), (OK, SHUTDOWN)}


def test_of_two_shutdowns_one_succeeds() -> None:
    outcomes = race(at(ready), DOWN, DOWN)
    assert outcomes == {(OK, SHUTDOWN), (SHUTDOWN, OK), (OK, BUSY), (BUSY, OK)}


@pytest.mark.parametrize(
    ("second", "switches", "outcome"),
    [
        pytest.param(ADD, [(2, 1), (3, 0), (4, 1)], (BUSY, SHUTDOWN), id="turned away in vain"),
        pytest.param(DOWN, [(0, 1), (1, 0), (4, 1)], (BUSY, BUSY), id="in each other's way"),
    ],
)
def test_a_shutdown_can_fail_for_a_call_that_fails_for_it(
    second: Call, switches: list[tuple[int, int]], outcome: tuple[str, str]
) -> None:
    """CPU 1 does something else first, so that it can be stopped right after its entry."""
    lab = at(ready)()
    lab.sim.policy = FollowSchedule(Schedule.of(switches))
    other = Variable(lab.sim, "OTHER", 0)
    results: dict[int, str] = {}

    def body(cpu: int, made: Call) -> None:
        if cpu == 1:
            other.read()
        results[cpu] = lab.call(made.leaf, cpu, **made.registers).text

    lab.sim.run([lambda: body(0, DOWN), lambda: body(1, second)])
    assert (results[0], results[1]) == outcome
    assert state_of(lab) is SysState.SYS_READY
    assert lab.held() == {}


def test_a_system_can_be_made_in_any_state() -> None:
    lp = LogicalProcessor(5)
    for state in STATES:
        system = System(Simulator(1), 4, state)
        late = state > SysState.SYSINIT_DONE
        assert (system.is_lp_init(lp), system.num_init_lps.value) == (late, 4 if late else 0)
