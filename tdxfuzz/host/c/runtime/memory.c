/* SPDX-License-Identifier: MIT */
/*
 * The memory that a layer's code sees: the data of its file, and an arena at a fixed address with
 * struct pages, pages and heap. It is put back, hashed and exchanged by pages that were written.
 */
#include <string.h>

#define ARENA_SIZE (64ull << 20)
#define RULES_SIZE (ARENA_SIZE / 8)	/* behind the arena: how many of each 8 bytes may be touched */
#define HEAP (TDXC_ARENA + (32ull << 20))
#define HEAP_END (TDXC_ARENA + ARENA_SIZE)
#define IMAGES 1024
#define COUNTERS 64
#define CLASSES 24

/* At the start of the arena, so that it is put back and hashed with the rest. */
struct meta {
	u64 heap;			/* up to where it was ever used */
	u64 freed[THREADS][CLASSES];	/* blocks given back, by size; the first word leads on */
	u64 counters, counter[COUNTERS];	/* atomics whose every change Python is told */
	u8 owned[TDXC_PFNS];		/* pages that are the layer's */
};
#define META ((struct meta *)TDXC_ARENA)

struct region {
	char *low, *high, *clean;	/* clean: as it was loaded; NULL: zeroes */
	u8 *dirty;			/* by page */
	u32 *written, writes;		/* the dirty pages */
};

static struct image {
	u64 low, high;			/* all of the file, code included */
	struct region data;
	u64 shared;			/* words that its CPUs were seen to share, see race.c */
	u64 pieces;			/* words that have one, see pieces.c */
	int plain_steps;		/* its plain accesses are steps, see access.c */
} images[IMAGES], *image = images;
static int image_count;

/* What is remembered of a word over all runs: each file has its own. */
#define OF_IMAGE ((u64)(image - images) << 48)

static struct region arena;
static u64 runtime_low, runtime_high;

static inline u64 plain(u64 value)
{
	if (value - image->low < image->high - image->low)
		return value - image->low + 0xabcd000000000000ull;
	if (value - runtime_low < runtime_high - runtime_low)
		return value - runtime_low + 0xabce000000000000ull;
	return value;
}

static int is_code(u64 pc)
{
	return pc - image->low < image->high - image->low;
}

static struct region *region_of(const void *at)
{
	if ((u64)at - TDXC_ARENA < ARENA_SIZE + RULES_SIZE)
		return &arena;
	return (char *)at >= image->data.low && (char *)at < image->data.high ? &image->data : NULL;
}

/* Bytes are about to be written, or were. */
static inline void mark(const void *at, u64 size)
{
	struct region *r = region_of(at);

	if (!r || !size)
		return;
	for (u64 i = (u64)((char *)at - r->low) / PAGE; i <= ((u64)((char *)at - r->low) + size - 1) / PAGE;
	     i++)
		if (!r->dirty[i]) {
			r->dirty[i] = 1;
			r->written[r->writes++] = (u32)i;
		}
}

/* In the heap. */
static inline u8 *rule_of(u64 at)
{
	return (u8 *)(TDXC_ARENA + ARENA_SIZE + (at - TDXC_ARENA) / 8);
}

/* So many bytes from an address on (a multiple of 8) may be touched from now on, or none. */
static void allow(u64 at, u64 size, int yes)
{
	mark(rule_of(at), (size + 7) / 8);
	memset(rule_of(at), yes ? 8 : 0, size / 8);
	if (size % 8)
		*rule_of(at + size) = yes ? size % 8 : 0;
}

static inline int in_heap(u64 at, u64 size)
{
	for (u64 word = at & ~7ull; word < at + size; word += 8) {
		u64 end = at + size - word;

		if (*rule_of(word) < (end > 8 ? 8 : end))
			return 0;
	}
	return 1;
}

#define CACHES (TDXC_ARENA + 0x8000)	/* of pages, one for each context: see access.c */
#define CACHE_ROOM 64
#define STRUCT_PAGE 64

