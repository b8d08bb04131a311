/* SPDX-License-Identifier: MIT */
/*
 * What the compiler calls at each access to memory (-fsanitize=thread): plain accesses are checked
 * and observed, marked ones (volatile, that is READ_ONCE and WRITE_ONCE) and atomics are steps too.
 */

static inline void step(u64 at, int access, u64 piece, const void *pc)
{
	if (S.quiet)
		return;
	if (S.clock >= S.due)
		request(STEP, at, (u64)access, piece, 0, pc);
	else
		S.clock++;
}

/* The context will have seen this value: what it does next may depend on it. */
static inline void observe(u64 value)
{
	if (!S.quiet)
		S.seen[S.context] = mix(S.seen[S.context], plain(value));
}

static int touching_is_wrong(u64 at, u64 size, const void *pc)
{
	int stack = stack_of((void *)at);

	if (at - TDXC_ARENA < ARENA_SIZE)
		return !may_touch(at, size);
	if (at - image->low < image->high - image->low)
		return 0;
	if (stack == S.context)
		return 0;
	if (stack < 0 || !active[stack] || at < (u64)stack_pointer[stack])
		return 1;
	lend(at, size, pc);
	return 0;
}

/* Counters were written, by an access of which only the beginning is told: look later. */
static u64 counted[COUNTERS];
static u32 countings;

static void tell_of_counted(void)
{
	u32 n = countings;

	countings = 0;
	for (u32 k = 0; k < n; k++)
		later(COUNTED, counted[k], (u64)(s64)*(int *)counted[k]);
}

static inline void note_counters(u64 at, u64 size)
{
	for (u64 i = 0; i < META->counters; i++)
		if (META->counter[i] + 4 > at && META->counter[i] < at + size)
			counted[countings++] = META->counter[i];
}

/* A vCPU's cache of pages as a list, for one call: its head, and struct pages by their lru. */
struct list { struct list *next, *prev; };
struct cache { struct list pages; int count; };
#define LRU 8

static inline struct cache *own_cache(int context)
{
	return (struct cache *)(CACHES + (u64)context * CACHE_ROOM);
}

static inline int is_own_cache(u64 at)
{
	return at - (u64)own_cache((int)S.context) < sizeof(struct cache);
}

#define NO_PIECE 1	/* nobody else is known to mind */

/*
 * Where data_race() is used, a plain access is a step: others are allowed to race with it. But it
 * makes a difference only in words where somebody does.
 */
static void plain_step(u64 at, u64 size, int access, const void *pc)
{
	int meant = on_purpose[S.context];

	if (S.quiet)
		return;
	if (!meant && (is_own_cache(at) || (stack_of((void *)at) == S.context && !is_lent(at & ~7ull))))
		return;
	step(at, access, meant || has_piece(at, size) ? unite(at, size, pc) : NO_PIECE, pc);
}

static void access_bytes(void *where, u64 size, int writes, int marked, const void *pc)
{
	u64 at = (u64)where;

	if (!size)
		return;
	if (countings)
		tell_of_counted();
	if (touching_is_wrong(at, size, pc))
		request(BAD_ACCESS, at, size, (u64)writes, 0, pc);
	if (marked && is_own_cache(at))
		marked = 0;	/* the call has it for itself, by way of its caller's locks */
	if (marked) {
		step(at, writes ? WRITE : READ, piece_of(at), pc);
		ordered(at, writes ? WRITE : READ, TDXC_RELAXED);
	} else if (image->plain_steps) {
		plain_step(at, size, writes ? WRITE : READ, pc);
	}
	for (u64 from = at, rest = size; rest;) {
		u32 part = (u32)(8 - (from & 7) < rest ? 8 - (from & 7) : rest);
		u64 value = 0;

		note_access(from, part, (enum kind)(writes | marked << 1), pc);
		if (!writes) {
			memcpy(&value, (void *)from, part);
			observe(value);
		}
		from += part;
		rest -= part;
	}
	if (writes) {
		mark(where, size);
		note_counters(at, size);
	}
}

#define ACCESSES(n)                                                                                \
	void __tsan_read##n(void *at) { access_bytes(at, n, 0, 0, HERE); }                             \
	void __tsan_write##n(void *at) { access_bytes(at, n, 1, 0, HERE); }                            \
	void __tsan_unaligned_read##n(void *at) { access_bytes(at, n, 0, 0, HERE); }                   \
	void __tsan_unaligned_write##n(void *at) { access_bytes(at, n, 1, 0, HERE); }                  \
	void __tsan_volatile_read##n(void *at) { access_bytes(at, n, 0, 1, HERE); }                    \
	void __tsan_volatile_write##n(void *at) { access_bytes(at, n, 1, 1, HERE); }                   \
	void __tsan_unaligned_volatile_read##n(void *at) { access_bytes(at, n, 0, 1, HERE); }          \
	void __tsan_unaligned_volatile_write##n(void *at) { access_bytes(at, n, 1, 1, HERE); }         \
	void __tsan_read_write##n(void *at)                                                            \
	{                                                                                              \
		access_bytes(at, n, 0, 0, HERE);                                                           \
		access_bytes(at, n, 1, 0, HERE);                                                           \
	}                                                                                              \
	void __tsan_unaligned_read_write##n(void *at)                                                  \
	{                                                                                              \
		access_bytes(at, n, 0, 0, HERE);                                                           \
		access_bytes(at, n, 1, 0, HERE);                                                           \
	}
