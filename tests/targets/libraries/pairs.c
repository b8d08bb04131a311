/* SPDX-License-Identifier: MIT */
/*
 * A second library for tests, in another style: boot and PAMT pages, with one lock
 * around the whole module, no hook and no snapshot. A leaf is a row of a table, which says what the
 * dispatcher does for it. All state is one structure that a reset clears.
 *
 * PAIRS_ERROR=NAME switches a deliberate error on: "undo" (an ADD that fails keeps its first page),
 * "status" (REMOVE answers another error), "reset" (ranges outlive a reset).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tdxfuzz_target.h>

#define GB		(1ull << 30)
#define MB2		(1ull << 21)
#define KB4		(1ull << 12)
#define CODE(number)	((uint64_t)(number) << 32)

enum { OPERAND_RCX = 1, OPERAND_RDX = 2, OPERAND_R8 = 8 };
enum { PENDING, INITIALIZED, CONFIGURED, READY };
enum { FREE = 0, RESERVED = 1, NODE = 15 };

#define INVALID			CODE(0xc0000100)
#define OUT_OF_RANGE		CODE(0xc0000101)
#define SYS_BUSY		CODE(0x80000202)
#define PAGE_NOT_FREE		CODE(0xc0000303)
#define RANGE_NOT_FREE		CODE(0xc0000304)
#define NO_PAIR			CODE(0xc0000305)
#define INIT_NOT_PENDING	CODE(0xc0000500)
#define LP_INIT_DONE		CODE(0xc0000503)
#define NOT_READY		CODE(0xc0000505)
#define KEY_NOT_PENDING		CODE(0xc0000507)
#define LP_INIT_NOT_PENDING	CODE(0xc000050b)
#define CONFIG_NOT_PENDING	CODE(0xc000050c)
#define KEY_DONE		CODE(0x815)
#define BAD_TDMR		CODE(0xc0000a00)
#define TDMR_ORDER		CODE(0xc0000a01)
#define TDMR_OUTSIDE		CODE(0xc0000a02)
#define TDMR_DONE		CODE(0xa03)
#define BAD_PAMT		CODE(0xc0000a10)
#define PAMT_OUTSIDE		CODE(0xc0000a11)
#define PAMT_OVERLAP		CODE(0xc0000a12)
#define BAD_AREA		CODE(0xc0000a20)
#define AREA_ORDER		CODE(0xc0000a21)
#define BAD_CMRS		CODE(0xc0000a22)

struct span {
	uint64_t base, size;
};

/* As SYS.CONFIG reads it. */
struct tdmr_info {
	struct span tdmr, pamt[3];	/* pamt: 1GB, 2MB, 4KB */
	struct span area[16];
};

struct tdmr {
	struct tdmr_info info;
	uint64_t done;			/* address up to which it is initialised */
};

struct range {
	uint64_t hpa, stale, page[2];
	int node;
	struct range *next;
};

struct page {
	uint64_t hpa;
	unsigned char bytes[4096];
	struct page *next;
};

static struct {
	struct tdxt_world world;
	int locked, stage, dynamic;
	unsigned char lp_done[TDXT_MAX_LPS], key_done[TDXT_MAX_LPS];
	struct tdmr tdmr[64];
	uint64_t tdmrs;
	struct range *ranges;
	struct page *memory;
} all;

static const char *why = "no error";

static int error_is(const char *name)
{
	const char *on = getenv("PAIRS_ERROR");

	return on && !strcmp(on, name);
}

/* Addresses */

static uint64_t key_bits(void)
{
	return ((1ull << all.world.hkid_width) - 1) << all.world.hkid_low_bit;
}

static int is_private_page(uint64_t hpa, uint64_t alignment)
{
	return !(hpa & (alignment - 1)) && !(hpa >> 52) && !(hpa & key_bits());
}

