"""``struct completion``: somebody waits until somebody else has done something."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import READ, RMW, Cpu, Declared, HarnessError, State, WaitLock

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.workqueue import Workqueue

ALL = 1 << 31
"""``complete_all``: it stays done."""


class Completion(WaitLock):
    """``done`` is how many may still pass. Whoever comes when that is 0 waits; first come, first
    served. If nobody completes it, and nobody else can go on, that is a deadlock.

    Args:
        pool: items of work, which may complete it, also in a set-up.
        name: for traces.
    """

    __slots__ = ("_pool", "done")

    STATE: ClassVar = Declared(shared="done", fixed="_pool")

    def __init__(self, pool: Workqueue, name: str) -> None:
        super().__init__(pool.sim, name)
        self._pool = pool
        self.done = 0

    def holders(self) -> list[Cpu]:
        return []

    def is_held_alone_by(self, cpu: Cpu) -> bool:
        return False

    def blockers(self, cpu: Cpu) -> list[Cpu]:
        """The CPU itself: who will complete it is not known."""
        return [cpu]

    def complete(self) -> None:
        """``complete``: one that waits goes on, or the next that comes does not wait. One step."""
        self.sim.step(self, RMW)
        if self.queue:
            self.sim.wake(self.queue.pop(0)[0])
        elif self.done < ALL:
            self.done += 1

    def complete_all(self) -> None:
        """``complete_all``: everybody goes on, and nobody waits any more. One step."""
        self.sim.step(self, RMW)
        self.done = ALL
        while self.queue:
            self.sim.wake(self.queue.pop(0)[0])

    def reinit(self) -> None:
        """``reinit_completion``. One step."""
        self.sim.step(self, RMW)
        self.done = 0

    def is_done(self) -> bool:
        """``completion_done``: whether nobody would have to wait. One step."""
        self.sim.step(self, READ)
        return self.done > 0

    def wait(self) -> None:
        """``wait_for_completion``. Sleeps."""
        held = self._pool.held
        if not held.may_sleep():
            held.watch.slept_in_atomic(f"wait_for_completion({self.name})")
        sim = self.sim
        sim.step(self, RMW)
        if not self.done:
            self._pool.run_in_setup()
        if self.done:
            self.done -= self.done < ALL
            return
        if not sim.running:
            raise HarnessError(f"{self.name} is waited for in the set-up, and is not done")
        cpu = sim.current
        self.queue.append((cpu, True))
        cpu.state = State.BLOCKED
        cpu.waiting_for = self
        sim.blocked()
