/* SPDX-License-Identifier: MIT */
/* What the header shim calls: locks, pages, heap, SEAMCALLs, messages. */
#include <stdarg.h>
#include <stdio.h>

static int is_read(int how) { return (how & 3) == TDXC_READ; }

/* A lock lies in memory that has to be there. */
static inline void look_for_lock(const void *lock, int writes, const void *pc)
{
	u64 at = (u64)lock;

	if (touching_is_wrong(at, sizeof(int), pc) || at % sizeof(int))
		request(BAD_ACCESS, at, sizeof(int), (u64)writes, 0, pc);
}

/* Who frees the memory has to come behind all that use the lock. */
static inline void touch_lock(const void *lock, int writes, const void *pc)
{
	look_for_lock(lock, writes, pc);
	note_access((u64)lock, sizeof(int), writes ? MARKED_WRITE : MARKED_READ, pc);
}

int tdxc_lock(void *lock, int how)
{
	int taken;

	touch_lock(lock, 1, HERE);
	taken = (int)request(LOCK, (u64)lock, (u64)how, 0, 0, HERE);
	look_for_lock(lock, 1, HERE);	/* somebody may have freed it meanwhile */
	if (how & TDXC_TRY)
		observe((u64)taken);
	if (taken) {
		acquire((u64)lock);
		if (!is_read(how))
			acquire((u64)lock | READERS);
	}
	return taken;
}

void tdxc_unlock(void *lock, int how)
{
	touch_lock(lock, 1, HERE);
	release(is_read(how) ? (u64)lock | READERS : (u64)lock);
	request(UNLOCK, (u64)lock, (u64)how, 0, 0, HERE);
}

int tdxc_is_locked(const void *lock, int how, int contended)
{
	int is;

	touch_lock(lock, 0, HERE);
	is = (int)request(LOCKED, (u64)lock, (u64)how, (u64)contended, 0, HERE);
	observe((u64)is);
	return is;
}

int tdxc_is_held(const void *lock, int how)
{
	touch_lock(lock, 0, HERE);
	return (int)request(HELD, (u64)lock, (u64)how, 0, 0, HERE);
}

void tdxc_assert_held(const void *lock, int how)
{
	touch_lock(lock, 0, HERE);
	if (!request(HELD, (u64)lock, (u64)how, 0, 0, HERE))
		request(NOT_HELD, (u64)lock, 0, 0, 0, HERE);
}

int tdxc_interrupts(int off) { return (int)request(INTERRUPTS, (u64)off, 0, 0, 0, HERE); }
void tdxc_softirqs(int change) { request(SOFTIRQS, (u64)(s64)change, 0, 0, 0, HERE); }
int tdxc_is_off(int what) { return (int)request(IS_OFF, (u64)what, 0, 0, 0, HERE); }

void tdxc_cannot_sleep(int change, const char *why)
{
	request(CANNOT_SLEEP, (u64)(s64)change, (u64)why, 0, 0, HERE);
}

void tdxc_stays(const char *what) { request(STAYS, (u64)what, 0, 0, 0, HERE); }
void tdxc_relax(void) { request(RELAX, 0, 0, 0, 0, HERE); }
void tdxc_might_sleep(const char *what) { request(MAY_SLEEP, (u64)what, 0, 0, 0, HERE); }
int tdxc_cpu(void) { return (int)S.thread; }
int tdxc_cpus(void) { return cpus; }

/* What was done before an item is queued is in its past, and the item in that of who waits for it. */
int tdxc_work(int op, void *work, void *function, void *queue)
{
	int result;

	if (op == TDXC_WORK_QUEUE)
		release((u64)work);
	result = (int)request(WORK, (u64)op, (u64)work, (u64)function, (u64)queue, HERE);
	if (op == TDXC_WORK_FLUSH_QUEUE)
		acquire((u64)queue);
	else if (op == TDXC_WORK_FLUSH || op == TDXC_WORK_CANCEL_SYNC)
		acquire((u64)work);
	observe((u64)result);
	return result;
}

#define TOO_MANY_CALLBACKS \
	"one call leaves more than 64 callbacks of RCU to be done"

void tdxc_after(void (*function)(void *, void *), void *a, void *b)
{
	struct after *next = &after[S.context][afters[S.context]];

	if (afters[S.context] == AFTERS)
		request(TOO_MUCH, (u64)TOO_MANY_CALLBACKS, 0, 0, 0, HERE);
	afters[S.context]++;
	*next = (struct after){ function, a, b };
}

void tdxc_do_after(void)
{
	int me = (int)S.context;

	/* Others may be left to be done meanwhile. */
	for (int i = 0; i < afters[me]; i++)
		after[me][i].function(after[me][i].a, after[me][i].b);
	afters[me] = 0;
}

/* ---- memory ---- */

#define NOT_ON_A_LIST { (struct list *)0x100, (struct list *)0x122 }	/* as list_del() leaves it */

