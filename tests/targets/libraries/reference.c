/* SPDX-License-Identifier: MIT */
/*
 * A small TDX module behind tdxfuzz_target.h: boot, PAMT pages, TDs without vCPUs.
 *
 * It is written from the header and from docs/behaviour.md, and agrees with the model exactly.
 * REFERENCE_ERROR in the environment names a deliberate error, for tests that must find it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tdxfuzz_target.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define SIZE_4K		(1ull << 12)
#define SIZE_2M		(1ull << 21)
#define SIZE_1G		(1ull << 30)
#define MAX_PA		52
#define NON_LEAF	(1ull << 63)
#define REMOVAL_HINT	(1ull << 62)

#define SUCCESS				0ull
#define INTERRUPTED_RESUMABLE		0x8000000300000000ull
#define OPERAND_INVALID			0xc000010000000000ull
#define OPERAND_ADDR_RANGE_ERROR	0xc000010100000000ull
#define OPERAND_BUSY			0x8000020000000000ull
#define SYS_BUSY			0x8000020200000000ull
#define PAGE_METADATA_INCORRECT		0xc000030000000000ull
#define PAGE_NOT_FREE			0xc000030300000000ull
#define HPA_RANGE_NOT_FREE		0xc000030400000000ull
#define NO_PAMT_PAGE_PAIR		0xc000030500000000ull
#define PAMT_PAGE_NOT_EMPTY		0xc000030600000000ull
#define MISSING_PAMT_PAGE_PAIR		0x8000030800000000ull
#define TD_ASSOCIATED_PAGES_EXIST	0xc000040000000000ull
#define SYS_INIT_NOT_PENDING		0xc000050000000000ull
#define SYS_LP_INIT_DONE		0xc000050300000000ull
#define SYS_NOT_READY			0xc000050500000000ull
#define SYS_KEY_CONFIG_NOT_PENDING	0xc000050700000000ull
#define SYS_LP_INIT_NOT_PENDING		0xc000050b00000000ull
#define SYS_CONFIG_NOT_PENDING		0xc000050c00000000ull
#define LIFECYCLE_STATE_INCORRECT	0xc000060700000000ull
#define TDCX_NUM_INCORRECT		0xc000061000000000ull
#define TD_KEYS_NOT_CONFIGURED		0x8000081000000000ull
#define KEY_CONFIGURED			0x0000081500000000ull
#define WBCACHE_NOT_COMPLETE		0x8000081700000000ull
#define HKID_NOT_FREE			0xc000082000000000ull
#define NO_HKID_READY_TO_WBCACHE	0x0000082100000000ull
#define WBCACHE_RESUME_ERROR		0xc000082300000000ull
#define TOO_MANY_HKIDS			0xc000082500000000ull
#define INVALID_TDMR			0xc0000a0000000000ull
#define NON_ORDERED_TDMR		0xc0000a0100000000ull
#define TDMR_OUTSIDE_CMRS		0xc0000a0200000000ull
#define TDMR_ALREADY_INITIALIZED	0x00000a0300000000ull
#define INVALID_PAMT			0xc0000a1000000000ull
#define PAMT_OUTSIDE_CMRS		0xc0000a1100000000ull
#define PAMT_OVERLAP			0xc0000a1200000000ull
#define INVALID_RESERVED_IN_TDMR	0xc0000a2000000000ull
#define NON_ORDERED_RESERVED_IN_TDMR	0xc0000a2100000000ull
#define CMR_LIST_INVALID		0xc0000a2200000000ull

/* Operands in the low word of a status. */
enum { RAX = 0, RCX = 1, RDX = 2, R8 = 8, TDR = 128, KOT = 186, WBCACHE = 188 };

/* The host, and deliberate errors. */

static struct tdxt_world world;
static u64 hkid_mask, all_packages;
static const char *deliberate = "";
static char why[128];
static tdxt_hook_fn hook;
static void *hook_context;

static int broken(const char *name)
{
	return !strcmp(deliberate, name);
}

/* Physical memory: pages by address, made when they are first touched. */

struct page {
	u64 hpa;
	struct page *next;
	int is_tdr;
	_Alignas(16) u8 bytes[SIZE_4K];
};

#define BUCKETS 1024
static struct page *pages[BUCKETS];

static struct page *page_at(u64 hpa, int make)
{
	struct page **at = &pages[(hpa >> 12) % BUCKETS];

	for (; *at; at = &(*at)->next)
		if ((*at)->hpa == (hpa & -SIZE_4K))
			return *at;
	if (!make)
		return NULL;
	*at = calloc(1, sizeof(**at));
	if (!*at)
		abort();
	(*at)->hpa = hpa & -SIZE_4K;
	return *at;
}

static void forget_memory(void)
{
	for (int i = 0; i < BUCKETS; i++) {
		while (pages[i]) {
			struct page *next = pages[i]->next;

			free(pages[i]);
			pages[i] = next;
		}
	}
}

/* The module overwrites a page. */
static struct page *clear_page(u64 hpa)
{
	struct page *page = page_at(hpa, 1);

	memset(page->bytes, 0, SIZE_4K);
	page->is_tdr = 0;
	return page;
}

/* Events. */

static void event(u64 lp, int op, int mode, int64_t delta, int kind, u64 index, int done, int ok)
{
	struct tdxt_event it = {
		.lp = lp, .op = (u64)op, .mode = (u64)mode, .delta = delta, .kind = (u64)kind,
		.index = { index }, .done = (u64)done, .ok = (u64)ok,
	};

	if (hook)
		hook(hook_context, &it);
}

struct call;
static u64 lp_of(const struct call *call);
static void die(struct call *call, int64_t id) __attribute__((noreturn));


/*
 * Locks with host priority: bit 0 exclusive, bit 1 host priority, then sharers. Plain ones have no
 * host priority bit, and a mutex is a byte that is 0 or 1.
 */
static int acquire(struct call *call, u16 *word, int mode, int kind, u64 index)
{
	int ok, plain = kind == TDXT_KOT || kind == TDXT_GLOBAL;

	event(lp_of(call), TDXT_ACQUIRE, mode, 0, kind, index, 0, 0);
	if (mode == TDXT_MUTEX) {
		ok = *word == 0;
		*word = 1;
	} else if (mode == TDXT_SHARED) {
		u16 old = *word;

		*word = (u16)(old + (plain ? 2 : 4));
		ok = !(old & 1);
		if (!plain)
			*word = ok ? *word & 0xfffd : *word | 2;
	} else {
		ok = *word == 0 || (!plain && *word == 2);
		if (ok)
			*word = 1;
		else if (!plain)
			*word |= 2;
	}
	event(lp_of(call), TDXT_ACQUIRE, mode, 0, kind, index, 1, ok);
	return ok;
}

static void release(struct call *call, u16 *word, int mode, int kind, u64 index)
{
	int plain = kind == TDXT_KOT || kind == TDXT_GLOBAL;
	u16 old;

	event(lp_of(call), TDXT_RELEASE, mode, 0, kind, index, 0, 0);
	old = *word;
	if (mode == TDXT_MUTEX) {
		*word = 0;
		if (old != 1)
			die(call, 188);
	} else if (mode == TDXT_SHARED) {
		*word = (u16)(old - (plain ? 2 : 4));
		if (old & 1 || old < (plain ? 2 : 4))
			die(call, plain ? 191 : 200);
	} else {
		*word = plain ? 0 : old & 2;
		if (!(old & 1))
			die(call, plain ? 192 : 201);
	}
	event(lp_of(call), TDXT_RELEASE, mode, 0, kind, index, 1, 1);
}