static int is_shared(uint64_t hpa, uint64_t alignment)
{
	uint64_t hkid = (hpa & key_bits()) >> all.world.hkid_low_bit;

	return !(hpa & (alignment - 1)) && !(hpa >> 52) && hkid < all.world.private_hkid_min;
}

static uint64_t end_of(struct span span)
{
	return span.base + span.size;
}

static int aligned(struct span span, uint64_t alignment)
{
	return !((span.base | span.size) & (alignment - 1));
}

static int wraps(struct span span)
{
	return end_of(span) < span.base;
}

static int usable(struct span span)
{
	return is_private_page(span.base, 1) && is_private_page(end_of(span) - 1, 1);
}

static int overlap(struct span one, struct span other)
{
	return one.base < end_of(other) && other.base < end_of(one);
}

static int in_cmrs(struct span span)
{
	uint64_t start = 0, end = 0;

	for (uint64_t i = 0; i < all.world.cmrs; i++) {
		if (!all.world.cmr[i].size)
			continue;
		if (all.world.cmr[i].base != end)
			start = all.world.cmr[i].base;
		end = all.world.cmr[i].base + all.world.cmr[i].size;
		if (start <= span.base && end_of(span) <= end)
			return 1;
	}
	return 0;
}

/* Host memory: pages in a list */

static struct page *page_at(uint64_t hpa, int make)
{
	struct page *page;

	for (page = all.memory; page; page = page->next)
		if (page->hpa == (hpa & -KB4))
			return page;
	if (!make)
		return NULL;
	page = calloc(1, sizeof(*page));
	if (!page)
		return NULL;
	page->hpa = hpa & -KB4;
	page->next = all.memory;
	return all.memory = page;
}

int64_t tdxt_mem_read(uint64_t hpa, void *buffer, uint64_t size)
{
	struct page *page = page_at(hpa, 0);

	if (page)
		memcpy(buffer, page->bytes + hpa % KB4, size);
	else
		memset(buffer, 0, size);
	return 0;
}

int64_t tdxt_mem_write(uint64_t hpa, const void *buffer, uint64_t size)
{
	struct page *page = page_at(hpa, 1);

	if (!page) {
		why = "no memory is left";
		return -1;
	}
	memcpy(page->bytes + hpa % KB4, buffer, size);
	return 0;
}

/* TDMRs */

/* What the reserved areas leave of a TDMR, piece by piece; PLACE begins at 0. */
static int next_free(const struct tdmr_info *info, int *place, struct span *free)
{
	while (*place <= 16) {
		int i = (*place)++;
		uint64_t from = info->tdmr.base, to = end_of(info->tdmr);

		for (int k = i - 1; k >= 0; k--) {
			if (info->area[k].size) {
				from += end_of(info->area[k]);
				break;
			}
		}
		if (i < 16 && info->area[i].size)
			to = info->tdmr.base + info->area[i].base;
		else if (i < 16)
			continue;
		if (to > from) {
			*free = (struct span){ from, to - from };
			return 1;
		}
	}
	return 0;
}

static int pamt_meets(const struct tdmr_info *owner, int level, const struct tdmr_info *tdmr)
{
	struct span free;

	for (int place = 0; next_free(tdmr, &place, &free);)
		if (overlap(owner->pamt[2 - level], free))
			return 1;
	return 0;
}

static uint64_t check_areas(const struct tdmr_info *info, uint64_t i)
{
	for (uint64_t j = 0; j < 16; j++) {
		struct span area = info->area[j];

		if (!area.size) {
			if (j < 15 && info->area[j + 1].size)
				return AREA_ORDER | i | j << 8;
			continue;
		}
		if (wraps(area))
			return BAD_AREA | i | j << 8;
		if (j && area.base < end_of(info->area[j - 1]))
			return AREA_ORDER | i | j << 8;
		if (!aligned(area, KB4) || end_of(area) > info->tdmr.size)
			return BAD_AREA | i | j << 8;
	}
	return 0;
}

