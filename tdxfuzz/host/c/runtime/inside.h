/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the runtime know of each other, and what Python sees of it.
 *
 * Each simulated CPU (a kworker's and each softirq, too) is a context: it runs C on a stack of its own. C never
 * calls Python. It leaves a request in the state below and switches back to the loop in Python,
 * which acts and then resumes the context, or does not: then the run is over.
 */
#ifndef TDXC_INSIDE_H
#define TDXC_INSIDE_H

#include <stddef.h>
#include <stdint.h>
#include <tdxfuzz/runtime.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef tdxc_u64 u64;
typedef tdxc_s64 s64;

#define THREADS 8			/* CPUs of a world with kworkers, at most */
#define CONTEXTS (2 * THREADS + 1)	/* with their softirqs; the last one looks things up */
#define STACK_SPACING (16ull << 20)	/* so that no frame is so large that it misses the hole */
#define STACK_SIZE (64ull << 10)
#define STACKS 0x5c0000000000ull
#define PAGE 4096ull
#define TOKENS 8
#define LATERS 16

enum request {
	DONE, STEP, NOTE, LOCK, UNLOCK, SEAMCALL, ALLOC_PAGE, FREE_PAGE, WARN, PRINT, RELAX,
	MAY_SLEEP, CATCH_UP, RACE, INTERRUPTS, SOFTIRQS, CANNOT_SLEEP, IS_OFF, HELD, LOCKED,
	WORK, STAYS,
	CRASH, HANG, BAD_ACCESS, BUG, BAD_FREE, NO_MEMORY, TOO_MUCH, NOT_HELD,
};

/* What Python has to do before it looks at the next request. */
enum later_what { COUNTED, RESET_PAGE };

enum access { READ = 0, WRITE = 1, RMW = 2 };

/* Shared with Python, which knows the fields by their number: 64 bits each. */
struct state {
	s64 clock, due;			/* as in the simulator */
	s64 context, thread;		/* who runs, and on which CPU */
	s64 traced;			/* atomic operations are noted */
	s64 result;			/* of a request or of a call */
	s64 arg[6];			/* of a request */
	s64 pc;				/* where it was made */
	s64 budget;			/* blocks of code until somebody looks whether this ends */
	s64 quiet;			/* a look-up of the harness: nothing counts */
	s64 tokens, token[TOKENS];		/* what the caller of a call holds, see race.c */
	s64 regs[13];			/* of a SEAMCALL */
	u64 seen[CONTEXTS];		/* what each context has observed since Python asked last */
	s64 laters;			/* what can wait for the next request: */
	struct later {
		s64 what, a, b, clock;
	} later[LATERS];
};
extern struct state tdxc_state;
#define S tdxc_state

#define BUDGET (20 * 1000 * 1000)

static inline u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ (h >> 29);
}

/* A value without what differs from process to process. */
static inline u64 plain(u64 value);

static s64 request(int what, u64 a, u64 b, u64 c, u64 d, const void *pc);

#define HERE __builtin_return_address(0)

#endif