static int promote(struct call *call, u16 *word, int kind, u64 index)
{
	int ok;

	event(lp_of(call), TDXT_PROMOTE, TDXT_EXCLUSIVE, 0, kind, index, 0, 0);
	if (*word & 1 || *word == 0)
		die(call, 203);
	ok = *word == 4 || *word == 6;
	if (ok)
		*word = 1;
	else
		*word |= 2;
	event(lp_of(call), TDXT_PROMOTE, TDXT_EXCLUSIVE, 0, kind, index, 1, ok);
	return ok;
}

static int64_t add(struct call *call, int64_t *count, int64_t n, int kind, u64 index)
{
	int64_t old;

	event(lp_of(call), TDXT_ADD, TDXT_NO_MODE, n, kind, index, 0, 0);
	old = *count;
	*count = old + n;
	event(lp_of(call), TDXT_ADD, TDXT_NO_MODE, n, kind, index, 1, 1);
	return old;
}

/* PAMT. */

enum { NDA = 0, RSVD = 1, PT_TDR = 4, TDCX = 5, PT_PAMT = 15 };

/* A 4KB entry: 16 bytes of a backing page, or of the static array. */
struct entry {
	u16 lock;
	u8 pt;
	u8 unused[5];
	u64 owner;		/* a page number */
};

struct range {
	u16 lock;
	u8 pt;
	u64 hpa, owner, pair[2];
	int64_t count;
	struct entry *fixed;	/* without dynamic PAMT: entries of the static array */
};

#define RANGES 512
struct block {
	u16 lock;
	struct range ranges[RANGES];
};

#define MAX_TDMRS	64
#define MAX_RESERVED	16
#define MAX_BLOCKS	64
struct area {
	u64 base, size;
};
struct tdmr {
	struct area area, reserved[MAX_RESERVED], pamt[3];	/* pamt: by level, from 4KB up */
	u64 initialized;		/* the first address that is not */
	u16 lock;
};
static struct tdmr tdmrs[MAX_TDMRS], new_tdmrs[MAX_TDMRS];
static u64 num_tdmrs;
static struct {
	u64 base;
	struct tdmr *tdmr;
	struct block *block;
} blocks[MAX_BLOCKS];
static int num_blocks, dynamic;

/* PAMT_PAGE_BITMAP, as a list of the pages whose bit is set: there are few. Reserved pages are apart. */
#define MAX_BACKING 4096
static u64 backing[MAX_BACKING];
static int num_backing;

static int backing_index(u64 hpa)
{
	for (int i = 0; i < num_backing; i++)
		if (backing[i] == hpa)
			return i;
	return -1;
}

static int is_reserved(const struct tdmr *tdmr, u64 hpa)
{
	for (int i = 0; i < MAX_RESERVED; i++) {
		u64 base = tdmr->area.base + tdmr->reserved[i].base;

		if (hpa >= base && hpa < base + tdmr->reserved[i].size)
			return 1;
	}
	return 0;
}

struct place {
	struct tdmr *tdmr;
	struct block *block;
};

static int bit_of(const struct place *at, u64 hpa)
{
	return is_reserved(at->tdmr, hpa) || backing_index(hpa) >= 0;
}

static int set_bit(struct call *call, const struct place *at, u64 hpa)
{
	int was_clear;

	event(lp_of(call), TDXT_BIT_SET, TDXT_NO_MODE, 0, TDXT_BITMAP, hpa, 0, 0);
	was_clear = !bit_of(at, hpa);
	if (was_clear) {
		if (num_backing == MAX_BACKING)
			abort();
		backing[num_backing++] = hpa;
	}
	event(lp_of(call), TDXT_BIT_SET, TDXT_NO_MODE, 0, TDXT_BITMAP, hpa, 1, was_clear);
	return was_clear;
}

static void reset_bit(struct call *call, u64 hpa)
{
	int at;

	event(lp_of(call), TDXT_BIT_RESET, TDXT_NO_MODE, 0, TDXT_BITMAP, hpa, 0, 0);
	at = backing_index(hpa);
	if (at >= 0)
		backing[at] = backing[--num_backing];
	event(lp_of(call), TDXT_BIT_RESET, TDXT_NO_MODE, 0, TDXT_BITMAP, hpa, 1, at >= 0);
}

/* 1: the 1GB of an address is covered by a TDMR, and ready. */
static int block_of(u64 hpa, struct place *at)
{
	for (int i = 0; i < num_blocks; i++) {
		if (blocks[i].base >> 30 != hpa >> 30)
			continue;
		if (hpa >= (blocks[i].tdmr->initialized & -SIZE_1G))
			return 0;
		at->tdmr = blocks[i].tdmr;
		at->block = blocks[i].block;
		return 1;
	}
	return 0;
}

static struct range *range_of(const struct place *at, u64 hpa)
{
	struct range *range = &at->block->ranges[hpa >> 21 & (RANGES - 1)];

	range->hpa = hpa & -SIZE_2M;
	return range;
}

static struct entry *entry_of(const struct place *at, struct range *range, u64 hpa)
{
	u64 index = hpa >> 12 & 511;

	if (dynamic) {
		struct page *page = page_at(range->pair[index >> 8], 1);

		return &((struct entry *)page->bytes)[index & 255];
	}
	if (!range->fixed) {
		range->fixed = calloc(512, sizeof(*range->fixed));
		if (!range->fixed)
			abort();
		for (u64 i = 0; i < 512; i++)
			if (is_reserved(at->tdmr, range->hpa + i * SIZE_4K))
				range->fixed[i].pt = RSVD;
	}
	return &range->fixed[index];
}

/* A call: its registers, and what it has to release. */

struct held {
	u16 *word;
	int mode, kind;
	u64 index;
};

#define MAX_HELD 32
struct call {
	u64 lp, version;
	u64 *regs;
	struct held held[MAX_HELD];
	int num_held;
	int64_t fatal;
	void *leave[5];
};

static u64 lp_of(const struct call *call)
{
	return call->lp;
}

static void die(struct call *call, int64_t id)
{
	call->fatal = id;
	__builtin_longjmp(call->leave, 1);
}

static void hold(struct call *call, u16 *word, int mode, int kind, u64 index)
{
	struct held it = { word, mode, kind, index };

	if (call->num_held == MAX_HELD)
		abort();
	call->held[call->num_held++] = it;
}

static void let_go(struct call *call)
{
	struct held *it = &call->held[--call->num_held];

	release(call, it->word, it->mode, it->kind, it->index);
}

static int take(struct call *call, u16 *word, int mode, int kind, u64 index)
{
	if (!acquire(call, word, mode, kind, index))
		return 0;
	hold(call, word, mode, kind, index);
	return 1;
}

/* The walk to an entry: what it ends at. Its locks are held by the call, from HELD on. */
struct walk {
	int level, held;
	struct range *range;	/* NULL at 1GB */
	struct entry *entry;	/* NULL above 4KB */
};

