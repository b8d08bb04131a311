"""What holds for every program and every schedule."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from hypothesis import assume, given
from hypothesis import strategies as st

from sim.sim_toys import Body, Counter, World
from tdxfuzz.sim import End, FairLock, FairRwLock, Outcome, Trace, check_determinism


@frozen
class Do:
    """One step, or a part that runs under a lock."""

    what: str
    where: int
    inside: tuple[Do, ...] = ()


Program = tuple[Do, ...]
SIMPLE = ("read", "write", "add", "retry")
LOCKS = ("lock", "shared", "exclusive")

simple = st.builds(Do, st.sampled_from(SIMPLE), st.integers(0, 1))
program = st.lists(
    st.recursive(
        simple,
        lambda parts: st.builds(
            Do,
            st.sampled_from(LOCKS),
            st.integers(0, 1),
            st.lists(parts, max_size=2).map(tuple),
        ),
        max_leaves=4,
    ),
    max_size=4,
).map(tuple)
programs = st.lists(program, min_size=2, max_size=3)
switches = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 3)), max_size=6)
Switches = Sequence[tuple[int, int]]


class Played(World):
    """A world in which some programs ran under some switches."""

    def __init__(
        self, programs: Sequence[Program], switches: Switches, *, traced: bool = True
    ) -> None:
        super().__init__(len(programs), switches, traced=traced)
        sim = self.sim
        self.counters = [Counter(sim, f"n{i}", 0) for i in range(2)]
        self.locks = [FairLock(sim, f"lock{i}") for i in range(2)]
        self.rwlocks = [FairRwLock(sim, f"rw{i}") for i in range(2)]
        self.outcome: Outcome = self.run(*[self._body(program) for program in programs])

    def _body(self, program: Program) -> Body:
        return lambda: self._perform(program)

    def _perform(self, program: Program) -> None:
        for do in program:
            if do.what in LOCKS:
                acquire, release = self._sides(do)
                acquire()
                self._perform(do.inside)
                release()
            else:
                self._one_step(do)

    def _sides(self, do: Do) -> tuple[Body, Body]:
        lock, rw = self.locks[do.where], self.rwlocks[do.where]
        return {
            "lock": (lock.acquire, lock.release),
            "shared": (rw.read_acquire, rw.read_release),
            "exclusive": (rw.write_acquire, rw.write_release),
        }[do.what]

    def _one_step(self, do: Do) -> None:
        counter = self.counters[do.where]
        if do.what == "read":
            counter.read()
        elif do.what == "write":
            counter.write(counter.value + 1)
        elif do.what == "add":
            counter.add(1)
        else:
            self.sim.retry(counter)

    @property
    def summary(self) -> tuple[object, ...]:
        """Everything about the run that does not need a trace."""
        outcome = self.outcome
        return (
            outcome.end,
            outcome.steps,
            outcome.switches,
            str(outcome.deadlock),
            self.applied,
            self.sim.preemptions,
            self.sim.waits,
            [counter.value for counter in self.counters],
        )


def size(program: Program) -> int:
    """How many steps a program takes when it runs to its end."""
    return sum(2 + size(do.inside) if do.what in LOCKS else 1 for do in program)


@given(programs, switches)
def test_a_run_without_a_trace_goes_like_the_run_with_one(
    programs: list[Program], pairs: Switches
) -> None:
    traced, untraced = Played(programs, pairs), Played(programs, pairs, traced=False)

    assert traced.summary == untraced.summary


@given(programs, switches)
def test_a_case_leaves_the_same_trace_each_time(programs: list[Program], pairs: Switches) -> None:
    def run() -> Trace:
        return Played(programs, pairs).trace

    check_determinism(run)


@given(programs, switches)
def test_steps_are_numbered_without_a_gap(programs: list[Program], pairs: Switches) -> None:
    played = Played(programs, pairs)

    numbers = [record.step for record in played.trace if record.kind == "step"]
    assert numbers == list(range(played.outcome.steps))


@given(programs, switches)
def test_the_switches_that_applied_are_the_whole_schedule(
    programs: list[Program], pairs: Switches
) -> None:
    played = Played(programs, pairs)

    again = Played(programs, played.applied)

    assert again.applied == played.applied
    assert again.trace.records == played.trace.records


@given(programs, switches)
def test_each_switch_that_applied_is_needed(programs: list[Program], pairs: Switches) -> None:
    played = Played(programs, pairs)

    for needed in played.applied:
        without = Played(programs, [pair for pair in played.applied if pair != needed])
        assert without.trace.records != played.trace.records


@given(programs, switches)
def test_at_rest_every_step_was_performed_and_every_lock_is_free(
    programs: list[Program], pairs: Switches
) -> None:
    played = Played(programs, pairs)
    assume(played.outcome.end is End.REST)

    assert [played.order.count(cpu) for cpu in range(len(programs))] == [
        size(program) for program in programs
    ]
    assert [lock.holders() for lock in (*played.locks, *played.rwlocks)] == [[]] * 4
    assert sum(record.kind == "done" for record in played.trace) == len(programs)


@given(st.lists(st.lists(simple).map(tuple), min_size=2, max_size=3), switches)
def test_programs_without_locks_never_wait(programs: list[Program], pairs: Switches) -> None:
    played = Played(programs, pairs)

    assert played.outcome.end is End.REST
    assert played.sim.waits == 0


@given(st.permutations([0] * 4 + [1] * 3 + [2] * 2))
def test_a_schedule_can_name_the_cpu_of_every_step(order: list[int]) -> None:
    programs = [(Do("add", 0),) * n for n in (4, 3, 2)]

    assert Played(programs, list(enumerate(order))).order == order
