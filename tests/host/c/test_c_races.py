"""data-race: what nothing orders is found, and what a lock, an atomic or a fence orders is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.check.data_race import DataRace
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.generate.huge_programs import Huge
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import Session, run
from tdxfuzz.sim import STATE, STATE_AND_MEMORY, End, Schedule
from tdxfuzz.verify.search import Verdict, VerifyResult, verify
from tdxfuzz.verify.worklist import Bounds

pytestmark = needs_compiler

DATA = "int count, flag, *shared; struct { u8 a, b; } two; static atomic_t n; "
DATA += "static int own_word; static unsigned long bits; "
LOCK = "static DEFINE_SPINLOCK(own);\n"
ELSE = "\n	else\n		"
FIRST = "	if (!cmpxchg(&flag, 0, 1)) {\n		count = 1;\n"

RACES = {
    "a counter without a lock": "	count++;",
    "a plain write beside WRITE_ONCE": (
        f"	if (raw_smp_processor_id())\n		WRITE_ONCE(count, 1);{ELSE}count = 2;"
    ),
    "a copy of a struct": "	{ static struct tdx_module_args a, b; a = b; b.rcx++; }",
    "memset": "	memset(&two, 0, sizeof(two));",
    "published without an order": (
        "	if (!raw_smp_processor_id()) {\n		count = 1;\n		WRITE_ONCE(flag, 1);\n"
        "	} else if (READ_ONCE(flag)) {\n		WARN_ON(count > 1);\n	}"
    ),
}
"""What get does on all CPUs."""

ORDERED = {
    "nothing shared": "	int mine = 0;\n	mine++;\n	ret = mine;",
    "marked": "	WRITE_ONCE(count, READ_ONCE(count) + 1);",
    "an atomic": "	atomic_inc(&n);",
    "meant": "	data_race(count++);",
    "a lock": "	spin_lock(&own);\n	count++;\n	spin_unlock(&own);",
    "interrupts off too": (
        "	unsigned long flags;\n	spin_lock_irqsave(&own, flags);\n	count++;\n"
        "	spin_unlock_irqrestore(&own, flags);"
    ),
    "a bit": (
        "	static unsigned long l;\n	if (!test_and_set_bit_lock(0, &l)) {\n		count++;\n"
        "		clear_bit_unlock(0, &l);\n	}"
    ),
    "neighbours": f"	if (raw_smp_processor_id())\n		two.a++;{ELSE}two.b++;",
    "once, by xchg": "	if (!xchg(&flag, 1))\n		count++;",
    "acquire and release": (
        f"{FIRST}		smp_store_release(&flag, 2);\n"
        "	} else if (smp_load_acquire(&flag) == 2) {\n		WARN_ON(count > 1);\n	}"
    ),
    "fences": (
        f"{FIRST}		smp_wmb();\n		WRITE_ONCE(flag, 2);\n"
        "	} else if (READ_ONCE(flag) == 2) {\n		smp_rmb();\n"
        "		WARN_ON(count > 1);\n	}"
    ),
    "a pointer": (
        f"{FIRST}		rcu_assign_pointer(shared, &count);\n	}} else {{\n"
        "		int *p = rcu_dereference(shared);\n		if (p)\n			WARN_ON(*p > 1);\n	}"
    ),
}

FULL = {
    "returns a value": "atomic_inc_return(&n);",
    "returns the old value": "atomic_fetch_add(0, &n);",
    "changes nothing": "atomic_fetch_or(0, &n);",
    "tests": "if (atomic_dec_and_test(&n)) atomic_inc(&n);",
    "stores, for the condition holds": "atomic_add_unless(&n, 1, -5);",
    "xchg": "xchg(&own_word, 1);",
    "a successful cmpxchg": "cmpxchg(&own_word, 0, 0);",
    "a bit": "test_and_set_bit(3, &bits);",
    "smp_mb": "smp_mb();",
}
"""What is a full barrier."""

NO_BARRIER = {
    "nothing": "",
    "returns nothing": "atomic_inc(&n);",
    "relaxed": "atomic_inc_return_relaxed(&n);",
    "a bit that is set": "set_bit(3, &bits);",
    "a failed cmpxchg": "atomic_cmpxchg(&n, -77, 1);",
    "stores nothing": "atomic_add_unless(&n, 1, 0);",
    "a refcount": "refcount_inc_not_zero(&refs);",
    "RCU": "rcu_read_lock(); rcu_read_unlock();",
}
"""What is none."""


INCLUDES = "".join(
    f"#include <linux/{name}.h>\n" for name in ("bitops", "rcupdate", "refcount", "smp")
)
INCLUDES += "static refcount_t refs;\n"


def _text(get: str) -> str:
    return text_of(before=INCLUDES + DATA + LOCK, get=f"	{{\n{get}\n	}}")


@pytest.mark.parametrize("what", RACES)
def test_a_race_is_found_with_both_places(what: str, tmp_path: Path) -> None:
    layer = class_in(write(tmp_path, _text(RACES[what])))
    found = hunt(HuntPlan("C", Budget(cases=300), design=layer, seed=1), ()).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.check == "data-race"
    assert found.finding.message.count("layer.c:") == 2
    case = found.case
    assert run(case, layer).finding == found.finding
    result = verify(SCENARIOS["map-map"].case("C"), layer, Bounds(1))
    assert result.verdict is Verdict.FAIL


@pytest.mark.parametrize("what", ORDERED)
def test_what_is_ordered_is_no_race(what: str, tmp_path: Path) -> None:
    layer = class_in(write(tmp_path, _text(ORDERED[what])))
    found = hunt(HuntPlan("C", Budget(cases=100), design=layer, seed=1), ()).found
    assert found is None or found.finding is None, found.finding
    result = verify(SCENARIOS["map-map"].case("C"), layer, Bounds(1))
    assert result.verdict is Verdict.PASS


def _passed_on(write_behind: str, read_behind: str, folder: Path) -> VerifyResult:
    """All orders with a message from CPU 0 to CPU 1."""
    put = (
        f"	if (!smp_processor_id()) {{\n		count = 1;\n		{write_behind}\n"
        f"		WRITE_ONCE(flag, 1);\n	}} else if (READ_ONCE(flag)) {{\n"
        f"		{read_behind}\n		WARN_ON(count != 1);\n	}}"
    )
    layer = class_in(write(folder, text_of(before=INCLUDES + DATA, put=put)))
    return verify(SCENARIOS["zap-zap"].case("C"), layer, Bounds(1))


@pytest.mark.parametrize("what", FULL)
def test_a_full_barrier_orders_other_variables(what: str, tmp_path: Path) -> None:
    for write_behind, read_behind in ((FULL[what], "smp_rmb();"), ("smp_wmb();", FULL[what])):
        assert _passed_on(write_behind, read_behind, tmp_path).verdict is Verdict.PASS


@pytest.mark.parametrize("what", NO_BARRIER)
def test_what_is_no_barrier_orders_none(what: str, tmp_path: Path) -> None:
    none = NO_BARRIER[what]
    for write_behind, read_behind in ((none, "smp_rmb();"), ("smp_wmb();", none)):
        found = _passed_on(write_behind, read_behind, tmp_path).found
        assert found is not None
        assert found.finding is not None
        assert found.finding.check == "data-race"


def test_a_page_that_changes_hands_brings_what_was_written_to_it(tmp_path: Path) -> None:
    text = text_of(
        before="static int of_page[TDXC_PFNS];",
        get="	of_page[pfn - TDXC_FIRST_PFN] = 1;",
        put="	WARN_ON(of_page[pfn - TDXC_FIRST_PFN] != 1);",
    )
    layer = class_in(write(tmp_path, text))
    # A page of a 2MB page that was split is put, and no get wrote to it.
    plan = HuntPlan("C", Budget(cases=200), design=layer, seed=1, huge=Huge(0))
    assert hunt(plan, ()).found is None


def test_an_order_that_hides_a_race_does_not_hide_it_from_verify(tmp_path: Path) -> None:
    """In the default order the lock orders the accesses; in another one it does not."""
    unlock = "	spin_unlock(&dpamt_lock);\n	free_pair(pages);\n}"
    text = text_of(
        before="static int x;",
        get="	x = 1;",
        replace=[(unlock, unlock.replace("}", "	WARN_ON(x > 5);\n}"))],
    )
    case = SCENARIOS["map-zap"].case("C")
    layer = class_in(write(tmp_path, text))
    assert verify(case, layer, Bounds(1)).verdict is Verdict.FAIL


def test_the_order_of_accesses_is_remembered_and_no_shared_state(tmp_path: Path) -> None:
    text = text_of(before=DATA + LOCK, get=ORDERED["a lock"])
    session = Session(SCENARIOS["map-map"].case("C"), class_in(write(tmp_path, text))).keep()
    (check,) = (each for each in session._checks if isinstance(each, DataRace))

    def order(*switches: tuple[int, int]) -> object:
        session.rewind(session.case.with_schedule(Schedule.of(switches)))
        assert session.run_programs().outcome.end is End.REST
        assert STATE(check) == ()
        return STATE_AND_MEMORY(check)

    order()  # only what CPUs were seen to share counts
    first, last = order(), order((0, 1))
    assert first != last
    assert order() == first