static void unwalk(struct call *call, const struct walk *walk)
{
	while (call->num_held > walk->held)
		let_go(call);
}

/* 1, or 0: busy, and nothing is held. */
static int walk_to(struct call *call, const struct place *at, u64 hpa, int mode, int target,
		   struct walk *walk)
{
	struct range *range;
	u64 hpa_1g = hpa & -SIZE_1G;

	memset(walk, 0, sizeof(*walk));
	walk->held = call->num_held;
	walk->level = 2;
	if (!take(call, &at->block->lock, TDXT_SHARED, TDXT_PAMT_1G, hpa_1g))
		return 0;
	if (target == 2)
		return 1;	/* no leaf here wants it exclusive */
	range = range_of(at, hpa);
	if (!take(call, &range->lock, TDXT_SHARED, TDXT_PAMT_2M, range->hpa)) {
		unwalk(call, walk);
		return 0;
	}
	walk->range = range;
	walk->level = 1;
	if (target == 1 || range->pt != (dynamic ? PT_PAMT : NDA)) {
		if (mode == TDXT_EXCLUSIVE) {
			if (!promote(call, &range->lock, TDXT_PAMT_2M, range->hpa)) {
				unwalk(call, walk);
				return 0;
			}
			call->held[call->num_held - 1].mode = TDXT_EXCLUSIVE;
		}
		return 1;
	}
	walk->entry = entry_of(at, range, hpa);
	walk->level = 0;
	if (!take(call, &walk->entry->lock, mode, TDXT_PAMT_4K, hpa & -SIZE_4K)) {
		unwalk(call, walk);
		return 0;
	}
	return 1;
}

static u8 type_at(const struct walk *walk)
{
	return walk->entry ? walk->entry->pt : walk->range ? walk->range->pt : NDA;
}

static u64 owner_at(const struct walk *walk)
{
	return walk->entry ? walk->entry->owner : walk->range ? walk->range->owner : 0;
}

static int is_bad_hpa(u64 hpa, u64 size)
{
	return hpa & (size - 1) || hpa & hkid_mask || hpa >> MAX_PA;
}

static int is_bad_shared_hpa(u64 hpa, u64 size)
{
	u64 hkid = (hpa & hkid_mask) >> world.hkid_low_bit;

	return hpa & (size - 1) || hpa >> MAX_PA || hkid >= world.private_hkid_min;
}

/* A page operand: checked, locked, and of the type that is expected. A status. */
static u64 lock_page(struct call *call, u64 hpa, u64 operand, int mode, u8 expected,
		     struct walk *walk)
{
	struct place at;

	if (is_bad_hpa(hpa, SIZE_4K))
		return OPERAND_INVALID | operand;
	if (!block_of(hpa, &at))
		return OPERAND_ADDR_RANGE_ERROR | operand;
	if (!walk_to(call, &at, hpa, mode, 0, walk))
		return OPERAND_BUSY | operand;
	if (walk->level) {
		int unpaired = dynamic && walk->range->pt == NDA && expected == NDA;

		unwalk(call, walk);
		return (unpaired ? MISSING_PAMT_PAGE_PAIR : PAGE_METADATA_INCORRECT) | operand;
	}
	if (walk->entry->pt != expected || (dynamic && expected == NDA && bit_of(&at, hpa))) {
		unwalk(call, walk);
		return PAGE_METADATA_INCORRECT | operand;
	}
	return SUCCESS;
}

static void count_up(struct call *call, const struct walk *walk)
{
	if (dynamic && walk->range->pt == PT_PAMT &&
	    add(call, &walk->range->count, 1, TDXT_PAGE_COUNT, walk->range->hpa) == 512)
		die(call, 351);
}

static u64 count_down(struct call *call, const struct walk *walk)
{
	int64_t before;

	if (!dynamic || walk->range->pt != PT_PAMT)
		return 0;
	before = add(call, &walk->range->count, -1, TDXT_PAGE_COUNT, walk->range->hpa);
	if (before == 0)
		die(call, 170);
	return before == 1 ? REMOVAL_HINT : 0;
}

/* Keys and TDs. */

enum kot_state { FREE, RESERVED, ASSIGNED, FLUSHED };
#define MAX_HKIDS 2048
static struct {
	enum kot_state state;
	u64 packages;		/* that have to write back their caches */
} kot[MAX_HKIDS];
static u16 kot_lock;
static struct {
	u16 lock;
	u64 next;
	u8 flushed[MAX_HKIDS];
} writeback[TDXT_MAX_LPS];

enum lifecycle { HKID_ASSIGNED, KEYS_CONFIGURED, BLOCKED, TEARDOWN };
#define MAX_TDCX 9
struct td {
	u64 hkid, lifecycle, packages, num_tdcx;
	int64_t children;
};

static int has_hkid(u64 hkid)
{
	return hkid >= world.private_hkid_min && hkid <= world.private_hkid_max;
}

static struct td *td_at(u64 hpa)
{
	return (struct td *)page_at(hpa, 1)->bytes;
}

static u64 lock_tdr(struct call *call, u64 hpa, u64 operand, struct td **td)
{
	struct walk walk;
	u64 status = lock_page(call, hpa, operand, TDXT_EXCLUSIVE, PT_TDR, &walk);

	if (!status)
		*td = td_at(hpa);
	return status;
}

/* How far the module is. */

enum state { INIT_PENDING, INIT_DONE, CONFIG_DONE, READY };
static enum state state;
static u16 global_lock;
static int64_t num_init_lps;
static u8 is_init[TDXT_MAX_LPS];
static u64 configured;		/* packages with the global key */
static u8 interrupted[TDXT_MAX_LPS];

static u64 package_of(const struct call *call)
{
	return is_init[call->lp] ? world.package[call->lp] : 0;
}

static u64 end_of(struct area area)
{
	return area.base + area.size;
}

static int overlap(struct area one, struct area other)
{
	return one.base < end_of(other) && other.base < end_of(one);
}

static int is_usable(struct area area)
{
	u64 last = end_of(area) - 1;

	return !(area.base >> MAX_PA || area.base & hkid_mask || last >> MAX_PA || last & hkid_mask);
}

static int is_in_cmr(struct area area)
{
	u64 start = 0, end = 0;

	for (u64 i = 0; i < world.cmrs; i++) {
		if (!world.cmr[i].size)
			continue;
		if (world.cmr[i].base != end)
			start = world.cmr[i].base;
		end = world.cmr[i].base + world.cmr[i].size;
		if (start <= area.base && end_of(area) <= end)
			return 1;
	}
	return 0;
}

static int are_cmrs_valid(void)
{
	u64 end = 0;

	for (u64 i = 0; i < world.cmrs; i++) {
		struct area cmr = { world.cmr[i].base, world.cmr[i].size };

		if (!cmr.size)
			continue;
		if (!is_usable(cmr) || (cmr.base | cmr.size) & (SIZE_4K - 1) || cmr.base < end)
			return 0;
		end = end_of(cmr);
	}
	return 1;
}

