/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_WORKQUEUE_H
#define TDXFUZZ_LINUX_WORKQUEUE_H
#include <linux/container_of.h>
#include <linux/slab.h>
#include <linux/types.h>

/*
 * An item runs on a CPU of its own, at any step after it was queued: a delay is as good as none.
 * Items of one queue run beside each other, whatever its max_active; there is no ordered queue.
 * TDX_LAYER(.kworkers) is how many may be queued or running at once.
 */
struct work_struct;
typedef void (*work_func_t)(struct work_struct *work);
struct work_struct { work_func_t func; };
struct delayed_work { struct work_struct work; };
struct workqueue_struct { int unused; };

/* The file has items of work. */
__attribute__((weak, used, visibility("default"))) const int tdxc_has_work = 1;

#define WQ_UNBOUND 2
#define WQ_FREEZABLE 4
#define WQ_MEM_RECLAIM 8
#define WQ_HIGHPRI 16
#define WQ_CPU_INTENSIVE 32
#define WQ_SYSFS 64
#define WQ_PERCPU 256

/* The system's queues are one. */
#define system_wq ((struct workqueue_struct *)16)
#define system_percpu_wq system_wq
#define system_dfl_wq system_wq
#define system_unbound_wq system_wq
#define system_highpri_wq system_wq
#define system_long_wq system_wq

#define __WORK_INITIALIZER(name, function) { .func = (function) }
#define DECLARE_WORK(name, function) struct work_struct name = __WORK_INITIALIZER(name, function)
#define DECLARE_DELAYED_WORK(name, function)                                                       \
	struct delayed_work name = { .work = __WORK_INITIALIZER(name, function) }
#define INIT_WORK(w, function) ((void)((w)->func = (function)))
#define INIT_WORK_ONSTACK INIT_WORK
#define destroy_work_on_stack(w) ((void)(w))
#define INIT_DELAYED_WORK(w, function) INIT_WORK(&(w)->work, function)
#define to_delayed_work(w) container_of(w, struct delayed_work, work)
#define from_work(var, w, member) container_of(w, __typeof__(*(var)), member)

static __always_inline __maybe_unused bool queue_work(struct workqueue_struct *wq,
						      struct work_struct *work)
{
	return tdxc_work(TDXC_WORK_QUEUE, work, (void *)work->func, wq);
}

static __always_inline __maybe_unused bool flush_work(struct work_struct *work)
{
	return tdxc_work(TDXC_WORK_FLUSH, work, (void *)work->func, NULL);
}

static __always_inline __maybe_unused bool cancel_work(struct work_struct *work)
{
	return tdxc_work(TDXC_WORK_CANCEL, work, (void *)work->func, NULL);
}

static __always_inline __maybe_unused bool cancel_work_sync(struct work_struct *work)
{
	return tdxc_work(TDXC_WORK_CANCEL_SYNC, work, (void *)work->func, NULL);
}

static __always_inline __maybe_unused bool work_pending(struct work_struct *work)
{
	return tdxc_work(TDXC_WORK_PENDING, work, (void *)work->func, NULL);
}

static __always_inline __maybe_unused void flush_workqueue(struct workqueue_struct *wq)
{
	tdxc_work(TDXC_WORK_FLUSH_QUEUE, NULL, NULL, wq);
}

#define queue_work_on(cpu, wq, work) ((void)(cpu), queue_work(wq, work))
#define schedule_work(work) queue_work(system_wq, work)
#define schedule_work_on(cpu, work) queue_work_on(cpu, system_wq, work)
#define queue_delayed_work(wq, w, delay) ((void)(delay), queue_work(wq, &(w)->work))
#define mod_delayed_work(wq, w, delay) (!queue_delayed_work(wq, w, delay))
#define schedule_delayed_work(w, delay) queue_delayed_work(system_wq, w, delay)
#define flush_delayed_work(w) flush_work(&(w)->work)
#define cancel_delayed_work(w) cancel_work(&(w)->work)
#define cancel_delayed_work_sync(w) cancel_work_sync(&(w)->work)
#define delayed_work_pending(w) work_pending(&(w)->work)
#define drain_workqueue(wq) flush_workqueue(wq)
#define flush_scheduled_work() flush_workqueue(system_wq)

/* The name and max_active are not kept. */
#define alloc_workqueue(name, flags, ...)                                                          \
	((void)(flags), (struct workqueue_struct *)kzalloc(sizeof(struct workqueue_struct), GFP_KERNEL))

static __always_inline __maybe_unused void destroy_workqueue(struct workqueue_struct *wq)
{
	flush_workqueue(wq);
	kfree(wq);
}

#endif
