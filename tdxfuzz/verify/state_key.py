"""The key of a state: a digest of all that can influence how a run goes on.

Two states with equal keys go on in the same way, up to a collision of 128-bit digests or of the
64-bit numbers that stand for what a CPU has observed. ``docs/verify.md`` lists what is in it.
"""

from __future__ import annotations

import marshal
from collections.abc import Collection
from hashlib import blake2b

from tdxfuzz.run.session import Session
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import Cpu, LocalMemory, Softirq, State


def digest(value: object) -> bytes:
    """128 bits of a nested tuple of numbers and strings, the same in every process."""
    # The stubs want one of marshal's own types; numbers, strings and tuples of them are some.
    return blake2b(marshal.dumps(value, 2), digest_size=16).digest()  # type: ignore[arg-type]


def digest_of(state: SharedState) -> bytes:
    """128 bits that stand for all shared state."""
    return digest(state.everything())


class StateKeys:
    """Makes the keys of the states that one run comes to.

    ``parked`` says of a CPU that stopped at no step why it did: it waited for a lock that it was
    handed since, or it is at a retry point.
    """

    def __init__(self, session: Session, local: LocalMemory, state: SharedState) -> None:
        self._session = session
        self._local = local
        self._state = state
        self.parked: dict[int, str] = {}

    def key(self, yielded: Collection[int], current: int) -> bytes:
        """The key of the state that the run is in.

        Args:
            yielded: the CPUs that must let others go first.
            current: the CPU that runs, where a preemption counts; else -1.
        """
        standing = tuple(
            (
                self._local.known[cpu.id],
                cpu.state.value,
                self._place(cpu),
                cpu.id in yielded,
                isinstance(cpu, Softirq) and cpu.active,
            )
            for cpu in self._session.sim.cpus
        )
        remembered = self._state.remembered(), self._session.remembered()
        return digest((standing, current, self._state.everything(), remembered))

    def _place(self, cpu: Cpu) -> str:
        """Where a CPU stands: what it waits for, or what it is about to do."""
        if cpu.waiting_for is not None:
            return cpu.waiting_for.name
        parked = self.parked.get(cpu.id)
        if parked is not None or cpu.next_cell is None or cpu.state is State.DONE:
            return parked or ""
        return f"{cpu.next_cell.name} {cpu.next_access}"