static u64 sys_init(struct call *call)
{
	u64 rcx = call->regs[TDXT_RCX], log = call->regs[TDXT_R8];
	const u64 no_log = ((1ull << 46) - 1) << 6;

	call->regs[TDXT_RCX] = call->regs[TDXT_RDX] = call->regs[TDXT_R8] = 0;
	call->regs[TDXT_R9] = call->regs[TDXT_R10] = 0;
	if (call->version > 1)
		return OPERAND_INVALID | RAX;
	if (!take(call, &global_lock, TDXT_EXCLUSIVE, TDXT_GLOBAL, 0))
		return SYS_BUSY;
	if (rcx)
		return OPERAND_INVALID | RCX;
	if (state != INIT_PENDING)
		return SYS_INIT_NOT_PENDING;
	if (world.private_hkid_max >= MAX_HKIDS)
		return TOO_MANY_HKIDS | MAX_HKIDS;
	if (!are_cmrs_valid())
		return CMR_LIST_INVALID;
	if (call->version == 1) {
		if (log & 0x3f || log >> 52 & 3)
			return OPERAND_INVALID | R8;
		if ((log & no_log) != no_log && is_bad_shared_hpa(log & no_log, 64))
			return OPERAND_INVALID | R8;
		if ((log >> 54 & 3) == 1 && log >> 56 < 16)
			return OPERAND_INVALID | R8;
	}
	state = INIT_DONE;
	return SUCCESS;
}

static u64 sys_lp_init(struct call *call)
{
	call->regs[TDXT_RCX] = call->regs[TDXT_RDX] = call->regs[TDXT_R8] = 0;
	if (!take(call, &global_lock, TDXT_SHARED, TDXT_GLOBAL, 0))
		return SYS_BUSY;
	if (state != INIT_DONE)
		return SYS_LP_INIT_NOT_PENDING;
	if (is_init[call->lp])
		return SYS_LP_INIT_DONE;
	is_init[call->lp] = 1;
	add(call, &num_init_lps, 1, TDXT_NUM_INIT_LPS, 0);
	return SUCCESS;
}

static u64 info(u64 first, u64 second, u64 third)
{
	return first | second << 8 | third << 16;
}

static u64 pamt_size(u64 size, u64 level)
{
	u64 count = size / (SIZE_4K << 9 * level);

	return dynamic && !level ? count / 8 : count * 16;
}

/* A PAMT region of one TDMR lies in memory of another one (or of its own) that is not reserved. */
static u64 check_outside(u64 i, u64 j)
{
	for (u64 level = 0; level < 3; level++) {
		struct area region = new_tdmrs[i].pamt[level], left;

		left.base = new_tdmrs[j].area.base;
		for (int k = 0; k <= MAX_RESERVED; k++) {
			struct area reserved = { end_of(new_tdmrs[j].area), 0 };

			if (k < MAX_RESERVED) {
				if (!new_tdmrs[j].reserved[k].size)
					continue;
				reserved = new_tdmrs[j].reserved[k];
				reserved.base += new_tdmrs[j].area.base;
			}
			left.size = reserved.base - left.base;
			if (reserved.base > left.base && overlap(region, left))
				return PAMT_OVERLAP | info(i, level, j);
			left.base = end_of(reserved);
		}
	}
	return SUCCESS;
}

static u64 check_reserved(const struct tdmr *it, u64 i)
{
	for (u64 j = 0; j < MAX_RESERVED; j++) {
		struct area area = it->reserved[j];

		if (!area.size) {
			if (j + 1 < MAX_RESERVED && it->reserved[j + 1].size)
				return NON_ORDERED_RESERVED_IN_TDMR | info(i, j, 0);
			continue;
		}
		if (end_of(area) < area.base)
			return INVALID_RESERVED_IN_TDMR | info(i, j, 0);
		if (j && area.base < end_of(it->reserved[j - 1]))
			return NON_ORDERED_RESERVED_IN_TDMR | info(i, j, 0);
		if ((area.base | area.size) & (SIZE_4K - 1) || end_of(area) > it->area.size)
			return INVALID_RESERVED_IN_TDMR | info(i, j, 0);
	}
	return SUCCESS;
}

static u64 check_pamt(const struct tdmr *it, u64 i)
{
	u64 status = SUCCESS;

	for (u64 level = 3; level-- > 0;) {
		struct area region = it->pamt[level];

		if (!is_usable(region) || (region.base | region.size) & (SIZE_4K - 1) ||
		    region.size < pamt_size(it->area.size, level))
			return INVALID_PAMT | info(i, level, 0);
	}
	for (u64 j = 0; j < i; j++)
		for (u64 level = 0; level < 3; level++)
			for (u64 other = 0; other < 3; other++)
				if (overlap(it->pamt[level], new_tdmrs[j].pamt[other]))
					return PAMT_OVERLAP | info(i, level, j);
	for (u64 level = 0; level < 3; level++)
		for (u64 above = level + 1; above < 3; above++)
			if (overlap(it->pamt[level], it->pamt[above]))
				return PAMT_OVERLAP | info(i, level, i);
	for (u64 j = 0; j <= i && !status; j++) {
		status = check_outside(i, j);
		if (!status && j < i)
			status = check_outside(j, i);
	}
	for (u64 level = 3; level-- > 0 && !status;)
		if (!is_in_cmr(it->pamt[level]))
			status = PAMT_OUTSIDE_CMRS | info(i, level, 0);
	return status;
}

static u64 check_tdmr(u64 i)
{
	struct tdmr *it = &new_tdmrs[i];
	u64 status, start = it->area.base;

	if (end_of(it->area) < it->area.base)
		return INVALID_TDMR | i;
	if (i && it->area.base < end_of(new_tdmrs[i - 1].area))
		return NON_ORDERED_TDMR | i;
	if ((it->area.base | it->area.size) & (SIZE_1G - 1) || !it->area.size || !is_usable(it->area))
		return INVALID_TDMR | i;
	status = check_reserved(it, i);
	if (!status)
		status = check_pamt(it, i);
	for (int k = 0; k <= MAX_RESERVED && !status; k++) {
		struct area left = { start, end_of(it->area) - start };

		if (k < MAX_RESERVED) {
			if (!it->reserved[k].size)
				continue;
			left.size = it->area.base + it->reserved[k].base - start;
			start = it->area.base + end_of(it->reserved[k]);
		}
		if (left.size && !is_in_cmr(left))
			status = TDMR_OUTSIDE_CMRS | i;
	}
	return status;
}

static u64 word_at(u64 hpa)
{
	struct page *page = page_at(hpa, 0);
	u64 word = 0;

	if (page)
		memcpy(&word, page->bytes + hpa % SIZE_4K, sizeof(word));
	return word;
}

static void read_tdmr(struct tdmr *it, u64 hpa)
{
	struct area *areas[] = { &it->area, &it->pamt[2], &it->pamt[1], &it->pamt[0] };

	memset(it, 0, sizeof(*it));
	for (u64 i = 0; i < 4 + MAX_RESERVED; i++) {
		struct area *area = i < 4 ? areas[i] : &it->reserved[i - 4];

		area->base = word_at(hpa + 16 * i);
		area->size = word_at(hpa + 16 * i + 8);
	}
	it->initialized = it->area.base;
}