static uint64_t check_pamt(const struct tdmr_info *info, uint64_t i, int dynamic)
{
	for (uint64_t level = 3; level-- > 0;) {
		uint64_t pages = info->tdmr.size / (KB4 << 9 * level);
		uint64_t needed = dynamic && !level ? pages / 8 : pages * 16;
		struct span pamt = info->pamt[2 - level];

		if (!usable(pamt) || !aligned(pamt, KB4) || pamt.size < needed)
			return BAD_PAMT | i | level << 8;
	}
	for (uint64_t j = 0; j < i; j++)
		for (uint64_t level = 0; level < 3; level++)
			for (int k = 0; k < 3; k++)
				if (overlap(info->pamt[2 - level], all.tdmr[j].info.pamt[k]))
					return PAMT_OVERLAP | i | level << 8 | j << 16;
	for (uint64_t level = 0; level < 3; level++)
		for (uint64_t above = level + 1; above < 3; above++)
			if (overlap(info->pamt[2 - level], info->pamt[2 - above]))
				return PAMT_OVERLAP | i | level << 8 | i << 16;
	for (uint64_t j = 0; j <= i; j++) {
		const struct tdmr_info *other = j == i ? info : &all.tdmr[j].info;

		for (uint64_t level = 0; level < 3; level++)
			if (pamt_meets(info, (int)level, other))
				return PAMT_OVERLAP | i | level << 8 | j << 16;
		for (uint64_t level = 0; level < 3 && j < i; level++)
			if (pamt_meets(other, (int)level, info))
				return PAMT_OVERLAP | j | level << 8 | i << 16;
	}
	return 0;
}

static uint64_t check_tdmr(const struct tdmr_info *info, uint64_t i, int dynamic)
{
	struct span free;
	uint64_t status;

	if (wraps(info->tdmr))
		return BAD_TDMR | i;
	if (i && info->tdmr.base < end_of(all.tdmr[i - 1].info.tdmr))
		return TDMR_ORDER | i;
	if (!aligned(info->tdmr, GB) || !info->tdmr.size || !usable(info->tdmr))
		return BAD_TDMR | i;
	status = check_areas(info, i);
	if (!status)
		status = check_pamt(info, i, dynamic);
	if (status)
		return status;
	for (uint64_t level = 3; level-- > 0;)
		if (!in_cmrs(info->pamt[2 - level]))
			return PAMT_OUTSIDE | i | level << 8;
	for (int place = 0; next_free(info, &place, &free);)
		if (!in_cmrs(free))
			return TDMR_OUTSIDE | i;
	return 0;
}

/* The TDMR of an address whose gigabyte is initialised, or NULL. */
static struct tdmr *ready_tdmr(uint64_t hpa)
{
	for (uint64_t i = 0; i < all.tdmrs; i++) {
		struct tdmr *tdmr = &all.tdmr[i];

		if (hpa >= tdmr->info.tdmr.base && hpa < end_of(tdmr->info.tdmr))
			return hpa < (tdmr->done & -GB) ? tdmr : NULL;
	}
	return NULL;
}

static int is_reserved(uint64_t hpa)
{
	const struct tdmr *tdmr = ready_tdmr(hpa);

	for (int i = 0; tdmr && i < 16; i++)
		if (hpa - tdmr->info.tdmr.base - tdmr->info.area[i].base < tdmr->info.area[i].size)
			return 1;
	return 0;
}

static struct range *range_of(uint64_t hpa)
{
	struct range *range;

	for (range = all.ranges; range; range = range->next)
		if (range->hpa == (hpa & -MB2))
			return range;
	range = calloc(1, sizeof(*range));
	if (!range)
		abort();
	range->hpa = hpa & -MB2;
	range->next = all.ranges;
	return all.ranges = range;
}

/* A page that was lost by the error "undo" is kept in the second place of a range without pages. */
static int backs_pamt(uint64_t hpa)
{
	for (struct range *range = all.ranges; range; range = range->next)
		if (range->page[0] == hpa || range->page[1] == hpa)
			return 1;
	return is_reserved(hpa);
}

