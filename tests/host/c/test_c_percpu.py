"""What is about this CPU is used where nothing moves the user to another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import run

pytestmark = needs_compiler

BEFORE = """
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
static DEFINE_PER_CPU(int, count);
static __maybe_unused DEFINE_MUTEX(mutex);
static __maybe_unused DEFINE_SPINLOCK(spin);
static int topup(void)
{{
	{use};
	return 0;
}}
"""

RIGHT = (
    "this_cpu_inc(count)",
    "preempt_disable(); __this_cpu_inc(count); preempt_enable()",
    "get_cpu_var(count)++; put_cpu_var(count)",
    "spin_lock(&spin); ++*this_cpu_ptr(&count); spin_unlock(&spin)",
    "local_irq_disable(); (void)smp_processor_id(); local_irq_enable()",
    "migrate_disable(); (void)smp_processor_id(); scoped_guard(mutex, &mutex); migrate_enable()",
    "(void)raw_smp_processor_id()",
)

WRONG = {
    "__this_cpu_inc(count)": "__this_cpu_add() in preemptible code",
    "++*this_cpu_ptr(&count)": "this_cpu_ptr() in preemptible code",
    "mutex_lock(&mutex); (void)smp_processor_id(); mutex_unlock(&mutex)": "smp_processor_id() in",
    "rcu_read_lock(); (void)__this_cpu_read(count); rcu_read_unlock()": "__this_cpu_read() in",
}


def told(folder: Path, use: str) -> str | None:
    """What is found in a layer that does something in its top-up."""
    text = text_of(before=BEFORE.format(use=use), glue=".topup = topup,")
    layer = class_in(write(folder, text))
    finding = run(SCENARIOS["map-map"].case(layer.__name__), layer).finding
    return None if finding is None else finding.message


@pytest.mark.parametrize("use", RIGHT)
def test_a_right_use_is_silent(use: str, tmp_path: Path) -> None:
    assert told(tmp_path, use) is None


@pytest.mark.parametrize("use", WRONG)
def test_a_use_with_preemption_on_is_told(use: str, tmp_path: Path) -> None:
    said = told(tmp_path, use)
    assert said is not None
    assert WRONG[use] in said
    assert "layer.c:" in said