static void forget_blocks(void)
{
	for (int i = 0; i < num_blocks; i++) {
		for (int k = 0; k < RANGES; k++)
			free(blocks[i].block->ranges[k].fixed);
		free(blocks[i].block);
	}
	num_blocks = 0;
}

static u64 sys_config(struct call *call)
{
	u64 list = call->regs[TDXT_RCX], number = call->regs[TDXT_RDX], r8 = call->regs[TDXT_R8];
	u64 status = SUCCESS;

	if (!take(call, &global_lock, TDXT_EXCLUSIVE, TDXT_GLOBAL, 0))
		return SYS_BUSY;
	if (state != INIT_DONE || num_init_lps < (int64_t)world.lps)
		return SYS_CONFIG_NOT_PENDING;
	if (is_bad_shared_hpa(list, 512))
		return OPERAND_INVALID | RCX;
	if (number < 1 || number > MAX_TDMRS)
		return OPERAND_INVALID | RDX;
	if (r8 >> 17 || !has_hkid(r8 & 0xffff))
		return OPERAND_INVALID | R8;
	kot[r8 & 0xffff].state = RESERVED;
	dynamic = r8 >> 16 & 1;
	if (dynamic && world.hkid_low_bit > 48)
		return OPERAND_INVALID | R8;
	for (u64 i = 0; i < number && !status; i++) {
		u64 hpa = word_at(list + 8 * i);

		if (is_bad_shared_hpa(hpa, 512))
			return OPERAND_INVALID | RCX;
		read_tdmr(&new_tdmrs[i], hpa);
		status = check_tdmr(i);
	}
	if (status)
		return status;
	memcpy(tdmrs, new_tdmrs, sizeof(tdmrs));
	num_tdmrs = number;
	for (u64 i = 0; i < number; i++) {
		for (u64 hpa = tdmrs[i].area.base; hpa < end_of(tdmrs[i].area); hpa += SIZE_1G) {
			if (num_blocks == MAX_BLOCKS)
				abort();
			blocks[num_blocks].base = hpa;
			blocks[num_blocks].tdmr = &tdmrs[i];
			blocks[num_blocks].block = calloc(1, sizeof(struct block));
			if (!blocks[num_blocks++].block)
				abort();
		}
	}
	configured = 0;
	state = CONFIG_DONE;
	return SUCCESS;
}

static u64 sys_key_config(struct call *call)
{
	u64 package = package_of(call);

	if (!take(call, &global_lock, TDXT_EXCLUSIVE, TDXT_GLOBAL, 0))
		return SYS_BUSY;
	if (state != CONFIG_DONE)
		return SYS_KEY_CONFIG_NOT_PENDING;
	if (configured >> package & 1)
		return KEY_CONFIGURED;
	configured |= 1ull << package;
	if (configured == all_packages)
		state = READY;
	return SUCCESS;
}

static u64 sys_tdmr_init(struct call *call)
{
	u64 base = call->regs[TDXT_RCX];

	call->regs[TDXT_RDX] = 0;
	if (is_bad_hpa(base, SIZE_1G))
		return OPERAND_INVALID | RCX;
	for (u64 i = 0; i < num_tdmrs; i++) {
		struct tdmr *it = &tdmrs[i];

		if (it->area.base != base)
			continue;
		if (!take(call, &it->lock, TDXT_MUTEX, TDXT_TDMR, i))
			return OPERAND_BUSY | RCX;
		if (it->initialized >= end_of(it->area))
			return TDMR_ALREADY_INITIALIZED;
		it->initialized += (dynamic ? 4096 : 1024) * SIZE_4K;
		call->regs[TDXT_RDX] = it->initialized & -SIZE_1G;
		return SUCCESS;
	}
	return OPERAND_INVALID | RCX;
}

/* PAMT pages. */

static u64 check_range(u64 rcx)
{
	u64 hpa = rcx & -SIZE_4K;

	if (!dynamic)
		return OPERAND_INVALID | RAX;
	if ((rcx & 0xfff) != 1 || hpa & hkid_mask || hpa >> MAX_PA || hpa & (SIZE_2M - 1))
		return OPERAND_INVALID | RCX;
	return SUCCESS;
}

static u64 lock_range(struct call *call, u64 hpa, struct walk *walk)
{
	struct place at;

	if (!block_of(hpa, &at))
		return OPERAND_ADDR_RANGE_ERROR | RCX;
	if (!walk_to(call, &at, hpa, TDXT_EXCLUSIVE, 1, walk))
		return OPERAND_BUSY | RCX;
	return SUCCESS;
}

static u64 lock_donors(struct call *call, const u64 *donors, const struct place *homes, u64 target)
{
	static const u64 operands[] = { RDX, R8 };
	struct walk walk;

	for (int i = 0; i < 2; i++) {
		if (donors[i] >> 21 == target >> 21)
			continue;
		if (!walk_to(call, &homes[i], donors[i], TDXT_SHARED, 0, &walk))
			return OPERAND_BUSY | operands[i];
		if (type_at(&walk) != NDA)
			return PAGE_NOT_FREE | operands[i];
	}
	return SUCCESS;
}

static u64 pamt_add(struct call *call)
{
	static u64 static_target;
	u64 donors[2] = { call->regs[TDXT_RDX], call->regs[TDXT_R8] }, target, status;
	static const u64 operands[] = { RDX, R8 };
	struct place homes[2];
	struct walk walk;

	status = check_range(call->regs[TDXT_RCX]);
	if (status)
		return status;
	target = call->regs[TDXT_RCX] & -SIZE_4K;
	static_target = target;
	for (int i = 0; i < 2; i++) {
		if (is_bad_hpa(donors[i], SIZE_4K))
			return OPERAND_INVALID | operands[i];
		if (!block_of(donors[i], &homes[i]))
			return OPERAND_ADDR_RANGE_ERROR | operands[i];
	}
	if (broken("order")) {
		status = lock_donors(call, donors, homes, target);
		if (status)
			return status;
	}
	status = lock_range(call, target, &walk);
	if (!status && walk.range->pt != NDA)
		status = HPA_RANGE_NOT_FREE | RCX;
	if (!status && !broken("order"))
		status = lock_donors(call, donors, homes, target);
	if (status)
		return status;
	if (!set_bit(call, &homes[0], donors[0]))
		return PAGE_NOT_FREE | RDX;
	if (!set_bit(call, &homes[1], donors[1])) {
		reset_bit(call, donors[0]);
		return PAGE_NOT_FREE | R8;
	}
	if (broken("static"))
		target = static_target;
	clear_page(donors[0]);
	clear_page(donors[1]);
	walk.range->pt = PT_PAMT;
	walk.range->pair[0] = donors[0];
	walk.range->pair[1] = donors[1];
	walk.range->owner = donors[0] >> 12 << 4 | (walk.range->owner & 0xf);
	walk.range->count = 0;
	if (target != walk.range->hpa)
		walk.range->count = 1;
	return SUCCESS;
}

static int is_empty(u64 hpa)
{
	const struct entry *entries = (const struct entry *)page_at(hpa, 1)->bytes;

	for (int i = 0; i < 256; i++)
		if (entries[i].pt != NDA)
			return 0;
	return 1;
}

