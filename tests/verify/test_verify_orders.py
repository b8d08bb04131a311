"""``verify`` against a search that leaves nothing out: the same ends, findings and loops."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from benchmarks.orders.compare import answer_of_verify, design_of
from benchmarks.orders.plain_search import END, Graph, TooManyError, search_plainly
from benchmarks.orders.programs import BASES, LoopingProgram, draw_program
from tdxfuzz.host.design import ENOMEM
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.verify.progress import LoopKind
from tiers import first_quick, long, slow

PROGRAMS = 40
"""``python -m benchmarks.orders`` compares 200."""

FEW_STATES = 2500
"""Programs with more states without reductions are passed over."""

A, B = b"a", b"b"


def same(program: LoopingProgram, folder: Path, name: str) -> frozenset[LoopKind] | None:
    """The loops of a program, which both searches agree about as about all else; None: it is too
    large.
    """
    design = design_of(program, folder, name)
    try:
        plainly = search_plainly(program.case, design, most=FEW_STATES)
    except TooManyError:
        return None
    assert answer_of_verify(program.case, design) == plainly, program.text
    return plainly.loops


@long
@slow
def test_in_programs_at_random_no_end_no_bug_and_no_loop_is_lost(tmp_path: Path) -> None:
    rng = Random(7)
    kinds: set[LoopKind] = set()
    compared = drawn = 0
    while compared < PROGRAMS:
        program = draw_program(rng, BASES[drawn % len(BASES)], 3 if drawn % 4 == 3 else 2)
        drawn += 1
        loops = same(program, tmp_path, f"looping_{drawn}")
        if loops is not None:
            compared += 1
            kinds |= loops
    assert kinds == set(LoopKind)


@pytest.mark.parametrize("seed", first_quick(2, range(4)))
def test_one_program_at_random_shows_the_same_in_both(seed: int, tmp_path: Path) -> None:
    same(draw_program(Random(seed), "Merged", 2), tmp_path, f"looping_{seed}")


class Turns(Merged):
    """Two CPUs that want different things of one cell, each until it has its way."""

    pamt_cache_pages = 0

    def setup(self) -> None:
        super().setup()
        self.a = self.atomic("a")

    def topup(self) -> int:
        wanted = self._host.sim.current.id
        self.a.set(wanted)
        while self.a.read() != wanted:
            self.a.set(wanted)
            self.cpu_relax()
        return -ENOMEM


def test_what_starves_starves_in_both() -> None:
    case = draw_program(Random(1), "Merged", 2).case
    plainly = search_plainly(case, Turns)
    assert plainly.loops == {LoopKind.STARVATION}
    assert answer_of_verify(case, Turns) == plainly


def graph(edges: dict[bytes, dict[int, bytes]], idle: frozenset[int] = frozenset()) -> Graph:
    return Graph({state: frozenset((0, 1)) - idle for state in edges}, edges)


def test_the_plain_search_decides_loops_by_the_definition() -> None:
    assert list(graph({A: {0: B}, B: {1: A}}).loops(2)) == [LoopKind.TRAP]
    assert list(graph({A: {0: B}, B: {1: A, 0: END}}).loops(2)) == [LoopKind.STARVATION]
    assert not list(graph({A: {0: B}, B: {0: A}}).loops(2)), "CPU 1 never steps"
    assert list(graph({A: {0: B}, B: {0: A}}, frozenset((1,))).loops(2)), "it cannot"