static inline u64 page_at(u64 pfn) { return TDXC_MEM_MAP + (pfn - TDXC_FIRST_PFN) * STRUCT_PAGE; }
static inline struct list *lru_of(u64 pfn) { return (struct list *)(page_at(pfn) + LRU); }
static inline u64 bytes_at(u64 pfn) { return TDXC_DIRECT_MAP + (pfn - TDXC_FIRST_PFN) * PAGE; }
#define PAGE_TOKEN(pfn) ((pfn) << 12 | 8)

/* A page is the layer's from now on, or no longer: what it holds, and its struct page, are as new. */
static void own_page(u64 pfn, int yes)
{
	u8 *owned = &META->owned[pfn - TDXC_FIRST_PFN];

	if (page_touched[pfn - TDXC_FIRST_PFN])
		forget_words(page_at(pfn), STRUCT_PAGE);
	mark((void *)page_at(pfn), STRUCT_PAGE);
	memset((void *)page_at(pfn), 0, STRUCT_PAGE);
	*lru_of(pfn) = (struct list)NOT_ON_A_LIST;
	if (arena.dirty[(bytes_at(pfn) - TDXC_ARENA) / PAGE]) {
		forget_words(bytes_at(pfn), PAGE);
		memset((void *)bytes_at(pfn), 0, PAGE);
	}
	mark(owned, 1);
	*owned = (u8)yes;
}

struct page *tdxc_alloc_page(int may_sleep, int zero)
{
	u64 pfn = (u64)request(ALLOC_PAGE, (u64)may_sleep, (u64)zero, 0, 0, HERE);

	observe(pfn);
	if (!pfn)
		return NULL;
	acquire(PAGE_TOKEN(pfn));
	own_page(pfn, 1);
	return (struct page *)page_at(pfn);
}

void tdxc_free_page(struct page *page)
{
	u64 pfn = ((u64)page - TDXC_MEM_MAP) / STRUCT_PAGE + TDXC_FIRST_PFN;

	if (pfn - TDXC_FIRST_PFN >= TDXC_PFNS || page_at(pfn) != (u64)page)
		request(BAD_FREE, (u64)page, (u64)"__free_page", 0, 0, HERE);
	if (page_touched[pfn - TDXC_FIRST_PFN])
		free_words(page_at(pfn), STRUCT_PAGE, HERE);
	if (arena.dirty[(bytes_at(pfn) - TDXC_ARENA) / PAGE])
		free_words(bytes_at(pfn), PAGE, HERE);
	release(PAGE_TOKEN(pfn));
	own_page(pfn, 0);
	request(FREE_PAGE, pfn, 0, 0, 0, HERE);
}

void *tdxc_alloc(unsigned long size, unsigned long align, int may_sleep, const char *what)
{
	void *object;

	if (may_sleep)
		request(MAY_SLEEP, (u64)what, 0, 0, 0, HERE);
	object = take(size, align);
	if (!object)
		request(NO_MEMORY, size, (u64)what, 0, 0, HERE);
	forget_words((u64)object, size);
	observe((u64)object);
	return object;
}

void tdxc_free(const void *object, const char *what)
{
	u64 at = (u64)object;

	if (!object)
		return;
	if (at - HEAP < HEAP_END - HEAP && at % 16 == 0)
		free_words(at, ((struct block *)at - 1)->size, HERE);
	if (!give_back((u64)object))
		request(BAD_FREE, (u64)object, (u64)what, 0, 0, HERE);
}

unsigned long tdxc_size(const void *object, const char *what)
{
	u64 at = (u64)object;

	if (at - HEAP >= HEAP_END - HEAP || at % 16 || !((struct block *)at - 1)->in_use)
		request(BAD_FREE, at, (u64)what, 0, 0, HERE);
	return ((struct block *)at - 1)->size;
}

void tdxc_reset_page(u64 pfn) { later(RESET_PAGE, pfn, 0); }

u64 tdxc_seamcall(u64 leaf, void *regs, int answer)
{
	u64 status;

	access_bytes(regs, sizeof(S.regs), 0, 0, HERE);
	memcpy(S.regs, regs, sizeof(S.regs));
	status = (u64)request(SEAMCALL, leaf, (u64)answer, 0, 0, HERE);
	observe(status);
	if (answer) {
		access_bytes(regs, sizeof(S.regs), 1, 0, HERE);
		memcpy(regs, S.regs, sizeof(S.regs));
	}
	return status;
}

/* ---- xarray: entries by index, in the order of their indices ---- */

struct xarray { void *table; u64 room, used; };
struct xa_entry { u64 index; void *entry; };

static u64 xa_place(const struct xarray *xa, u64 index)
{
	const struct xa_entry *table = xa->table;
	u64 i = 0;

	while (i < xa->used && table[i].index < index)
		i++;
	return i;
}