static u64 pamt_remove(struct call *call)
{
	u64 status = check_range(call->regs[TDXT_RCX]), target = call->regs[TDXT_RCX] & -SIZE_4K;
	struct walk walk;
	struct place at;

	if (!status)
		status = lock_range(call, target, &walk);
	if (status)
		return status;
	if (walk.range->pt != PT_PAMT)
		return NO_PAMT_PAGE_PAIR | RCX;
	for (u64 i = 0; i < 2; i++) {
		if (is_empty(walk.range->pair[i]))
			continue;
		if (i && broken("crash"))
			*(volatile int *)8 = 1;
		if (i && broken("abort"))
			abort();
		return PAMT_PAGE_NOT_EMPTY | i;
	}
	if (walk.range->count)
		die(call, 343);
	for (int i = 0; i < 2; i++) {
		if (!block_of(walk.range->pair[i], &at))
			die(call, 338);
		reset_bit(call, walk.range->pair[i]);
	}
	call->regs[TDXT_RDX] = walk.range->pair[0];
	call->regs[TDXT_R8] = walk.range->pair[broken("register") ? 0 : 1];
	walk.range->pt = NDA;
	return SUCCESS;
}

/* TDs. */

static u64 mng_create(struct call *call)
{
	u64 hpa = call->regs[TDXT_RCX], hkid = call->regs[TDXT_RDX], status;
	struct walk walk;
	struct page *page;

	if (!has_hkid(hkid))
		return OPERAND_INVALID | RDX;
	status = lock_page(call, hpa, RCX, TDXT_EXCLUSIVE, NDA, &walk);
	if (status)
		return status;
	if (!take(call, &kot_lock, broken("lock-kind") ? TDXT_SHARED : TDXT_EXCLUSIVE, TDXT_KOT, 0))
		return OPERAND_BUSY | KOT;
	if (kot[hkid].state != FREE)
		return broken("status") ? OPERAND_INVALID | RDX : HKID_NOT_FREE;
	kot[hkid].state = ASSIGNED;
	page = clear_page(hpa);
	page->is_tdr = 1;
	td_at(hpa)->hkid = hkid;
	walk.entry->pt = PT_TDR;
	walk.entry->owner = 0;
	count_up(call, &walk);
	return SUCCESS;
}

static u64 mng_addcx(struct call *call)
{
	u64 hpa = call->regs[TDXT_RCX], tdr = call->regs[TDXT_RDX], status;
	struct td *td;
	struct walk walk;

	status = lock_tdr(call, tdr, RDX, &td);
	if (status)
		return status;
	if (td->lifecycle != KEYS_CONFIGURED)
		return TD_KEYS_NOT_CONFIGURED;
	if (td->num_tdcx >= MAX_TDCX)
		return TDCX_NUM_INCORRECT;
	status = lock_page(call, hpa, RCX, TDXT_EXCLUSIVE, NDA, &walk);
	if (status)
		return status;
	clear_page(hpa);
	td->num_tdcx++;
	td->children++;
	walk.entry->pt = TDCX;
	walk.entry->owner = tdr >> 12;
	count_up(call, &walk);
	return SUCCESS;
}

static u64 mng_key_config(struct call *call)
{
	u64 package = package_of(call), status;
	struct td *td;

	status = lock_tdr(call, call->regs[TDXT_RCX], RCX, &td);
	if (status)
		return status;
	if (td->lifecycle != HKID_ASSIGNED)
		return LIFECYCLE_STATE_INCORRECT;
	if (td->packages >> package & 1)
		return KEY_CONFIGURED;
	td->packages |= 1ull << package;
	if (td->packages == all_packages)
		td->lifecycle = KEYS_CONFIGURED;
	return SUCCESS;
}

static u64 mng_vpflushdone(struct call *call)
{
	struct td *td;
	u64 status = lock_tdr(call, call->regs[TDXT_RCX], RCX, &td);

	if (status)
		return status;
	if (!take(call, &kot_lock, TDXT_EXCLUSIVE, TDXT_KOT, 0))
		return OPERAND_BUSY | KOT;
	if (td->lifecycle != KEYS_CONFIGURED && td->lifecycle != HKID_ASSIGNED)
		return LIFECYCLE_STATE_INCORRECT;
	kot[td->hkid].packages = all_packages;
	td->lifecycle = BLOCKED;
	kot[td->hkid].state = FLUSHED;
	return SUCCESS;
}

static u64 mng_key_freeid(struct call *call)
{
	struct td *td;
	u64 status = lock_tdr(call, call->regs[TDXT_RCX], RCX, &td);

	if (status)
		return status;
	if (td->lifecycle != BLOCKED)
		return LIFECYCLE_STATE_INCORRECT;
	if (!take(call, &kot_lock, TDXT_EXCLUSIVE, TDXT_KOT, 0))
		return OPERAND_BUSY | KOT;
	if (kot[td->hkid].packages)
		return WBCACHE_NOT_COMPLETE;
	kot[td->hkid].state = FREE;
	td->lifecycle = TEARDOWN;
	return SUCCESS;
}

static u64 phymem_cache_wb(struct call *call)
{
	u64 command = call->regs[TDXT_RCX], package = package_of(call), block = 0;

	if (command > 1)
		return OPERAND_INVALID | RCX;
	if (!take(call, &writeback[package].lock, TDXT_MUTEX, TDXT_WBT, package))
		return OPERAND_BUSY | WBCACHE;
	if (!take(call, &kot_lock, TDXT_SHARED, TDXT_KOT, 0))
		return OPERAND_BUSY | KOT;
	if (command) {
		block = writeback[package].next;
		if (!block)
			return WBCACHE_RESUME_ERROR;
	} else {
		int any = 0;

		writeback[package].next = 0;
		for (u64 i = world.private_hkid_min; i <= world.private_hkid_max; i++)
			any |= kot[i].state == FLUSHED;
		if (!any)
			return NO_HKID_READY_TO_WBCACHE;
		for (u64 i = world.private_hkid_min; i <= world.private_hkid_max; i++)
			writeback[package].flushed[i] = kot[i].state == FLUSHED;
	}
	while (command && broken("hang"))
		continue;
	while (++block < world.cache_sub_blocks) {
		if (interrupted[call->lp]) {
			writeback[package].next = block;
			return INTERRUPTED_RESUMABLE;
		}
	}
	writeback[package].next = 0;
	for (u64 i = world.private_hkid_min; i <= world.private_hkid_max; i++)
		if (writeback[package].flushed[i])
			kot[i].packages &= ~(1ull << package);
	return SUCCESS;
}

