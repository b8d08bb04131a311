/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_SEQLOCK_H
#define TDXFUZZ_LINUX_SEQLOCK_H
#include <linux/processor.h>
#include <linux/spinlock.h>

/* What a writer changes in between is to be written with WRITE_ONCE, and read with READ_ONCE. */
typedef struct seqcount {
	unsigned int sequence;
} seqcount_t;

typedef seqcount_t seqcount_spinlock_t;
typedef struct {
	seqcount_t seqcount;
	spinlock_t lock;
} seqlock_t;

#define SEQCNT_ZERO(name) { 0 }
#define SEQCNT_SPINLOCK_ZERO(name, lock) { 0 }
#define DEFINE_SEQLOCK(name) seqlock_t name = { .seqcount = SEQCNT_ZERO(name) }
#define seqcount_init(s) ((s)->sequence = 0)
#define seqlock_init(s) seqcount_init(&(s)->seqcount)

static __always_inline __maybe_unused unsigned int read_seqcount_begin(const seqcount_t *s)
{
	unsigned int seen;

	while ((seen = smp_load_acquire(&s->sequence)) & 1)
		cpu_relax();
	return seen;
}

static __always_inline __maybe_unused int read_seqcount_retry(const seqcount_t *s,
							       unsigned int start)
{
	smp_rmb();
	if (READ_ONCE(s->sequence) == start)
		return 0;
	cpu_relax();
	return 1;
}

static __always_inline __maybe_unused void write_seqcount_begin(seqcount_t *s)
{
	WRITE_ONCE(s->sequence, s->sequence + 1);
	smp_wmb();
}

static __always_inline __maybe_unused void write_seqcount_end(seqcount_t *s)
{
	smp_wmb();
	WRITE_ONCE(s->sequence, s->sequence + 1);
}

/* Without waiting for a writer: an odd number is one that comes while somebody writes. */
static __always_inline __maybe_unused unsigned int raw_read_seqcount(const seqcount_t *s)
{
	return smp_load_acquire(&s->sequence);
}

/* One that fails in read_seqcount_retry(), if somebody writes. */
#define raw_seqcount_begin(s) (raw_read_seqcount(s) & ~1u)
#define raw_read_seqcount_begin read_seqcount_begin
#define __read_seqcount_begin read_seqcount_begin
#define __read_seqcount_retry read_seqcount_retry
#define raw_write_seqcount_begin write_seqcount_begin
#define raw_write_seqcount_end write_seqcount_end
#define read_seqbegin(s) read_seqcount_begin(&(s)->seqcount)
#define read_seqretry(s, start) read_seqcount_retry(&(s)->seqcount, start)
#define write_seqlock(s) (spin_lock(&(s)->lock), write_seqcount_begin(&(s)->seqcount))
#define write_sequnlock(s) (write_seqcount_end(&(s)->seqcount), spin_unlock(&(s)->lock))

#endif