static void xa_put(struct xarray *xa, u64 i, u64 index, void *entry)
{
	struct xa_entry *table = xa->table;
	int there = i < xa->used && table[i].index == index;

	if (!there && entry && xa->used == xa->room) {
		u64 room = xa->room ? 2 * xa->room : 8;
		struct xa_entry *more = take(room * sizeof(*more), 8);

		if (!more)
			request(NO_MEMORY, room * sizeof(*more), (u64)"xa_store()", 0, 0, HERE);
		if (table) {
			memcpy(more, table, xa->used * sizeof(*more));
			give_back((u64)table);
		}
		xa->table = table = more;
		xa->room = room;
	}
	if (!table)
		return;
	mark(table, xa->room * sizeof(*table));
	if (there && !entry) {
		xa->used--;
		memmove(table + i, table + i + 1, (xa->used - i) * sizeof(*table));
		table[xa->used] = (struct xa_entry){};
	} else if (entry) {
		if (!there)
			memmove(table + i + 1, table + i, (xa->used++ - i) * sizeof(*table));
		table[i] = (struct xa_entry){ index, entry };
	}
}

void *tdxc_xarray(struct xarray *xa, unsigned long index, int op, const void *old, void *entry)
{
	int access = op == TDXC_XA_LOAD ? READ : RMW;
	void *now = NULL;
	u64 i;

	begin_atomic(&xa->table, 8, access, op == TDXC_XA_LOAD ? TDXC_ACQUIRE : TDXC_BOTH, HERE);
	i = xa_place(xa, index);
	if (i < xa->used && ((struct xa_entry *)xa->table)[i].index == index)
		now = ((struct xa_entry *)xa->table)[i].entry;
	if (op == TDXC_XA_STORE || (op == TDXC_XA_CMPXCHG && now == old)) {
		mark(xa, sizeof(*xa));
		xa_put(xa, i, index, entry);
	}
	observe((u64)now);
	return now;
}

/* ---- messages ---- */

static char text[512];
static int warns_with_text;

int tdxc_print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	request(PRINT, (u64)text, 0, 0, 0, HERE);
	return 0;
}

void tdxc_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	warns_with_text = 1;
}

int tdxc_format(char *buffer, unsigned long size, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (n < 0 || !size)
		return n;
	access_bytes(buffer, (u64)n < size ? (u64)n + 1 : size, 1, 0, HERE);
	va_start(arguments, format);
	vsnprintf(buffer, size, format, arguments);
	va_end(arguments);
	return n;
}

void tdxc_warn(const char *what, const char *file, int line, const char *function)
{
	const char *told = warns_with_text ? text : what;

	/* Not behind the request: a run that ends there never comes back. */
	warns_with_text = 0;
	request(WARN, (u64)told, (u64)file, (u64)line, (u64)function, HERE);
}

void tdxc_bug(const char *what, const char *file, int line)
{
	request(BUG, (u64)what, (u64)file, (u64)line, 0, HERE);
	__builtin_unreachable();
}

/* ---- for the harness ---- */

/* Python wants to hear of each change of an atomic_t. */
int tdxc_count(u64 at)
{
	u64 i;

	if (META->counters == COUNTERS || touching_is_wrong(at, 4, NULL))
		return 0;
	mark(META, sizeof(*META));
	/* In order: which was asked for first is no part of a state. */
	for (i = META->counters++; i && META->counter[i - 1] > at; i--)
		META->counter[i] = META->counter[i - 1];
	META->counter[i] = at;
	return 1;
}

int tdxc_peek(const int *at) { return *at; }

void tdxc_poke(int *at, int value)
{
	mark(at, sizeof(*at));
	*at = value;
}

u64 tdxc_fill_cache(int context, const u64 *pfns, int count)
{
	struct cache *cache = own_cache(context);
	struct list *last = &cache->pages;

	mark(cache, sizeof(*cache));
	for (int i = 0; i < count; i++) {
		own_page(pfns[i], 1);
		last->next = lru_of(pfns[i]);
		lru_of(pfns[i])->prev = last;
		last = lru_of(pfns[i]);
	}
	last->next = &cache->pages;
	cache->pages.prev = last;
	cache->count = count;
	forget_words((u64)cache, sizeof(*cache));
	return (u64)cache;
}

/* What is left in it; -1: its list leads elsewhere. */
int tdxc_empty_cache(int context, u64 *pfns, int room)
{
	struct cache *cache = own_cache(context);
	int count = 0;

	for (struct list *entry = cache->pages.next; entry != &cache->pages; count++) {
		u64 offset = (u64)entry - LRU - TDXC_MEM_MAP;

		if (offset >= TDXC_PFNS * STRUCT_PAGE || offset % STRUCT_PAGE || count == room)
			return -1;
		pfns[count] = offset / STRUCT_PAGE + TDXC_FIRST_PFN;
		entry = entry->next;
	}
	for (int i = 0; i < count; i++)
		own_page(pfns[i], 0);
	mark(cache, sizeof(*cache));
	memset(cache, 0, sizeof(*cache));
	return count;
}

/* Once a process: NULL if there is no room where memory has to lie. */
struct state *tdxc_open(u64 low, u64 high)
{
	runtime_low = low;
	runtime_high = high;
	if (!map_stacks() || !map(TDXC_ARENA, ARENA_SIZE + RULES_SIZE) || !make_shadow() ||
	    !make_region(&arena, (char *)TDXC_ARENA, ARENA_SIZE + RULES_SIZE, 0))
		return NULL;
	forget_accesses();
	return &S;
}
