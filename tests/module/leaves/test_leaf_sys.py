"""TDH.SYS.TDMR.INIT: PAMT of a TDMR is initialised piece by piece."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_1G
from tdxfuzz.module.tdmr import TdmrInfo

from ..lab import BASE, HKID_BIT, OUTSIDE, Lab, page

INIT = "SYS.TDMR.INIT"
MIB = 1 << 20


def fresh(dynamic: bool = True, done: int = 0) -> Lab:
    """Two TDMRs of 2GB and 1GB; the first one to be initialised from ``done`` on."""
    tdmrs = [
        TdmrInfo(BASE, 2 * SIZE_1G, initialized=done),
        TdmrInfo(BASE + 2 * SIZE_1G, SIZE_1G),
    ]
    return Lab(dynamic=dynamic, tdmrs=tdmrs)


@pytest.mark.parametrize(
    ("dynamic", "calls"), [pytest.param(True, 64, id="dynamic"), pytest.param(False, 256)]
)
def test_a_gigabyte_takes_so_many_calls(dynamic: bool, calls: int) -> None:
    lab = fresh(dynamic)
    ends = [lab.ok(INIT, rcx=BASE).rdx for _ in range(2 * calls)]
    assert ends[: calls - 1] == [BASE] * (calls - 1)
    assert ends[calls - 1 : -1] == [BASE + SIZE_1G] * calls
    assert ends[-1] == BASE + 2 * SIZE_1G
    assert lab.call(INIT, rcx=BASE).text == "TDMR_ALREADY_INITIALIZED"


def test_a_gigabyte_can_be_used_from_the_call_that_completes_it() -> None:
    lab = fresh(done=SIZE_1G - 16 * MIB)
    add = {"rcx": page(0) | 1, "rdx": page(1), "r8": page(2)}
    assert lab.call("PHYMEM.PAMT.ADD", **add).text == "OPERAND_ADDR_RANGE_ERROR|RDX"
    lab.ok(INIT, rcx=BASE)
    assert lab.call("PHYMEM.PAMT.ADD", **add).text == "SUCCESS"


@pytest.mark.parametrize(
    ("rcx", "status"),
    [
        (BASE + 4096, "OPERAND_INVALID|RCX"),
        (BASE + SIZE_1G, "OPERAND_INVALID|RCX"),
        (BASE | HKID_BIT, "OPERAND_INVALID|RCX"),
        (1 << 52, "OPERAND_INVALID|RCX"),
        (OUTSIDE, "OPERAND_INVALID|RCX"),
        (BASE + 2 * SIZE_1G, "TDMR_ALREADY_INITIALIZED"),
    ],
)
def test_a_refused_call_zeroes_rdx_and_initialises_nothing(rcx: int, status: str) -> None:
    lab = fresh()
    result = lab.call(INIT, rcx=rcx, rdx=2, r8=8)
    assert result.text == status
    assert (result.regs.rcx, result.regs.rdx, result.regs.r8) == (rcx, 0, 8)
    assert [tdmr.last_initialized for tdmr in lab.module.pamt.tdmrs] == [
        BASE,
        BASE + 3 * SIZE_1G,
    ]
    assert lab.held() == {}


@pytest.mark.parametrize("base", [BASE, BASE + 2 * SIZE_1G])
def test_a_tdmr_in_work_is_busy_even_if_it_is_done(base: int) -> None:
    lab = fresh()
    for tdmr in lab.module.pamt.tdmrs:
        assert tdmr.lock.acquire()
    assert lab.call(INIT, rcx=base).text == "OPERAND_BUSY|RCX"


def test_tdmrs_are_initialised_beside_each_other() -> None:
    tdmrs = [TdmrInfo(BASE + i * SIZE_1G, SIZE_1G, initialized=0) for i in (0, 1)]
    lab = Lab(tdmrs=tdmrs)
    assert lab.module.pamt.tdmrs[0].lock.acquire()
    assert lab.call(INIT, rcx=BASE).text == "OPERAND_BUSY|RCX"
    assert lab.call(INIT, rcx=BASE + SIZE_1G).text == "SUCCESS"


def test_success_is_information_only_when_it_was_done_before() -> None:
    """TDMR_ALREADY_INITIALIZED has bit 63 clear: the host need not treat it as an error."""
    lab = fresh(done=2 * SIZE_1G)
    assert lab.call(INIT, rcx=BASE).status.ok