/* The leaves. What they answer in registers they write there. */

typedef uint64_t leaf_fn(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given);

static uint64_t sys_init(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	uint64_t log = given[TDXT_R8] & (((1ull << 46) - 1) << 6), before = 0;
	uint64_t config = given[TDXT_R8];

	(void)lp;
	(void)regs;
	if (version > 1)
		return INVALID;
	if (given[TDXT_RCX])
		return INVALID | OPERAND_RCX;
	if (all.stage != PENDING)
		return INIT_NOT_PENDING;
	for (uint64_t i = 0; i < all.world.cmrs; i++) {
		struct span cmr = { all.world.cmr[i].base, all.world.cmr[i].size };

		if (!cmr.size)
			continue;
		if (!usable(cmr) || !aligned(cmr, KB4) || cmr.base < before)
			return BAD_CMRS;
		before = end_of(cmr);
	}
	if (version) {
		if ((config & 0x3f) || (config >> 52 & 3))
			return INVALID | OPERAND_R8;
		if (log != ((1ull << 46) - 1) << 6 && !is_shared(log, 64))
			return INVALID | OPERAND_R8;
		if ((config >> 54 & 3) == 1 && config >> 56 < 16)
			return INVALID | OPERAND_R8;
	}
	all.stage = INITIALIZED;
	return 0;
}

static uint64_t lp_init(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	(void)version;
	(void)regs;
	(void)given;
	if (all.stage != INITIALIZED)
		return LP_INIT_NOT_PENDING;
	if (all.lp_done[lp])
		return LP_INIT_DONE;
	all.lp_done[lp] = 1;
	return 0;
}

static uint64_t config(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	uint64_t hkid = given[TDXT_R8] & 0xffff, at, status;
	int dynamic = given[TDXT_R8] >> 16 & 1;

	(void)lp;
	(void)version;
	(void)regs;
	for (uint64_t i = 0; i < all.world.lps; i++)
		if (!all.lp_done[i])
			return CONFIG_NOT_PENDING;
	if (all.stage != INITIALIZED)
		return CONFIG_NOT_PENDING;
	if (!is_shared(given[TDXT_RCX], 512))
		return INVALID | OPERAND_RCX;
	if (given[TDXT_RDX] < 1 || given[TDXT_RDX] > 64)
		return INVALID | OPERAND_RDX;
	if (given[TDXT_R8] >> 17 || hkid < all.world.private_hkid_min ||
	    hkid > all.world.private_hkid_max || (dynamic && all.world.hkid_low_bit > 48))
		return INVALID | OPERAND_R8;
	for (uint64_t i = 0; i < given[TDXT_RDX]; i++) {
		struct tdmr *tdmr = &all.tdmr[i];

		tdxt_mem_read(given[TDXT_RCX] + 8 * i, &at, sizeof(at));
		if (!is_shared(at, 512))
			return INVALID | OPERAND_RCX;
		tdxt_mem_read(at, &tdmr->info, sizeof(tdmr->info));
		status = check_tdmr(&tdmr->info, i, dynamic);
		if (status)
			return status;
		tdmr->done = tdmr->info.tdmr.base;
	}
	all.tdmrs = given[TDXT_RDX];
	all.dynamic = dynamic;
	all.stage = CONFIGURED;
	return 0;
}

static uint64_t key_config(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	uint64_t package = all.world.package[lp];

	(void)version;
	(void)regs;
	(void)given;
	if (all.stage != CONFIGURED)
		return KEY_NOT_PENDING;
	if (all.key_done[package])
		return KEY_DONE;
	all.key_done[package] = 1;
	for (uint64_t i = 0; i < all.world.lps; i++)
		if (!all.key_done[all.world.package[i]])
			return 0;
	all.stage = READY;
	return 0;
}

