"""Per-CPU variables: each CPU has its own, and must stay on its CPU while it uses it.

A CPU of the simulation is a thread that stays where it is. So an access with preemption on does no
harm here, and is told as the kernel tells it with CONFIG_DEBUG_PREEMPT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.kernel.atomic import Atomic64T
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.held import HeldLocks
    from tdxfuzz.sim import Simulator


class PerCpu:
    """A number for each CPU, those of kworkers included.

    ``this_cpu_…`` may be used anywhere, for they are one instruction. ``raw_…`` are the kernel's
    ``__this_cpu_…``: with preemption on they are a WARN.

    Args:
        sim: the simulator.
        name: for traces.
        held: to notice whether preemption is off.
        warn: is told what a WARN says.
    """

    __slots__ = ("_held", "_sim", "_warn", "name", "of")

    STATE: ClassVar = Declared(parts="of", fixed="_held _sim _warn name")

    def __init__(
        self, sim: Simulator, name: str, held: HeldLocks, warn: Callable[[str], None]
    ) -> None:
        cpus = [cpu for cpu in sim.cpus if cpu.on == cpu.id]
        self._sim = sim
        self._held = held
        self._warn = warn
        self.name = name
        self.of = [Atomic64T(sim, f"{name}[cpu {cpu.id}]", 0) for cpu in cpus]

    def this_cpu_read(self) -> int:
        """``this_cpu_read``. One step."""
        return self._own().read()

    def this_cpu_write(self, value: int) -> None:
        """``this_cpu_write``. One step."""
        self._own().set(value)

    def this_cpu_add(self, n: int) -> None:
        """``this_cpu_add``. One step."""
        self._own().add(n)

    def raw_read(self) -> int:
        """``__this_cpu_read``, or a look at ``*this_cpu_ptr``. One step."""
        self._stays("__this_cpu_read")
        return self._own().read()

    def raw_write(self, value: int) -> None:
        """``__this_cpu_write``. One step."""
        self._stays("__this_cpu_write")
        self._own().set(value)

    def per_cpu(self, cpu: int) -> Atomic64T:
        """``per_cpu(name, cpu)``: that of any CPU."""
        return self.of[cpu]

    def sum(self) -> int:
        """What all CPUs have, looked at one after the other: a step for each."""
        return sum(each.read() for each in self.of)

    def _own(self) -> Atomic64T:
        return self.of[self._sim.current.on]

    def _stays(self, what: str) -> None:
        if self._held.may_be_preempted():
            self._warn(f"{what}({self.name}) in preemptible code")
