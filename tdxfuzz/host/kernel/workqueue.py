"""``struct work_struct``: functions that run later, in process context, beside their caller.

Source: kernel/workqueue.c (v6.19). An item runs in a context of its own, on a CPU where nothing
else runs, as that of an unbound workqueue may: a :class:`~tdxfuzz.sim.Worker`. It begins at any
step after it was queued, and a delay is as good as none. An item never runs beside itself, and two
items run beside each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar
from zlib import crc32

from tdxfuzz.case.world import MAX_WORKERS
from tdxfuzz.sim import READ, RMW, Cpu, Declared, HarnessError, NamedCell, WaitLock, Worker

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.held import HeldLocks
    from tdxfuzz.sim import Contents, Simulator


class Workqueue(NamedCell):
    """All items of a host, by a number. Whatever is done with one of them is a step on this cell,
    because they share the workers.

    Args:
        sim: the simulator.
        held: to notice who waits although it may not sleep.

    Raises:
        HarnessError: there are too many workers.
    """

    __slots__ = ("held", "items")

    STATE: ClassVar = Declared(parts="items", fixed="held")

    def __init__(self, sim: Simulator, held: HeldLocks) -> None:
        super().__init__(sim, "workqueue")
        if len(sim.workers) > MAX_WORKERS:
            raise HarnessError(f"{len(sim.workers)} kworkers; there can be {MAX_WORKERS}")
        self.held = held
        self.items: dict[int, Work] = {}

    def in_key(self, read: Contents) -> tuple[object, ...]:
        """The items that are not idle. One that was never queued is as one that has ended."""
        return tuple(
            (number, work.state(), read(work.worker), read(work.queue))
            for number, work in sorted(self.items.items())
            if not work.is_idle
        )

    def item(self, number: int, name: str, function: Callable[[], None]) -> Work:
        """The item of a number, made when it is first asked for; what it does from now on."""
        work = self.items.get(number)
        if work is None:
            work = self.items[number] = Work(self, name)
        work.function = function
        return work

    def once(
        self, first: int, name: str, function: Callable[[], None], argument: int, queue: int
    ) -> None:
        """Queue an item that nobody keeps: the first from a number on with which nothing is done.

        Args:
            first: the number.
            name: for traces.
            function: what it does.
            argument: all that tells its function from another one of this name.
            queue: the queue that it stands in.
        """
        # Which items are idle is to be seen at the step.
        self.sim.step(self, RMW)
        number = first
        while number in self.items and not self.items[number].is_idle:
            number += 1
        work = self.item(number, name, function)
        work.is_for(name, argument)
        work.put_in(queue)

    def free_worker(self, work: Work) -> Worker:
        """The first worker that has nothing to do.

        Raises:
            HarnessError: there is none.
        """
        taken = {each.worker for each in self.items.values()}
        for worker in self.sim.workers:
            if worker not in taken:
                return worker
        raise HarnessError(
            f"{work.name} is queued, but all workers have something to do: say with `kworkers` how "
            f"many items can be queued or run at once (now {len(self.sim.workers)})"
        )

    def flush(self, queue: int, what: str = "flush_workqueue()") -> None:
        """``flush_workqueue``: wait for all items that stand in a queue, one after the other.
        Sleeps, also if there are none.
        """
        if not self.held.may_sleep():
            self.held.watch.slept_in_atomic(what)
        self.sim.step(self, RMW)
        for work in list(self.items.values()):
            if work.stands_in == queue:
                work.wait()

    def run_in_setup(self) -> None:
        """Outside of a run: run all that is queued, here and now."""
        while not self.sim.running:
            work = next((each for each in self.items.values() if each.can_begin), None)
            if work is None:
                return
            work.run_in_setup()


class Work(WaitLock):
    """An item: what is to be done, whether it is queued, and who does it.

    ``pending``: it is queued and has not begun. ``running``: it has begun and not ended; it may be
    queued again then. ``cancelling`` counts those that wait for it in order to cancel it, and
    meanwhile it cannot be queued. ``worker``: the CPU that does it, from when it is queued until it
    has ended. ``stands_in``: the workqueue that it was queued in last, as a number. ``argument``:
    numbers that tell its function from another one, if that is not always the same. The queue has
    the CPUs that wait for its end, True for one that waits for two ends.
    """

    __slots__ = (
        "_pool",
        "argument",
        "cancelling",
        "function",
        "pending",
        "running",
        "stands_in",
        "worker",
    )

    STATE: ClassVar = Declared(
        shared="cancelling pending running worker",
        derived="argument function stands_in",
        fixed="_pool",
    )

    function: Callable[[], None]

    def __init__(self, pool: Workqueue, name: str) -> None:
        super().__init__(pool.sim, name)
        self._pool = pool
        self.pending = self.running = False
        self.cancelling = 0
        self.argument = (0, 0)
        self.worker: Worker | None = None
        self.stands_in = 0

    def holders(self) -> list[Cpu]:
        return [] if self.worker is None else [self.worker]

    def is_held_alone_by(self, cpu: Cpu) -> bool:
        return self.worker is cpu

    def blockers(self, cpu: Cpu) -> list[Cpu]:
        """The CPU that does it; others that wait for its end stand in nobody's way."""
        return self.holders()

    def is_for(self, name: str, argument: int) -> None:
        """From now on it is another item."""
        self._name = name
        self.argument = crc32(name.encode()), argument

    def state(self) -> tuple[object, ...]:
        """Numbers for what is going on with it."""
        return self.pending, self.running, self.cancelling, self.stands_in, self.argument

    @property
    def is_idle(self) -> bool:
        """Whether nothing is going on with it."""
        idle = self.worker is None and not self.queue
        return idle and not (self.pending or self.running or self.cancelling)

    @property
    def can_begin(self) -> bool:
        """Whether a worker has yet to look what is to be done."""
        return self.worker is not None and not self.running

    def schedule(self, queue: int = 0) -> bool:
        """``schedule_work``, ``queue_work``: have it run later. False: it was pending already, or
        somebody is cancelling it. One step.
        """
        self.sim.step(self._pool, RMW)
        if self.pending or self.cancelling:
            return self._told("is not queued once more", False)
        return self.put_in(queue)

    def put_in(self, queue: int) -> bool:
        """What :meth:`schedule` does at its step."""
        self.pending = True
        self.stands_in = queue
        if self.worker is None:
            self.worker = self._pool.free_worker(self)
            if self.sim.running:
                self.sim.employ(self.worker, self._work)
        return self._told("is queued", True)

    def is_pending(self) -> bool:
        """``work_pending``. One step."""
        self.sim.step(self._pool, READ)
        return self.pending

    def flush(self) -> bool:
        """``flush_work``: wait until it has ended, if it was queued; whether it had to. Sleeps."""
        self._sleeps("flush_work")
        return self.wait()

    def wait(self) -> bool:
        """Wait until it has ended, if it was queued; whether it had to."""
        self.sim.step(self._pool, RMW)
        return self._wait_for_end()

    def cancel(self) -> bool:
        """``cancel_work``: it does not begin; whether it was pending. One step."""
        self.sim.step(self._pool, RMW)
        was, self.pending = self.pending, False
        return self._told("is cancelled", was)

    def cancel_sync(self) -> bool:
        """``cancel_work_sync``: it does not begin, and if it has begun it has ended when this
        returns; whether it was pending. Sleeps.
        """
        self._sleeps("cancel_work_sync")
        was = self.cancel()
        if self.running:
            self.cancelling += 1
            self._wait_for_end()
            self.sim.step(self._pool, RMW)
            self.cancelling -= 1
        return was

    def run_in_setup(self) -> None:
        """Outside of a run: do what is pending, here and now, but on the worker's CPU."""
        sim = self.sim
        here = sim.current
        if self.worker is None:
            return
        sim.current = self.worker
        try:
            self._work()
        finally:
            sim.current = here

    def _wait_for_end(self) -> bool:
        if not (self.pending or self.running):
            return False
        if self.sim.running:
            self._wait(exclusive=self.pending and self.running)
        elif self.running:
            raise HarnessError(f"{self.name} waits for its own end")
        else:
            self.run_in_setup()
        return True

    def _work(self) -> None:
        """What the worker does: the item, until it is not queued once more."""
        sim, pool = self.sim, self._pool
        local, cpu = sim.local, sim.current.id
        if local is not None:
            local.enter(cpu)
        sim.step(pool, RMW)
        while self.pending:
            self.pending = False
            self.running = True
            self._told("begins", True)
            self.function()
            sim.step(pool, RMW)
            self.running = False
            self._wake()
            sim.rounds.clear()
            self._told("has ended", True)
        self._wake()
        self.worker = None
        if local is not None:
            local.drop(cpu)

    def _wake(self) -> None:
        """It has ended once more, or does not begin any more: those that waited for that go on."""
        waiting, self.queue = self.queue, []
        for cpu, twice in waiting:
            if twice and self.pending:
                self.queue.append((cpu, False))
            else:
                self.sim.wake(cpu)

    def _sleeps(self, what: str) -> None:
        held = self._pool.held
        if not held.may_sleep():
            held.watch.slept_in_atomic(f"{what}({self.name})")

    def _told(self, what: str, result: bool) -> bool:
        self.sim.record(max(self.sim.clock - 1, 0), "work", self.name, what)
        return result