ACCESSES(1) ACCESSES(2) ACCESSES(4) ACCESSES(8) ACCESSES(16)

void __tsan_init(void) {}
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void) {}
void __tsan_vptr_update(void **at, void *value) { (void)at, (void)value; }
void __tsan_read_range(void *at, u64 n) { access_bytes(at, n, 0, 0, HERE); }
void __tsan_write_range(void *at, u64 n) { access_bytes(at, n, 1, 0, HERE); }

/* The compiler calls these for structs too; the linker sends it here (--wrap). */
#define COPIES(prefix)                                                                             \
	void *prefix##memcpy(void *to, const void *from, u64 n)                                        \
	{                                                                                              \
		access_bytes((void *)(uintptr_t)from, n, 0, 0, HERE);                                      \
		access_bytes(to, n, 1, 0, HERE);                                                           \
		return memmove(to, from, n);                                                               \
	}                                                                                              \
	void *prefix##memmove(void *to, const void *from, u64 n)                                       \
	{                                                                                              \
		access_bytes((void *)(uintptr_t)from, n, 0, 0, HERE);                                      \
		access_bytes(to, n, 1, 0, HERE);                                                           \
		return memmove(to, from, n);                                                               \
	}                                                                                              \
	void *prefix##memset(void *to, int value, u64 n)                                               \
	{                                                                                              \
		access_bytes(to, n, 1, 0, HERE);                                                           \
		return memset(to, value, n);                                                               \
	}
COPIES(__tsan_) COPIES(__wrap_)

int __wrap_memcmp(const void *a, const void *b, u64 n)
{
	access_bytes((void *)(uintptr_t)a, n, 0, 0, HERE);
	access_bytes((void *)(uintptr_t)b, n, 0, 0, HERE);
	return memcmp(a, b, n);
}

u64 __wrap_strlen(const char *s)
{
	u64 n = 0;

	do
		access_bytes((void *)(uintptr_t)(s + n), 1, 0, 0, HERE);
	while (s[n++]);
	return n - 1;
}

/* ---- atomics: the kernel's, and those of the compiler's builtins ---- */

/* An atomic access is about to be performed: one step. */
static void begin_atomic(void *at, u32 size, int access, int order, const void *pc)
{
	if (countings)
		tell_of_counted();
	if (touching_is_wrong((u64)at, size, pc) || (u64)at % size)
		request(BAD_ACCESS, (u64)at, size, access != READ, 0, pc);
	step((u64)at, access, piece_of((u64)at), pc);
	ordered((u64)at, access, order);
	note_access((u64)at, size, access == READ ? MARKED_READ : MARKED_WRITE, pc);
	if (access != READ)
		mark(at, size);
}

static inline s64 load(void *at, int size)
{
	return size == 4 ? *(int *)at : *(s64 *)at;
}

static inline s64 wrapped(s64 value, int size)
{
	return size == 4 ? (int)value : value;
}

#define SATURATED ((s64)(int)0xc0000000)	/* a refcount_t that is never to be freed */

s64 tdxc_atomic(int op, int order, void *at, int size, s64 a, s64 b)
{
	int access = op == TDXC_OP_READ ? READ : op == TDXC_OP_SET ? WRITE : RMW;
	s64 old, new, result;
	int stores = 1;
	u64 sum;

	begin_atomic(at, (u32)size, access, TDXC_RELAXED, HERE);
	old = new = result = load(at, size);
	sum = (u64)old + (u64)a;
	switch (op) {
	case TDXC_OP_SET: new = result = a; break;
	case TDXC_OP_ADD:
	case TDXC_OP_ADD_RETURN: new = result = wrapped((s64)sum, size); break;
	case TDXC_OP_FETCH_ADD: new = (s64)sum; break;
	case TDXC_OP_DEC_AND_TEST:
	case TDXC_OP_INC_AND_TEST:
	case TDXC_OP_SUB_AND_TEST: new = (s64)sum; result = !wrapped(new, size); break;
	case TDXC_OP_ADD_NEGATIVE: new = (s64)sum; result = wrapped(new, size) < 0; break;
	case TDXC_OP_ADD_UNLESS: result = stores = old != b; new = (s64)sum; break;
	case TDXC_OP_FETCH_ADD_UNLESS: stores = old != b; new = (s64)sum; break;
	case TDXC_OP_INC_UNLESS_NEGATIVE: result = stores = old >= 0; new = (s64)sum; break;
	case TDXC_OP_DEC_UNLESS_POSITIVE: result = stores = old <= 0; new = (s64)sum; break;
	case TDXC_OP_DEC_IF_POSITIVE: new = result = wrapped((s64)sum, size); stores = result >= 0; break;
	case TDXC_OP_CMPXCHG: stores = old == wrapped(a, size); new = b; break;
	case TDXC_OP_DEC_NOT_ONE: stores = old > 1 || (old < 0 && old != SATURATED); new = (s64)sum; break;
	case TDXC_OP_XCHG: new = a; break;
	case TDXC_OP_FETCH_AND: new = old & a; break;
	case TDXC_OP_FETCH_OR: new = old | a; break;
	case TDXC_OP_FETCH_XOR: new = old ^ a; break;
	case TDXC_OP_FETCH_ANDNOT: new = old & ~a; break;
	default: break;
	}
	new = stores ? wrapped(new, size) : old;
	/* One that stored nothing because of a condition orders nothing. */
	if (order && stores)
		ordered((u64)at, access, order);
	if (access != READ) {
		if (size == 4)
			*(int *)at = (int)new;
		else
			*(s64 *)at = new;
		if (new != old || access == WRITE)
			note_counters((u64)at, (u64)size);
	}
	if (op != TDXC_OP_SET && op != TDXC_OP_ADD)
		observe((u64)result);
	if (S.traced && !S.quiet) {
		S.regs[0] = size;
		S.regs[1] = result;
		S.regs[2] = new;
		request(NOTE, (u64)at, (u64)op, (u64)a, (u64)b, HERE);
	}
	if (countings)
		tell_of_counted();
	return result;
}

