"""Where nothing may sleep, whoever sleeps is found; where a CPU may sleep, nobody is."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import run

pytestmark = needs_compiler

BEFORE = """#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/wait.h>
static DEFINE_SPINLOCK(spin);
static DEFINE_SPINLOCK(inner);
static DEFINE_RWLOCK(rw);
static DEFINE_MUTEX(mutex);
static DECLARE_RWSEM(sem);
"""

ATOMIC = {
    "a spinlock": ("spin_lock(&spin);", "spin_unlock(&spin);"),
    "a reader": ("read_lock(&rw);", "read_unlock(&rw);"),
    "a writer": ("write_lock(&rw);", "write_unlock(&rw);"),
    "preemption": ("preempt_disable();", "preempt_enable();"),
    "RCU": ("rcu_read_lock();", "rcu_read_unlock();"),
    "interrupts": ("local_irq_disable();", "local_irq_enable();"),
    "softirqs": ("local_bh_disable();", "local_bh_enable();"),
    "a mutex in a spinlock": (
        "spin_lock(&spin); if (mutex_trylock(&mutex)) {",
        "mutex_unlock(&mutex); } spin_unlock(&spin);",
    ),
    "a semaphore in a spinlock": (
        "spin_lock(&spin); if (down_read_trylock(&sem)) {",
        "up_read(&sem); } spin_unlock(&spin);",
    ),
}
"""Where nothing may sleep, from where to where."""

SLEEPERS = {
    "kmalloc": "kfree(kmalloc(8, GFP_KERNEL));",
    "alloc_page": "{ struct page *p = alloc_page(GFP_KERNEL); if (p) __free_page(p); }",
    "mutex_lock": "{ static DEFINE_MUTEX(m); mutex_lock(&m); mutex_unlock(&m); }",
    "down_write": "{ static DECLARE_RWSEM(s); down_write(&s); up_write(&s); }",
    "vfree": "vfree(NULL);",
    "wait_event": "{ static DECLARE_WAIT_QUEUE_HEAD(q); wait_event_timeout(q, 1, 0); }",
}

LEGAL = {
    "in a semaphore, shared": f"down_read(&sem); {' '.join(SLEEPERS.values())} up_read(&sem);",
    "in a semaphore": f"down_write(&sem); {' '.join(SLEEPERS.values())} up_write(&sem);",
    "in a mutex": f"mutex_lock(&mutex); {' '.join(SLEEPERS.values())} mutex_unlock(&mutex);",
    "off twice, and on": f"local_irq_disable(); local_irq_disable(); local_irq_enable(); "
    f"{SLEEPERS['kmalloc']}",
    "on inside": "spin_lock_irq(&spin); write_lock_irq(&rw); write_unlock_irq(&rw); "
    "WARN_ON(irqs_disabled()); spin_unlock_irq(&spin);",
    "saved and restored inside": "{ unsigned long flags; spin_lock_irq(&spin); "
    "local_irq_save(flags); local_irq_restore(flags); WARN_ON(!irqs_disabled()); "
    "scoped_guard(spinlock_irqsave, &inner) WARN_ON(!irqs_disabled()); "
    "WARN_ON(!irqs_disabled()); spin_unlock_irq(&spin); } "
    f"WARN_ON(irqs_disabled()); {SLEEPERS['kmalloc']}",
    "vfree with softirqs off": "local_bh_disable(); vfree(NULL); local_bh_enable();",
    "GFP_ATOMIC": "spin_lock(&spin); kfree(kmalloc(8, GFP_ATOMIC)); spin_unlock(&spin);",
}


def _finding(code: str, folder: Path) -> str:
    """What a run tells of code in a CPU's own context, without locks of callers."""
    before = f"{BEFORE}static int topup(void)\n{{\n	{code}\n	return 0;\n}}\n"
    layer = class_in(write(folder, text_of(before=before, glue=".topup = topup,")))
    ended = run(SCENARIOS["map-zap"].case("C"), layer)
    return "" if ended.finding is None else ended.finding.bucket


@pytest.mark.parametrize("sleeper", SLEEPERS)
@pytest.mark.parametrize("where", ATOMIC)
def test_a_sleeper_is_found_wherever_nothing_may_sleep(
    where: str, sleeper: str, tmp_path: Path
) -> None:
    begin, end = ATOMIC[where]
    bucket = _finding(f"{begin} {SLEEPERS[sleeper]} {end}", tmp_path)
    if (where, sleeper) == ("softirqs", "vfree"):
        assert not bucket
    else:
        assert bucket.startswith("atomic-sleep/"), bucket
        assert sleeper in bucket


@pytest.mark.parametrize("what", LEGAL)
def test_what_may_sleep_does(what: str, tmp_path: Path) -> None:
    assert not _finding(LEGAL[what], tmp_path)


ASSERTS = {
    "irqs, and they are on": "lockdep_assert_irqs_disabled();",
    "preemption, and it is on": "lockdep_assert_preemption_disabled();",
    "preemption, and it is on in RCU": "rcu_read_lock(); lockdep_assert_preemption_disabled(); "
    "rcu_read_unlock();",
    "irqs on, and they are off": "local_irq_disable(); lockdep_assert_irqs_enabled(); "
    "local_irq_enable();",
}

RIGHT = (
    "local_irq_disable(); lockdep_assert_irqs_disabled(); lockdep_assert_preemption_disabled(); "
    "local_irq_enable(); lockdep_assert_irqs_enabled(); lockdep_assert_preemption_enabled(); "
    "spin_lock(&spin); lockdep_assert_preemption_disabled(); spin_unlock(&spin); "
    "local_bh_disable(); lockdep_assert_preemption_disabled(); local_bh_enable(); "
    "preempt_disable(); lockdep_assert_preemption_disabled(); preempt_enable(); "
    "mutex_lock(&mutex); lockdep_assert_preemption_enabled(); mutex_unlock(&mutex);"
)


@pytest.mark.parametrize("what", ASSERTS)
def test_what_is_asserted_of_interrupts_is_looked_at(what: str, tmp_path: Path) -> None:
    assert "WARN" in _finding(ASSERTS[what], tmp_path)


def test_what_is_asserted_rightly_is_no_finding(tmp_path: Path) -> None:
    assert not _finding(RIGHT, tmp_path)
