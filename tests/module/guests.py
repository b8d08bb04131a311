"""Guests: programs for a vCPU that make TDCALLs and note what came back."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from tdxfuzz.abi import GUEST_BY_NAME, Registers
from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.sept import SeptEntry
from tdxfuzz.module.sept_entry import state_of
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.td_exit import EPT_VIOLATION, EXTERNAL_INTERRUPT
from tdxfuzz.module.td_params import DEFAULT

from .lab import GPA, PARAMS, TDR, TDVPR, Lab, Result, Stage, Td
from .races import Call, call

VE_DISABLE = 1 << 28
"""In ATTRIBUTES: touching a pending page exits, rather than raise #VE."""
DEBUG = 1

ENTER = "VP.ENTER"
ACCEPT = "MEM.PAGE.ACCEPT"
READ, WRITE = "MEM.PAGE.ATTR.RD", "MEM.PAGE.ATTR.WR"
Program = Callable[[Guest], int]


def tdcall(guest: Guest, leaf: str, /, version: int = 0, **registers: int) -> Result:
    """One TDCALL by name."""
    regs = Registers.of(registers)
    return Result(guest.tdcall(GUEST_BY_NAME[f"TDG.{leaf}"].number, regs, version), regs)


class Script:
    """A program that makes these TDCALLs and leaves for an interrupt."""

    def __init__(self, *calls: Call) -> None:
        self.calls = calls
        self.results: list[Result] = []

    def __call__(self, guest: Guest) -> int:
        for made in self.calls:
            self.results.append(tdcall(guest, made.leaf, **made.registers))
        return EXTERNAL_INTERRUPT

    @property
    def texts(self) -> list[str]:
        return [result.text for result in self.results]


def touch(gpa: int = GPA, write: bool = False) -> Program:
    """A program that touches one address and leaves for an interrupt."""

    def program(guest: Guest) -> int:
        guest.access(gpa, write)
        return EXTERNAL_INTERRUPT

    return program


def enter(lab: Lab, program: Program | None = None, cpu: int = 0, rcx: int = TDVPR) -> Result:
    """Run a vCPU once."""
    lab.lps[cpu].guest = program
    return lab.call(ENTER, cpu, rcx=rcx)


def exit_of(lab: Lab, *calls: Call) -> Result:
    """Enter with a script whose last call leaves for the host; the exit."""
    script = Script(*calls)
    result = enter(lab, script)
    assert len(script.results) == len(calls) - 1, script.texts
    assert result.status == EPT_VIOLATION
    return result


def answer_of(lab: Lab, leaf: str, /, **registers: int) -> Result:
    """Enter and make one TDCALL, which comes back; its result."""
    script = Script(call(leaf, **registers))
    assert enter(lab, script).status == EXTERNAL_INTERRUPT
    (result,) = script.results
    return result


def runnable(lab: Lab, attributes: int = 0, vcpus: int = 1) -> Td:
    """A finalised TD with these attributes, all its vCPUs on CPU 0."""
    td = lab.td(Stage.TDCX)
    lab.module.memory.put(RawPage(PARAMS, evolve(DEFAULT, attributes=attributes).to_bytes()))
    lab.ok("MNG.INIT", rcx=TDR, rdx=PARAMS)
    for index in range(vcpus):
        td.vcpu(index)
    lab.ok("MR.FINALIZE", rcx=TDR)
    return td


def septe(lab: Lab, gpa: int = GPA, level: int = 0) -> SeptEntry:
    """The S-EPT entry of an address, or where the walk to it ends."""
    sept = lab.module.tdr_at(TDR).tdcs.sept
    assert sept is not None
    return sept.walk(gpa, level)[0]


def sept_state(lab: Lab, gpa: int = GPA, level: int = 0) -> SeptState:
    return state_of(septe(lab, gpa, level).raw)