static u64 phymem_page_rdmd(struct call *call)
{
	u64 *regs = call->regs, operand = regs[TDXT_RCX], level = operand & 7, hpa = operand & -SIZE_4K;
	struct place at;
	struct walk walk;
	u8 pt;

	regs[TDXT_RCX] = regs[TDXT_RDX] = regs[TDXT_R8] = regs[TDXT_R9] = 0;
	regs[TDXT_R10] = regs[TDXT_R11] = 0;
	if (operand & 0xff8 || operand >> 52 || level > 2 || (!dynamic && level))
		return OPERAND_INVALID | RCX;
	if (is_bad_hpa(hpa, SIZE_4K << 9 * level))
		return OPERAND_INVALID | RCX;
	if (!block_of(hpa, &at))
		return OPERAND_ADDR_RANGE_ERROR | RCX;
	if (!walk_to(call, &at, hpa, TDXT_SHARED, (int)level, &walk))
		return OPERAND_BUSY | RCX;
	pt = type_at(&walk);
	if (dynamic && !level && pt == NDA && bit_of(&at, hpa)) {
		regs[TDXT_RCX] = PT_PAMT;
		return SUCCESS;
	}
	regs[TDXT_RCX] = pt;
	regs[TDXT_R8] = (u64)walk.level;
	if (pt == PT_PAMT) {
		regs[TDXT_RCX] |= NON_LEAF;
		regs[TDXT_R10] = walk.range->pair[0];
		regs[TDXT_R11] = walk.range->pair[1];
	} else {
		regs[TDXT_RDX] = owner_at(&walk) << 12;
	}
	return SUCCESS;
}

/* The TDR that owns a page: its entry alone is locked. */
static u64 lock_owner(struct call *call, u64 hpa)
{
	struct place at;
	struct range *range;
	struct entry *entry;

	if (!block_of(hpa, &at))
		die(call, 109);
	range = range_of(&at, hpa);
	if (dynamic && range->pt != PT_PAMT)
		die(call, 336);
	entry = entry_of(&at, range, hpa);
	if (entry->pt == NDA || entry->pt == RSVD)
		die(call, 339);
	if (!take(call, &entry->lock, TDXT_SHARED, TDXT_PAMT_4K, hpa))
		return OPERAND_BUSY | TDR;
	return SUCCESS;
}

static u64 phymem_page_reclaim(struct call *call)
{
	u64 *regs = call->regs, hpa = regs[TDXT_RCX], status;
	struct place at;
	struct walk walk;
	struct td *td;

	regs[TDXT_RCX] = regs[TDXT_RDX] = regs[TDXT_R8] = regs[TDXT_R9] = 0;
	regs[TDXT_R10] = regs[TDXT_R11] = 0;
	if (is_bad_hpa(hpa, SIZE_4K))
		return OPERAND_INVALID | RCX;
	if (!block_of(hpa, &at))
		return OPERAND_ADDR_RANGE_ERROR | RCX;
	if (!walk_to(call, &at, hpa, TDXT_EXCLUSIVE, 0, &walk))
		return OPERAND_BUSY | RCX;
	if (type_at(&walk) == NDA || type_at(&walk) == RSVD)
		return PAGE_METADATA_INCORRECT | RCX;
	regs[TDXT_RCX] = type_at(&walk);
	regs[TDXT_RDX] = owner_at(&walk) << 12;
	regs[TDXT_R8] = (u64)walk.level;
	if (type_at(&walk) != PT_TDR) {
		u64 owner = owner_at(&walk) << 12;

		status = lock_owner(call, owner);
		if (status)
			return status;
		td = td_at(owner);
		if (td->lifecycle != TEARDOWN)
			return LIFECYCLE_STATE_INCORRECT;
		add(call, &td->children, -1, TDXT_CHLDCNT, owner);
	} else {
		td = td_at(hpa);
		if (td->lifecycle != TEARDOWN) {
			if (broken("no-release"))
				call->num_held--;
			return LIFECYCLE_STATE_INCORRECT;
		}
		if (td->children)
			return TD_ASSOCIATED_PAGES_EXIST;
	}
	walk.entry->pt = NDA;
	if (broken("no-count"))
		return SUCCESS;
	regs[TDXT_R9] |= count_down(call, &walk);
	return SUCCESS;
}

/* The dispatcher. */

static const struct {
	u64 leaf;
	u64 (*function)(struct call *call);
	int early;		/* before the module is ready, too */
} leaves[] = {
	{ 1, mng_addcx, 0 },
	{ 8, mng_key_config, 0 },
	{ 9, mng_create, 0 },
	{ 19, mng_vpflushdone, 0 },
	{ 20, mng_key_freeid, 0 },
	{ 24, phymem_page_rdmd, 0 },
	{ 28, phymem_page_reclaim, 0 },
	{ 31, sys_key_config, 1 },
	{ 33, sys_init, 1 },
	{ 35, sys_lp_init, 1 },
	{ 36, sys_tdmr_init, 0 },
	{ 40, phymem_cache_wb, 0 },
	{ 45, sys_config, 1 },
	{ 58, pamt_add, 0 },
	{ 59, pamt_remove, 0 },
};
#define NUM_LEAVES (sizeof(leaves) / sizeof(leaves[0]))

static u64 dispatch(struct call *call, u64 rax)
{
	u64 leaf = rax & 0xffff;

	call->version = rax >> 16 & 0xff;
	if (rax >> 24 || (call->version && leaf != 33))
		return OPERAND_INVALID | RAX;
	for (u64 i = 0; i < NUM_LEAVES; i++) {
		if (leaves[i].leaf != leaf)
			continue;
		if (state != READY && !leaves[i].early)
			return SYS_NOT_READY;
		return leaves[i].function(call);
	}
	return state == READY ? OPERAND_INVALID | RAX : SYS_NOT_READY;
}

int64_t tdxt_seamcall(uint64_t lp, uint64_t *rax, uint64_t regs[TDXT_REGS])
{
	struct call call = { .lp = lp, .regs = regs };

	if (lp >= world.lps) {
		snprintf(why, sizeof(why), "there is no LP %llu", (unsigned long long)lp);
		return -1;
	}
	if (__builtin_setjmp(call.leave))
		return call.fatal;
	*rax = dispatch(&call, *rax);
	while (call.num_held)
		let_go(&call);
	return 0;
}

/* What tdxfuzz asks of the library. */

uint64_t tdxt_abi(void)
{
	return TDXT_ABI;
}

const char *tdxt_version(void)
{
	return "reference 1";
}

const char *tdxt_error(void)
{
	return why;
}

int64_t tdxt_caps(struct tdxt_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	caps->flags = TDXT_HAS_HOOK | TDXT_HAS_SNAPSHOT | TDXT_HAS_INTERRUPT;
	for (u64 i = 0; i < NUM_LEAVES; i++)
		caps->leaves[leaves[i].leaf / 64] |= 1ull << leaves[i].leaf % 64;
	return 0;
}

int64_t tdxt_reset(const struct tdxt_world *new_world)
{
	const char *named = getenv("REFERENCE_ERROR");

	deliberate = named ? named : "";
	world = *new_world;
	hkid_mask = ((1ull << world.hkid_width) - 1) << world.hkid_low_bit;
	all_packages = 0;
	for (u64 i = 0; i < world.lps; i++)
		all_packages |= (2ull << world.package[i]) - 1;
	forget_memory();
	forget_blocks();
	num_tdmrs = 0;
	num_backing = dynamic = 0;
	if (!broken("reset"))
		memset(kot, 0, sizeof(kot));
	memset(writeback, 0, sizeof(writeback));
	kot_lock = global_lock = 0;
	state = INIT_PENDING;
	num_init_lps = 0;
	memset(is_init, 0, sizeof(is_init));
	memset(interrupted, 0, sizeof(interrupted));
	configured = 0;
	return 0;
}

int64_t tdxt_mem_read(uint64_t hpa, void *buffer, uint64_t size)
{
	struct page *page = page_at(hpa, 0);

	memset(buffer, 0, size);
	if (page)
		memcpy(buffer, page->bytes + hpa % SIZE_4K, size);
	return 0;
}