static uint64_t tdmr_init(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	(void)lp;
	(void)version;
	if (!is_private_page(given[TDXT_RCX], GB))
		return INVALID | OPERAND_RCX;
	for (uint64_t i = 0; i < all.tdmrs; i++) {
		struct tdmr *tdmr = &all.tdmr[i];

		if (tdmr->info.tdmr.base != given[TDXT_RCX])
			continue;
		if (tdmr->done >= end_of(tdmr->info.tdmr))
			return TDMR_DONE;
		tdmr->done += all.dynamic ? 8 * MB2 : 2 * MB2;
		regs[TDXT_RDX] = tdmr->done & -GB;
		return 0;
	}
	return INVALID | OPERAND_RCX;
}

static uint64_t nothing(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	(void)lp;
	(void)version;
	(void)regs;
	(void)given;
	return 0;
}

static uint64_t check_range(uint64_t rcx)
{
	if (!all.dynamic)
		return INVALID;
	return (rcx & 0xfff) == 1 && is_private_page(rcx & -KB4, MB2) ? 0 : INVALID | OPERAND_RCX;
}

static uint64_t pamt_add(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	static const uint64_t operand[] = { OPERAND_RDX, OPERAND_R8 };
	uint64_t page[] = { given[TDXT_RDX], given[TDXT_R8] };
	uint64_t status = check_range(given[TDXT_RCX]), hpa = given[TDXT_RCX] & -KB4;
	struct range *range;

	(void)lp;
	(void)version;
	(void)regs;
	if (status)
		return status;
	for (int i = 0; i < 2; i++) {
		if (!is_private_page(page[i], KB4))
			return INVALID | operand[i];
		if (!ready_tdmr(page[i]))
			return OUT_OF_RANGE | operand[i];
	}
	if (!ready_tdmr(hpa))
		return OUT_OF_RANGE | OPERAND_RCX;
	range = range_of(hpa);
	if (range->node)
		return RANGE_NOT_FREE | OPERAND_RCX;
	if (backs_pamt(page[0]))
		return PAGE_NOT_FREE | OPERAND_RDX;
	if (backs_pamt(page[1]) || page[0] == page[1]) {
		if (error_is("undo"))
			range->page[1] = page[0];
		return PAGE_NOT_FREE | OPERAND_R8;
	}
	range->node = 1;
	range->page[0] = page[0];
	range->page[1] = page[1];
	range->stale = page[0] >> 12 << 4 << 12;
	return 0;
}

static uint64_t pamt_remove(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	uint64_t status = check_range(given[TDXT_RCX]), hpa = given[TDXT_RCX] & -KB4;
	struct range *range;

	(void)lp;
	(void)version;
	if (status)
		return status;
	if (!ready_tdmr(hpa))
		return OUT_OF_RANGE | OPERAND_RCX;
	range = range_of(hpa);
	if (!range->node)
		return error_is("status") ? RANGE_NOT_FREE | OPERAND_RCX : NO_PAIR | OPERAND_RCX;
	regs[TDXT_RDX] = range->page[0];
	regs[TDXT_R8] = range->page[1];
	range->page[0] = range->page[1] = 0;
	range->node = 0;
	return 0;
}

static uint64_t rdmd(uint64_t lp, uint64_t version, uint64_t *regs, const uint64_t *given)
{
	uint64_t rcx = given[TDXT_RCX], level = rcx & 7, hpa = rcx & -KB4;
	struct range *range;

	(void)lp;
	(void)version;
	if ((rcx & 0xff8) || rcx >> 52 || level > 2 || (level && !all.dynamic) ||
	    !is_private_page(hpa, KB4 << 9 * level))
		return INVALID | OPERAND_RCX;
	if (!ready_tdmr(hpa))
		return OUT_OF_RANGE | OPERAND_RCX;
	range = range_of(hpa);
	if (level == 2) {
		regs[TDXT_R8] = 2;
	} else if (!all.dynamic) {
		regs[TDXT_RCX] = is_reserved(hpa) ? RESERVED : FREE;
	} else if (level && range->node) {
		regs[TDXT_RCX] = NODE | 1ull << 63;
		regs[TDXT_R8] = 1;
		regs[TDXT_R10] = range->page[0];
		regs[TDXT_R11] = range->page[1];
	} else if (!level && backs_pamt(hpa)) {
		regs[TDXT_RCX] = NODE;
	} else {
		regs[TDXT_R8] = level || !range->node;
		regs[TDXT_RDX] = range->node ? 0 : range->stale;
	}
	return 0;
}