static inline int may_touch(u64 at, u64 size)
{
	if (at >= HEAP)
		return in_heap(at, size);
	if (at - TDXC_MEM_MAP < TDXC_PFNS * STRUCT_PAGE)
		return at + size <= TDXC_MEM_MAP + TDXC_PFNS * STRUCT_PAGE;
	if (at - TDXC_DIRECT_MAP < TDXC_PFNS * PAGE)
		return META->owned[(at - TDXC_DIRECT_MAP) / PAGE] &&
		       META->owned[(at + size - 1 - TDXC_DIRECT_MAP) / PAGE];
	return at - CACHES < CONTEXTS * CACHE_ROOM;
}

/* ---- the heap: blocks of powers of two, with 16 bytes before each that nobody may touch ---- */

struct block {
	u64 size;
	u32 class, in_use;
};

static int class_of(u64 size)
{
	int class = 5;

	while ((1ull << class) < size)
		class++;
	return class;
}

/* NULL: the heap is used up. */
static void *take(u64 size, u64 align)
{
	int class = class_of(size ? size : 1);
	u64 at;
	struct block *block;

	if (class >= CLASSES || align > PAGE)
		return NULL;
	if (align > 16 && class < 12)
		class = 12;	/* a page, which is aligned as a page is */
	at = META->freed[S.thread][class];
	mark(META, sizeof(*META));
	if (at) {
		META->freed[S.thread][class] = *(u64 *)at;
	} else {
		u64 room = 1ull << class;

		at = (META->heap ? META->heap : HEAP) + sizeof(*block);
		at = class >= 12 ? (at + PAGE - 1) & ~(PAGE - 1) : (at + 15) & ~15ull;
		if (at + room + 16 > HEAP_END)
			return NULL;
		META->heap = at + room + 16;
	}
	block = (struct block *)at - 1;
	mark(block, sizeof(*block) + size);
	*block = (struct block){ size, (u32)class, 1 };
	memset((void *)at, 0, size);
	allow(at, size, 1);
	return (void *)at;
}

/* Whether it was a block in use. */
static int give_back(u64 at)
{
	struct block *block = (struct block *)at - 1;

	if (at - HEAP >= HEAP_END - HEAP || at % 16 || !block->in_use || block->class >= CLASSES ||
	    !in_heap(at, block->size ? 1 : 0))
		return 0;
	mark(block, sizeof(*block) + 8 + block->size);
	mark(META, sizeof(*META));
	memset((void *)at, 0, block->size);
	allow(at, block->size, 0);
	block->in_use = 0;
	*(u64 *)at = META->freed[S.thread][block->class];
	META->freed[S.thread][block->class] = at;
	return 1;
}

/* ---- put back, hashed, exchanged ---- */

#define LOADED 2	/* a dirty page that is already as it shall be */

/* All pages that were written, but for those that were just loaded. */
static void put_back(struct region *r)
{
	u32 kept = 0;

	for (u32 k = 0; k < r->writes; k++) {
		u32 i = r->written[k];

		if (r->dirty[i] == LOADED) {
			r->dirty[i] = 1;
			r->written[kept++] = i;
			continue;
		}
		if (r->clean)
			memcpy(r->low + i * PAGE, r->clean + i * PAGE, PAGE);
		else
			memset(r->low + i * PAGE, 0, PAGE);
		r->dirty[i] = 0;
	}
	r->writes = kept;
}

static void forget_accesses(void);

static int cpus;

/* As the file was loaded: nothing allocated. */
void tdxc_reset(int which)
{
	cpus = THREADS;
	put_back(&image->data);
	put_back(&arena);
	image = &images[which];
	forget_accesses();
	listen();
}

static u64 save(struct region *r, u64 tag, char *to)
{
	u64 used = 0;

	for (u32 k = 0; k < r->writes; k++, used += 8 + PAGE)
		if (to) {
			u64 head = tag << 32 | r->written[k];

			memcpy(to + used, &head, 8);
			memcpy(to + used + 8, r->low + r->written[k] * PAGE, PAGE);
		}
	return used;
}

