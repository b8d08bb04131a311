/* SPDX-License-Identifier: MIT */
/*
 * What the runtime offers to the header shim. Kernel code does not call these functions by name:
 * the headers beside this one do.
 */
#ifndef TDXFUZZ_RUNTIME_H
#define TDXFUZZ_RUNTIME_H

typedef unsigned long long tdxc_u64;
typedef long long tdxc_s64;

/* What an atomic operation does; the Python side knows them by number. */
enum tdxc_op {
	TDXC_OP_READ,
	TDXC_OP_SET,
	TDXC_OP_ADD,
	TDXC_OP_ADD_RETURN,
	TDXC_OP_FETCH_ADD,
	TDXC_OP_DEC_AND_TEST,
	TDXC_OP_INC_AND_TEST,
	TDXC_OP_SUB_AND_TEST,
	TDXC_OP_ADD_NEGATIVE,
	TDXC_OP_ADD_UNLESS,
	TDXC_OP_FETCH_ADD_UNLESS,
	TDXC_OP_INC_UNLESS_NEGATIVE,
	TDXC_OP_DEC_UNLESS_POSITIVE,
	TDXC_OP_DEC_IF_POSITIVE,
	TDXC_OP_CMPXCHG,
	TDXC_OP_XCHG,
	TDXC_OP_FETCH_AND,
	TDXC_OP_FETCH_OR,
	TDXC_OP_FETCH_XOR,
	TDXC_OP_FETCH_ANDNOT,
	TDXC_OP_DEC_NOT_ONE,
};

/* What an operation orders, as the kernel's memory model has it. */
enum tdxc_order {
	TDXC_RELAXED = 0,
	TDXC_ACQUIRE = 1,
	TDXC_RELEASE = 2,
	TDXC_BOTH = 3,
	TDXC_FULL = 7,	/* a fence before and after it, too */
};

/* Kinds of locks, and how one is taken. */
enum tdxc_lock {
	TDXC_SPIN = 0,
	TDXC_MUTEX = 1,
	TDXC_READ = 2,	/* a lock for readers and writers: shared, */
	TDXC_WRITE = 3,	/* or alone */
	TDXC_SLEEPS = 4,	/* whoever holds it may sleep */
	TDXC_TRY = 8,
};

/* One atomic operation: one step. SIZE is 4 or 8 bytes. */
tdxc_s64 tdxc_atomic(int op, int order, void *at, int size, tdxc_s64 a, tdxc_s64 b);
/* smp_mb() and its kin: ORDER is what they order. */
void tdxc_fence(int order);
/* What was read from AT is followed as a pointer: the reads behind it are ordered. */
void tdxc_depends(const volatile void *at);
/* Accesses between on and off are raced on purpose: they are steps, and no races. */
void tdxc_races_on_purpose(int on);

/* 1: the lock was taken. */
int tdxc_lock(void *lock, int how);
void tdxc_unlock(void *lock, int how);
/* By anybody: one step. CONTENDED: whether somebody waits for it. */
int tdxc_is_locked(const void *lock, int how, int contended);
/* By this CPU: HOW is 0 for any way, else TDXC_READ or TDXC_WRITE. */
int tdxc_is_held(const void *lock, int how);
void tdxc_assert_held(const void *lock, int how);
/* This CPU's interrupts go off (1) or on (0); whether they were off. */
int tdxc_interrupts(int off);
/* Its softirqs, or preemption, go off (1) or on (-1). */
void tdxc_softirqs(int change);
void tdxc_cannot_sleep(int change, const char *why);
enum tdxc_asks { TDXC_IRQS_OFF, TDXC_SOFTIRQS_OFF, TDXC_PREEMPTION_OFF };
int tdxc_is_off(int what);
void tdxc_relax(void);
/* WHAT is about this CPU: a warning, if the caller might be moved to another one. */
void tdxc_stays(const char *what);
void tdxc_might_sleep(const char *what);
int tdxc_cpu(void);
/* CPUs of the world; in a set-up, all that there can be. */
int tdxc_cpus(void);
/* What is asked of an item of work; queues are told apart by their address. */
enum tdxc_work {
	TDXC_WORK_QUEUE,
	TDXC_WORK_FLUSH,
	TDXC_WORK_CANCEL,
	TDXC_WORK_CANCEL_SYNC,
	TDXC_WORK_PENDING,
	TDXC_WORK_FLUSH_QUEUE,
};

int tdxc_work(int op, void *work, void *function, void *queue);
/* Called as FUNCTION(a, b) once the call from outside has returned. */
void tdxc_after(void (*function)(void *, void *), void *a, void *b);
/* Do now what this call has left to be done. */
void tdxc_do_after(void);

struct page;
/* A page of the simulated machine, or NULL. */
struct page *tdxc_alloc_page(int may_sleep, int zero);
void tdxc_free_page(struct page *page);
void *tdxc_alloc(unsigned long size, unsigned long align, int may_sleep, const char *what);
void tdxc_free(const void *object, const char *what);
/* How large an object is. */
unsigned long tdxc_size(const void *object, const char *what);
void tdxc_reset_page(tdxc_u64 pfn);

enum tdxc_xa { TDXC_XA_LOAD, TDXC_XA_STORE, TDXC_XA_CMPXCHG };

struct xarray;
/* One step: what was there before. */
void *tdxc_xarray(struct xarray *xa, unsigned long index, int op, const void *old, void *entry);

/* A SEAMCALL; REGS are rcx rdx r8 r9 r10 r11 r12 r13 r14 r15 rbx rdi rsi, and come back if ANSWER. */
tdxc_u64 tdxc_seamcall(tdxc_u64 leaf, void *regs, int answer);

int tdxc_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What the next warning says. */
void tdxc_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int tdxc_format(char *buffer, unsigned long size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void tdxc_warn(const char *what, const char *file, int line, const char *function);
void tdxc_bug(const char *what, const char *file, int line) __attribute__((noreturn));

/* Where the simulated memory lies. */
#define TDXC_FIRST_PFN 0x100000ull
#define TDXC_PFNS 4096ull
#define TDXC_ARENA 0x5d0000000000ull
#define TDXC_MEM_MAP (TDXC_ARENA + 0x100000ull)
#define TDXC_DIRECT_MAP (TDXC_ARENA + 0x1000000ull)

#endif