#define BIT(name)	(1u << TDXT_##name)

static const struct leaf {
	uint64_t number;
	leaf_fn *run;
	int early, versions;
	unsigned zeroed;		/* registers that are 0 unless the leaf says otherwise */
} table[] = {
	{ 24, rdmd, 0, 0, BIT(RCX) | BIT(RDX) | BIT(R8) | BIT(R9) | BIT(R10) | BIT(R11) },
	{ 27, nothing, 0, 0, 0 },
	{ 31, key_config, 1, 0, 0 },
	{ 33, sys_init, 1, 1, BIT(RCX) | BIT(RDX) | BIT(R8) | BIT(R9) | BIT(R10) },
	{ 35, lp_init, 1, 0, BIT(RCX) | BIT(RDX) | BIT(R8) },
	{ 36, tdmr_init, 0, 0, BIT(RDX) },
	{ 44, nothing, 1, 0, 0 },
	{ 45, config, 1, 0, 0 },
	{ 58, pamt_add, 0, 0, 0 },
	{ 59, pamt_remove, 0, 0, 0 },
};
#define LEAVES	(sizeof(table) / sizeof(table[0]))

static uint64_t dispatch(uint64_t lp, uint64_t rax, uint64_t *regs)
{
	const uint64_t number = rax & 0xffff, version = rax >> 16 & 0xff;
	const struct leaf *leaf = NULL;
	uint64_t given[TDXT_REGS];

	for (size_t i = 0; i < LEAVES; i++)
		if (table[i].number == number)
			leaf = &table[i];
	if (rax >> 24 || (version && !(leaf && leaf->versions)))
		return INVALID;
	if (all.stage != READY && !(leaf && leaf->early))
		return NOT_READY;
	if (!leaf)
		return INVALID;
	memcpy(given, regs, sizeof(given));
	for (int i = 0; i < TDXT_REGS; i++)
		if (leaf->zeroed >> i & 1)
			regs[i] = 0;
	return leaf->run(lp, version, regs, given);
}

int64_t tdxt_seamcall(uint64_t lp, uint64_t *rax, uint64_t regs[TDXT_REGS])
{
	if (all.locked) {
		*rax = SYS_BUSY;
		return 0;
	}
	all.locked = 1;
	*rax = dispatch(lp, *rax, regs);
	all.locked = 0;
	return 0;
}

/* The library */

int64_t tdxt_reset(const struct tdxt_world *world)
{
	struct range *kept = NULL;

	while (all.memory) {
		struct page *page = all.memory;

		all.memory = page->next;
		free(page);
	}
	if (error_is("reset"))
		kept = all.ranges;
	while (all.ranges && !kept) {
		struct range *range = all.ranges;

		all.ranges = range->next;
		free(range);
	}
	memset(&all, 0, sizeof(all));
	all.ranges = kept;
	all.world = *world;
	return 0;
}

int64_t tdxt_caps(struct tdxt_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	for (size_t i = 0; i < LEAVES; i++)
		caps->leaves[table[i].number / 64] |= 1ull << table[i].number % 64;
	return 0;
}

uint64_t tdxt_abi(void)
{
	return TDXT_ABI;
}

const char *tdxt_version(void)
{
	return "pairs of PAMT pages, 1";
}

const char *tdxt_error(void)
{
	return why;
}
