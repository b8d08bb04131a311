"""``verify`` is sound for C: what code can have seen is part of a state, wherever it lies."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest
from attrs import evolve

from c_layers import DONE, LAYERS, needs_clang, needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.c.compiler import FLAGS
from tdxfuzz.host.c.layer import CLayer
from tdxfuzz.host.c.machine import machine
from tdxfuzz.host.design import ENOMEM, PageCache, RefcountLayer
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import Design, Session
from tdxfuzz.sim import STATE, LocalMemory
from tdxfuzz.verify.search import Verdict, VerifyResult, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import slow

pytestmark = needs_compiler

KINDS = range(9)
"""Of memory: those of layers/sees.c."""


class HandLock(RefcountLayer):
    """The twin of layers/hand_lock.c."""

    rounds = 0

    def setup(self) -> None:
        self.word = self.atomic("word")

    def take(self) -> None:
        i = 0
        while i < self.rounds:
            if self.word.cmpxchg(0, 1) == 0:
                return
            i += 1
            self.cpu_relax()
        if self.rounds:
            self.warn("rounds")
        while self.word.cmpxchg(0, 1):
            self.cpu_relax()

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        self.take()
        if not refcount.inc_not_zero():
            if self.pamt_add(pfn, pair).ok:
                refcount.set(1)
                self.word.set(0)
                return 0
            self.warn("PAMT.ADD failed")
        self.word.set(0)
        self.free_pair(pair)
        return 0

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        self.take()
        if refcount.read() > 1:
            refcount.dec()
            self.word.set(0)
            return
        _, pair = self.pamt_remove(pfn)
        refcount.set(0)
        self.word.set(0)
        assert pair is not None
        self.free_pair(pair)


class ThreeRounds(HandLock):
    rounds = 3


def _search(name: str, layer: Design) -> VerifyResult:
    return verify(SCENARIOS[name].case("C"), layer, Bounds())


def _sizes(result: VerifyResult) -> tuple[object, ...]:
    counts = result.counts
    return result.verdict, counts.states, counts.transitions, counts.schedules, result.ends


@pytest.mark.parametrize("name", [pytest.param("map-map", marks=slow), "map-zap"])
def test_a_loop_that_waits_has_the_states_of_its_twin(name: str) -> None:
    in_c = class_in(LAYERS / "hand_lock.c")
    assert _sizes(_search(name, in_c)) == _sizes(_search(name, HandLock))


def test_rounds_that_c_counts_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FLAGS, "-DROUNDS=3")
    in_c = _search("map-map", class_in(LAYERS / "hand_lock.c"))
    assert in_c.verdict is Verdict.FAIL
    assert _sizes(in_c) == _sizes(_search("map-map", ThreeRounds))


def _layer_of(session: Session) -> CLayer:
    layer = session.layer
    assert isinstance(layer, CLayer)
    return layer


def _address(layer: CLayer, name: str) -> int:
    symbol = next(each for each in layer.image.symbols if each.name == name)
    return layer.image.base + symbol.address


def _write(address: int, value: int) -> None:
    """Write a byte, as the layer would."""
    word = address & -4
    now = bytearray(ctypes.string_at(word, 4))
    now[address - word] = value
    machine().poke(word, int.from_bytes(now, "little", signed=True))


class _Sees(LocalMemory):
    """Keeps what a CPU learns."""

    def __init__(self, cpus: int) -> None:
        super().__init__(cpus)
        self.seen: list[object] = []

    def learn(self, cpu: int, what: object) -> None:
        self.seen.append(what)


@pytest.mark.parametrize("compiler", ["gcc", pytest.param("clang", marks=needs_clang)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_byte_is_part_of_the_state_and_of_what_a_cpu_sees(
    kind: int, compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    monkeypatch.setenv("CC", compiler)
    case = evolve(SCENARIOS["map-zap"].case("C"), setup=(), programs=((), ()))
    session = Session(case, class_in(LAYERS / "sees.c"))
    layer, sim = _layer_of(session), session.sim
    place = ctypes.c_uint64.from_address(_address(layer, "places") + 8 * kind).value
    machine().poke(_address(layer, "which"), kind)
    states, seen = set(), set()
    for value in (0, 1, 3):
        _write(place, value)
        states.add(STATE(layer))
        sim.local = saw = _Sees(2)
        assert layer.get(0x100005) == 0
        seen.add(tuple(saw.seen))
    assert len(states) == len(seen) == 3


LEND = """
static int *mailbox;
static DEFINE_SPINLOCK(mail);

static void collect(int *mine, int *got)
{
	spin_lock(&mail);
	if (mailbox == mine)
		mailbox = NULL;
	*got = *mine;
	spin_unlock(&mail);
}
"""
LEND_IN_GET = """
	int mine = 0, got;

	spin_lock(&mail);
	if (mailbox) {
		*mailbox = 1;
		mailbox = NULL;
	} else {
		mailbox = &mine;
	}
	spin_unlock(&mail);
"""


@pytest.mark.parametrize(
    ("most", "verdict"), [(0, Verdict.FAIL), pytest.param(1, Verdict.PASS, marks=slow)]
)
def test_a_stack_object_that_another_cpu_writes_is_shared_state(
    most: int, verdict: Verdict, tmp_path: Path
) -> None:
    collect = f"	collect(&mine, &got);\n	WARN_ON(got > {most});\n"
    unlock, free = "	spin_unlock(&dpamt_lock);\n", "	free_pair(pages);\n"
    returns = "	return ret;"
    text = text_of(
        before=LEND,
        get=LEND_IN_GET,
        replace=[
            (DONE + unlock, DONE + unlock + collect),
            (free + returns, free + collect + returns),
        ],
    )
    assert _search("map-map", class_in(write(tmp_path, text))).verdict is verdict


def test_memory_behind_plain_accesses_is_part_of_the_state(tmp_path: Path) -> None:
    text = text_of(
        before="static int last;",
        locked="	last = 1;",
        put=(
            "	spin_lock(&dpamt_lock);\n	WARN_ON(last == 1);\n	last = 2;\n"
            "	spin_unlock(&dpamt_lock);"
        ),
    )
    layer = class_in(write(tmp_path, text))
    assert _search("map-zap", layer).verdict is Verdict.FAIL
    assert _search("map-map", layer).verdict is Verdict.PASS


def test_two_files_have_memory_of_their_own(tmp_path: Path) -> None:
    text = text_of(before="static int gets;", locked="	WARN_ON(gets++ > 40);")
    one = class_in(write(tmp_path, text, "one.c"))
    two = class_in(write(tmp_path, text, "two.c"))
    case = SCENARIOS["map-map"].case("C")
    sessions = [Session(case, layer) for layer in (one, two, one)]
    states = [STATE(_layer_of(session)) for session in sessions]
    assert states[0] == states[2]
    for session in sessions:
        assert not session.run_programs().findings
