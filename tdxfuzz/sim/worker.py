"""Workers: CPUs without a program of their own, which are given something to do by others."""

from __future__ import annotations

from tdxfuzz.sim.cpu import Cpu, State


class Worker(Cpu):
    """A CPU that is done until it is employed, and again when it has done that.

    Its id comes behind those of the CPUs that have programs. It runs beside them, as they do.
    """

    __slots__ = ()

    def __init__(self, cpu_id: int) -> None:
        super().__init__(cpu_id)
        self.state = State.DONE

    def __repr__(self) -> str:
        return f"CPU {self.id} (kworker)"