/* The pages that were written; NULL: only how many bytes that takes. */
u64 tdxc_save(char *to)
{
	u64 used = save(&arena, 0, to);

	return used + save(&image->data, 1, to ? to + used : NULL);
}

/* What tdxc_save() gave. */
void tdxc_load(int which, const char *from, u64 size)
{
	if (image != &images[which])
		put_back(&image->data);
	image = &images[which];
	for (u64 at = 0; at < size; at += 8 + PAGE) {
		u64 head;
		struct region *r;

		memcpy(&head, from + at, 8);
		r = head >> 32 ? &image->data : &arena;
		head &= 0xffffffff;
		memcpy(r->low + head * PAGE, from + at + 8, PAGE);
		if (!r->dirty[head])
			r->written[r->writes++] = (u32)head;
		r->dirty[head] = LOADED;
	}
	put_back(&arena);
	put_back(&image->data);
	forget_accesses();
	listen();
}

static u64 hash_of(const struct region *r, u64 tag)
{
	u64 sum = 0;

	for (u32 k = 0; k < r->writes; k++) {
		u64 i = r->written[k];
		const u64 *now = (const u64 *)(r->low + i * PAGE);
		const u64 *was = r->clean ? (const u64 *)(r->clean + i * PAGE) : NULL;

		if (was && !memcmp(now, was, PAGE))
			continue;
		for (u64 word = 0; word < PAGE / 8; word++)
			if (now[word] != (was ? was[word] : 0))
				sum += mix(mix(tag, i * (PAGE / 8) + word), plain(now[word]));
	}
	return sum;
}

/*
 * What a stack holds follows from what its context has seen, but for words that others have touched:
 * these are part of the shared state until the call has returned.
 */
#define LENT 256
static u64 lent[LENT];
static u32 lents;

static int is_lent(u64 word)
{
	for (u32 k = 0; k < lents; k++)
		if (lent[k] == word)
			return 1;
	return 0;
}

static void note_owner(u64 word, int context);

static void lend(u64 at, u64 size, const void *pc)
{
	for (u64 word = at & ~7ull; word < at + size; word += 8) {
		u32 k = 0;

		while (k < lents && lent[k] != word)
			k++;
		if (k == LENT)
			request(TOO_MUCH, 0, 0, 0, 0, pc);
		if (k < lents)
			continue;
		lent[lents++] = word;
		note_owner(word, stack_of((void *)word));
	}
}

static void take_back(int context)
{
	u32 kept = 0;

	for (u32 k = 0; k < lents; k++)
		if (stack_of((void *)lent[k]) != context)
			lent[kept++] = lent[k];
	lents = kept;
}

/* A number for all that the memory holds. */
u64 tdxc_hash(void)
{
	u64 sum = mix(hash_of(&arena, 1), hash_of(&image->data, 2));

	for (u32 k = 0; k < lents; k++)
		sum += mix(lent[k], plain(*(u64 *)lent[k]));
	return sum;
}

static int make_region(struct region *r, char *low, u64 size, int keep)
{
	u64 pages = size / PAGE;

	*r = (struct region){ .low = low, .high = low + size };
	r->dirty = mmap(NULL, pages * 5 + 8, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->dirty == MAP_FAILED)
		return 0;
	r->written = (u32 *)(r->dirty + ((pages + 3) & ~3ull));
	if (keep) {
		r->clean = malloc(size);
		if (!r->clean)
			return 0;
		memcpy(r->clean, low, size);
	}
	return 1;
}

/* A file was loaded: where it lies, and its data, whole pages. Its number, or -1. */
int tdxc_adopt(u64 low, u64 high, u64 data, u64 data_size, int plain_steps)
{
	struct image *new = &images[image_count];

	if (image_count == IMAGES || !make_region(&new->data, (char *)data, data_size, 1))
		return -1;
	new->low = low;
	new->high = high;
	new->plain_steps = plain_steps;
	return image_count++;
}