static int order_of(int memory_order)	/* C11's, as the compiler passes it */
{
	static const int orders[] = { TDXC_RELAXED, TDXC_ACQUIRE, TDXC_ACQUIRE,
				      TDXC_RELEASE, TDXC_BOTH,	  TDXC_FULL };

	return orders[memory_order & 7];
}

#define BUILTIN_RMW(bits, name, change)                                                            \
	u##bits __tsan_atomic##bits##_##name(volatile u##bits *at, u##bits v, int order)               \
	{                                                                                              \
		u##bits old;                                                                               \
		begin_atomic((void *)(uintptr_t)at, bits / 8, RMW, order_of(order), HERE);                 \
		old = *at;                                                                                 \
		note_counters((u64)at, bits / 8);                                                          \
		*at = (u##bits)(change);                                                                   \
		observe(old);                                                                              \
		return old;                                                                                \
	}
#define BUILTINS(bits)                                                                             \
	u##bits __tsan_atomic##bits##_load(const volatile u##bits *at, int order)                      \
	{                                                                                              \
		begin_atomic((void *)(uintptr_t)at, bits / 8, READ, order_of(order) & TDXC_BOTH, HERE);    \
		observe(*at);                                                                              \
		return *at;                                                                                \
	}                                                                                              \
	void __tsan_atomic##bits##_store(volatile u##bits *at, u##bits v, int order)                   \
	{                                                                                              \
		begin_atomic((void *)(uintptr_t)at, bits / 8, WRITE, order_of(order) & TDXC_BOTH, HERE);   \
		note_counters((u64)at, bits / 8);                                                          \
		*at = v;                                                                                   \
	}                                                                                              \
	BUILTIN_RMW(bits, exchange, v)                                                                 \
	BUILTIN_RMW(bits, fetch_add, old + v)                                                          \
	BUILTIN_RMW(bits, fetch_sub, old - v)                                                          \
	BUILTIN_RMW(bits, fetch_and, old & v)                                                          \
	BUILTIN_RMW(bits, fetch_or, old | v)                                                           \
	BUILTIN_RMW(bits, fetch_xor, old ^ v)                                                          \
	BUILTIN_RMW(bits, fetch_nand, ~(old & v))                                                      \
	u##bits __tsan_atomic##bits##_compare_exchange_val(volatile u##bits *at, u##bits expected,     \
							   u##bits v, int order, int failed)               \
	{                                                                                              \
		u##bits old;                                                                               \
		(void)failed;                                                                              \
		begin_atomic((void *)(uintptr_t)at, bits / 8, RMW, TDXC_RELAXED, HERE);                    \
		old = *at;                                                                                 \
		if (old == expected) {                                                                     \
			ordered((u64)at, RMW, order_of(order));                                                \
			note_counters((u64)at, bits / 8);                                                      \
			*at = v;                                                                               \
		}                                                                                          \
		observe(old);                                                                              \
		return old;                                                                                \
	}                                                                                              \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile u##bits *at, u##bits *expected,     \
							  u##bits v, int order, int failed)                \
	{                                                                                              \
		u##bits old = __tsan_atomic##bits##_compare_exchange_val(at, *expected, v, order, failed); \
		int same = old == *expected;                                                               \
		*expected = old;                                                                           \
		return same;                                                                               \
	}                                                                                              \
	int __tsan_atomic##bits##_compare_exchange_weak(volatile u##bits *at, u##bits *expected,       \
							u##bits v, int order, int failed)                  \
	{                                                                                              \
		return __tsan_atomic##bits##_compare_exchange_strong(at, expected, v, order, failed);      \
	}
BUILTINS(8) BUILTINS(16) BUILTINS(32) BUILTINS(64)

void __tsan_atomic_thread_fence(int order) { tdxc_fence(order_of(order)); }
void __tsan_atomic_signal_fence(int order) { (void)order; }