int64_t tdxt_mem_write(uint64_t hpa, const void *buffer, uint64_t size)
{
	memcpy(page_at(hpa, 1)->bytes + hpa % SIZE_4K, buffer, size);
	return 0;
}

int64_t tdxt_interrupt(uint64_t lp, uint64_t on)
{
	interrupted[lp] = on != 0;
	return 0;
}

int64_t tdxt_hook(tdxt_hook_fn fn, void *context)
{
	hook = fn;
	hook_context = context;
	return 0;
}

/* The snapshot, as text. */

static struct {
	char *buffer;
	u64 room, size;
	int first;		/* nothing stands before this in its list */
} out;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	char text[256];
	va_list list;
	u64 size;

	va_start(list, format);
	size = (u64)vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	if (out.size + size <= out.room)
		memcpy(out.buffer + out.size, text, size);
	out.size += size;
}

static void begin_list(const char *text)
{
	say("%s", text);
	out.first = 1;
}

static void next_item(void)
{
	if (!out.first)
		say(",");
	out.first = 0;
}

#define X(number) ((unsigned long long)(number))

/* The ranges of the machine, by address; its TDMRs are sorted. */
static struct range *nth_range(int block, int index)
{
	struct range *range = &blocks[block].block->ranges[index];

	range->hpa = blocks[block].base + (u64)index * SIZE_2M;
	return range;
}

static struct entry *entries_of(const struct range *range, int half)
{
	return (struct entry *)page_at(range->pair[half], 1)->bytes;
}

static void say_pages(void)
{
	static const char *const names[16] = { "", "RSVD", "", "", "TDR", "TDCX" };
	u64 first = 0, count = 0, owner = 0;
	u8 pt = NDA;

	for (int b = 0; b < num_blocks; b++) {
		for (int r = 0; r < RANGES; r++) {
			struct range *range = nth_range(b, r);

			for (int i = 0; i < 512 && range->pt == PT_PAMT; i++) {
				struct entry *entry = &entries_of(range, i >> 8)[i & 255];
				u64 hpa = range->hpa + (u64)i * SIZE_4K;
				u64 its = entry->pt == PT_TDR ? 0 : entry->owner << 12;

				if (entry->pt == NDA)
					continue;
				if (count && hpa == first + count * SIZE_4K && entry->pt == pt &&
				    its == owner) {
					count++;
					continue;
				}
				if (count) {
					next_item();
					say("[\"0x%llx\",%llu,\"%s\",\"0x%llx\"]", X(first), X(count),
					    names[pt], X(owner));
				}
				first = hpa;
				count = 1;
				pt = entry->pt;
				owner = its;
			}
		}
	}
	if (count) {
		next_item();
		say("[\"0x%llx\",%llu,\"%s\",\"0x%llx\"]", X(first), X(count), names[pt], X(owner));
	}
}

static void say_tds(void)
{
	static const char *const lifecycles[] = { "HKID_ASSIGNED", "KEYS_CONFIGURED", "BLOCKED",
						  "TEARDOWN" };

	for (int b = 0; b < num_blocks; b++) {
		for (int r = 0; r < RANGES; r++) {
			struct range *range = nth_range(b, r);

			for (int i = 0; i < 512 && range->pt == PT_PAMT; i++) {
				struct td *td;

				if (entries_of(range, i >> 8)[i & 255].pt != PT_TDR)
					continue;
				td = td_at(range->hpa + (u64)i * SIZE_4K);
				next_item();
				say("\"0x%llx\":{\"hkid\":%llu,\"lifecycle\":\"%s\",\"chldcnt\":%lld,",
				    X(range->hpa + (u64)i * SIZE_4K), X(td->hkid),
				    lifecycles[td->lifecycle], (long long)td->children);
				say("\"num_tdcx\":%llu", X(td->num_tdcx));
				if (td->lifecycle == KEYS_CONFIGURED && td->num_tdcx >= 6)
					say(",\"op_state\":\"UNINITIALIZED\",\"num_vcpus\":0");
				say("}");
			}
		}
	}
}

static void say_ranges(void)
{
	for (int b = 0; b < num_blocks; b++) {
		for (int r = 0; r < RANGES; r++) {
			struct range *range = nth_range(b, r);

			if (range->pt != PT_PAMT)
				continue;
			next_item();
			say("{\"hpa\":\"0x%llx\",\"pt\":\"PAMT\",\"hpa0\":\"0x%llx\",", X(range->hpa),
			    X(range->pair[0]));
			say("\"hpa1\":\"0x%llx\",\"page_count\":%lld}", X(range->pair[1]),
			    (long long)range->count);
		}
	}
}

static int by_address(const void *one, const void *other)
{
	u64 a = *(const u64 *)one, b = *(const u64 *)other;

	return a < b ? -1 : a > b;
}

static void say_bitmap(void)
{
	qsort(backing, (size_t)num_backing, sizeof(backing[0]), by_address);
	for (int i = 0; i < num_backing; i++) {
		next_item();
		say("\"0x%llx\"", X(backing[i]));
	}
}

static void say_keys(void)
{
	for (u64 i = world.private_hkid_min; i <= world.private_hkid_max && i < MAX_HKIDS; i++) {
		if (kot[i].state != ASSIGNED && kot[i].state != FLUSHED)
			continue;
		next_item();
		say("\"%llu\":[\"%s\",%llu]", X(i), kot[i].state == ASSIGNED ? "ASSIGNED" : "FLUSHED",
		    X(kot[i].packages));
	}
}

static void say_priority(const char *name, u64 hpa, u16 word)
{
	if (word & 2) {
		next_item();
		say("\"%s[0x%llx]\"", name, X(hpa));
	}
}

/* In the order of their names: first those of 1GB, then of 2MB, then of 4KB is sorted by the reader. */
static void say_priorities(void)
{
	for (int b = 0; b < num_blocks; b++) {
		say_priority("PAMT_1G", blocks[b].base, blocks[b].block->lock);
		for (int r = 0; r < RANGES; r++) {
			struct range *range = nth_range(b, r);

			say_priority("PAMT_2M", range->hpa, range->lock);
			for (int i = 0; i < 512; i++) {
				u64 hpa = range->hpa + (u64)i * SIZE_4K;

				if (range->pt == PT_PAMT)
					say_priority("PAMT_4K", hpa, entries_of(range, i >> 8)[i & 255].lock);
				else if (range->fixed)
					say_priority("PAMT_4K", hpa, range->fixed[i].lock);
			}
		}
	}
}

int64_t tdxt_snapshot(char *buffer, uint64_t size)
{
	out.buffer = buffer;
	out.room = size;
	out.size = 0;
	begin_list("{\"ranges\":[");
	say_ranges();
	begin_list("],\"pages\":[");
	if (dynamic)
		say_pages();
	begin_list("],\"bitmap\":[");
	say_bitmap();
	begin_list("],\"hp\":[");
	say_priorities();
	begin_list("],\"kot\":{");
	say_keys();
	begin_list("},\"tds\":{");
	if (dynamic)
		say_tds();
	say("}}");
	return (int64_t)out.size;
}
