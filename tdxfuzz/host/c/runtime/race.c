/* SPDX-License-Identifier: MIT */
/*
 * Data races: two accesses of different CPUs to the same bytes, one of them plain and one of them a
 * write, that nothing orders. Orders are kept as vector clocks: what a CPU has done up to a time is
 * known to those that its time has reached, by way of locks, atomics and fences.
 *
 * A call begins with what its caller has from others: "tokens" stand for locks that are held
 * outside of C and for pages that change hands. Python names them.
 */

#define WORDS (1u << 15)	/* of 8 bytes that one run may touch */
#define OBJECTS (1u << 15)	/* locks, atomics and tokens (of all pages) that a run may order by */

typedef struct {
	u32 at[THREADS];
} clock;

enum kind { PLAIN_READ, PLAIN_WRITE, MARKED_READ, MARKED_WRITE, KINDS, FREED = KINDS };

struct cell {		/* accesses that begin at one byte: when and where each CPU's last was made */
	u32 when[KINDS][THREADS];
	u32 pc[KINDS][THREADS];
	u8 size[KINDS][THREADS];
};

static struct word {	/* those of this run, one after the other */
	u64 at;
	u8 used;	/* by byte: there is a cell */
	u8 shared;	/* see share() */
} words[WORDS];
static struct cell (*cells)[8];	/* of each word */

static struct {		/* where to find a word */
	u64 at;
	u32 run, word;
} *slots;

/*
 * A word of a context's own stack, which hardly ever anybody else touches: only its owner's last
 * accesses are noted, until somebody does.
 */
static struct own {
	u32 run;
	u8 offset, size;
	u32 when[2], pc[2];	/* plain read, plain write */
} owns[CONTEXTS][STACK_SIZE / 8];

static struct object {
	u64 at;
	u32 run;
	clock known;
} *objects;

static u32 touches, ordering[OBJECTS], orderings;
static u8 page_touched[TDXC_PFNS];	/* its struct page was, in this run */
static u32 run = 1;
static u64 shared_words[WORDS];
static clock now[THREADS], fenced[THREADS], unfenced[THREADS];
static int on_purpose[CONTEXTS];

static inline void join(clock *into, const clock *from)
{
	for (int i = 0; i < THREADS; i++)
		if (from->at[i] > into->at[i])
			into->at[i] = from->at[i];
}

static void forget_accesses(void)
{
	run++;
	touches = orderings = lents = 0;
	memset(page_touched, 0, sizeof(page_touched));
	memset(now, 0, sizeof(now));
	memset(fenced, 0, sizeof(fenced));
	memset(unfenced, 0, sizeof(unfenced));
	memset(on_purpose, 0, sizeof(on_purpose));
	memset(active, 0, sizeof(active));
	memset(S.seen, 0, sizeof(S.seen));
	S.laters = 0;
	for (int i = 0; i < THREADS; i++)
		now[i].at[i] = 1;
}

/* From here on all that was done is in the past of every CPU. */
void tdxc_begin_run(int threads)
{
	cpus = threads;
	forget_accesses();
}

/*
 * Where words that CPUs were seen to share are remembered, over all runs: only there the order of
 * accesses is part of a state. A search that learns of another one begins again.
 */
static u64 *share(u64 at)
{
	u64 key = at | OF_IMAGE;
	u32 i = (u32)(mix(3, key) % WORDS);

	while (shared_words[i] && shared_words[i] != key)
		i = (i + 1) % WORDS;
	return &shared_words[i];
}

static int all_shared;

static void note_shared_word(struct word *w)
{
	if (w->shared)
		return;
	if (all_shared == WORDS / 2)
		request(TOO_MUCH, 0, 0, 0, 0, NULL);
	w->shared = 1;
	*share(w->at) = w->at | OF_IMAGE;
	image->shared++;
	all_shared++;
}

/* How many words of a file are. */
u64 tdxc_shared(int which) { return images[which].shared; }

static struct object *object_of(u64 at)
{
	u32 i = (u32)(mix(1, at) % OBJECTS);

	for (;; i = (i + 1) % OBJECTS) {
		struct object *o = &objects[i];

		if (o->run == run && o->at == at)
			return o;
		if (o->run != run) {
			if (orderings == OBJECTS / 2)
				request(TOO_MUCH, 0, 0, 0, 0, NULL);
			*o = (struct object){ .at = at, .run = run };
			ordering[orderings++] = i;
			return o;
		}
	}
}

static struct word *word_of(u64 at)
{
	u32 i = (u32)(mix(2, at) % WORDS);

	for (; slots[i].run == run; i = (i + 1) % WORDS)
		if (slots[i].at == at)
			return &words[slots[i].word];
	if (touches == WORDS / 2)
		request(TOO_MUCH, 0, 0, 0, 0, NULL);
	slots[i].at = at;
	slots[i].run = run;
	slots[i].word = touches;
	words[touches].at = at;
	words[touches].used = 0;
	words[touches].shared = *share(at) != 0;
	return &words[touches++];
}

static void acquire(u64 at)
{
	join(&now[S.thread], &object_of(at)->known);
}

static void release(u64 at)
{
	join(&object_of(at)->known, &now[S.thread]);
	now[S.thread].at[S.thread]++;
}

/* Whoever holds a lock shared has what its writers did, but nothing of its other readers. */
#define READERS 1ull
#define SHARED_TOKEN (1ull << 62)

static void acquire_tokens(void)
{
	for (int i = 0; i < entry[S.context].tokens; i++) {
		u64 token = entry[S.context].token[i];

		acquire(token & ~SHARED_TOKEN);
		if (!(token & SHARED_TOKEN))
			acquire(token | READERS);
	}
}

static void release_tokens(void)
{
	for (int i = 0; i < entry[S.context].tokens; i++) {
		u64 token = entry[S.context].token[i];

		release(token & SHARED_TOKEN ? (token & ~SHARED_TOKEN) | READERS : token);
	}
}

/* An atomic or marked access has this order. A full one is a read and a write. */
static void ordered(u64 at, int access, int order)
{
	int me = (int)S.thread;

	if (order == TDXC_FULL)
		tdxc_fence(TDXC_ACQUIRE);
	if (access != WRITE) {
		struct object *o = object_of(at);

		if (order & TDXC_ACQUIRE)
			join(&now[me], &o->known);
		else
			join(&unfenced[me], &o->known);
	}
	if (access != READ) {
		if (order & TDXC_RELEASE)
			release(at);
		else
			join(&object_of(at)->known, &fenced[me]);
	}
	if (order == TDXC_FULL)
		tdxc_fence(TDXC_RELEASE);
}

void tdxc_fence(int order)
{
	int me = (int)S.thread;

	if (order & TDXC_ACQUIRE)
		join(&now[me], &unfenced[me]);
	if (order & TDXC_RELEASE) {
		fenced[me] = now[me];
		now[me].at[me]++;
	}
}

void tdxc_depends(const volatile void *at)
{
	acquire((u64)at);
}

void tdxc_races_on_purpose(int on)
{
	on_purpose[S.context] += on ? 1 : -1;
}

static inline int conflict(enum kind a, enum kind b)
{
	return (a | b) & 1 && (a < MARKED_READ || b < MARKED_READ);
}

static struct own *own_word(int context, u64 at)
{
	return &owns[context][(at - (u64)(top_of(context) - STACK_SIZE)) / 8];
}

/* Note an access, and tell of a race. */
static void note_shared(u64 at, u32 size, enum kind kind, const void *pc)
{
	u64 first = at & ~7ull;
	u32 offset = (u32)(at & 7);
	int me = (int)S.thread;
	struct word *w;
	struct cell *c;

	w = word_of(first);
	if (first - TDXC_MEM_MAP < TDXC_PFNS * STRUCT_PAGE)
		page_touched[(first - TDXC_MEM_MAP) / STRUCT_PAGE] = 1;
	for (u32 o = 0; o < offset + size; o++) {
		if (!(w->used >> o & 1))
			continue;
		for (enum kind k = PLAIN_READ; k < KINDS; k++) {
			if (!((kind | k) & 1))
				continue;
			for (int t = 0; t < cpus; t++) {
				c = &cells[w - words][o];
				if (t == me || !c->when[k][t] || o + c->size[k][t] <= offset)
					continue;
				if (!conflict(kind, k)) {
					if (o != offset || c->size[k][t] != size)
						unite(first, 8, pc);
					continue;
				}
				note_shared_word(w);
				if (c->when[k][t] > now[me].at[t])
					request(RACE, at, (u64)kind, image->low + c->pc[k][t], (u64)k, pc);
			}
		}
	}
	c = &cells[w - words][offset];
	if (!(w->used >> offset & 1)) {
		memset(c, 0, sizeof(*c));
		w->used |= (u8)(1 << offset);
	}
	c->when[kind][me] = now[me].at[me];
	c->pc[kind][me] = (u32)((u64)pc - image->low);
	c->size[kind][me] = (u8)size;
}

/* Somebody else comes to a word of a stack: what its owner did counts from now on. */
static void note_owner(u64 word, int context)
{
	struct own *own = own_word(context, word);
	struct word *w;
	int t = context == CONTEXTS - 1 ? 0 : context % cpus;

	if (own->run != run || !own->size)
		return;
	w = word_of(word);
	memset(&cells[w - words][own->offset], 0, sizeof(struct cell));
	w->used |= (u8)(1 << own->offset);
	for (int kind = PLAIN_READ; kind <= PLAIN_WRITE; kind++) {
		struct cell *c = &cells[w - words][own->offset];

		c->when[kind][t] = own->when[kind];
		c->pc[kind][t] = own->pc[kind];
		c->size[kind][t] = own->size;
	}
}

/* Note an access, and tell of a race. It does not cross a word. */
static void note_access(u64 at, u32 size, enum kind kind, const void *pc)
{
	if (on_purpose[S.context] || S.quiet)
		return;
	if (stack_of((void *)at) == S.context && kind <= PLAIN_WRITE && !is_lent(at & ~7ull)) {
		struct own *own = own_word((int)S.context, at);

		if (own->run != run)
			*own = (struct own){ .run = run, .offset = 8 };
		if (own->offset > (at & 7))
			own->offset = at & 7;
		if (own->offset + own->size < (at & 7) + size)
			own->size = (u8)((at & 7) + size - own->offset);
		own->when[kind] = now[S.thread].at[S.thread];
		own->pc[kind] = (u32)((u64)pc - image->low);
		return;
	}
	note_shared(at, size, kind, pc);
}

/*
 * Memory is freed. That is a write to all of it: no order of steps has to be tried out for somebody
 * else's access to come later.
 */
static void free_words(u64 at, u64 size, const void *pc)
{
	int me = (int)S.thread;

	if (on_purpose[S.context] || S.quiet)
		return;
	for (u32 k = 0; k < touches; k++) {
		if (words[k].at - at >= size)
			continue;
		for (u32 o = 0; o < 8; o++)
			for (int kind = 0; words[k].used >> o & 1 && kind < KINDS; kind++)
				for (int t = 0; t < cpus; t++) {
					struct cell *c = &cells[k][o];

					if (t == me || !c->when[kind][t])
						continue;
					note_shared_word(&words[k]);
					if (c->when[kind][t] > now[me].at[t])
						request(RACE, words[k].at + o, FREED, image->low + c->pc[kind][t],
							(u64)kind, pc);
				}
	}
}

/* Memory changes its owner: what was done to it does not count any more. */
static void forget_words(u64 at, u64 size)
{
	if (!S.quiet)
		for (u32 k = 0; k < touches; k++)
			if (words[k].at - at < size)
				words[k].used = 0;
}

static u64 covers(int thread, u32 when)
{
	u64 h = 0, all = 1;

	for (int t = 0; t < cpus; t++) {
		int knows = now[t].at[thread] >= when;

		all &= knows || t == thread;
		h |= (u64)knows << t | (u64)(fenced[t].at[thread] >= when) << (8 + t) |
		     (u64)(unfenced[t].at[thread] >= when) << (16 + t);
	}
	if (all)
		return 0;
	for (u32 k = 0; k < orderings; k++) {
		struct object *o = &objects[ordering[k]];

		if (o->known.at[thread] >= when)
			h += mix(3, plain(o->at)) << 24;
	}
	return h | 1ull << 63;
}

/* A number for what later accesses can race with, as far as CPUs share it. */
u64 tdxc_order_hash(void)
{
	u64 sum = 0;

	for (u32 k = 0; k < touches; k++) {
		struct word *w = &words[k];

		if (!w->shared)
			continue;
		for (u32 o = 0; o < 8; o++)
			for (int kind = 0; w->used >> o & 1 && kind < KINDS; kind++)
				for (int t = 0; t < cpus; t++) {
					struct cell *c = &cells[k][o];
					u32 when = c->when[kind][t];
					u64 cover = when ? covers(t, when) : 0;

					if (cover)
						sum += mix(mix(plain(w->at) + o, (u64)kind << 8 | (u64)t |
							       (u64)c->size[kind][t] << 16), cover);
				}
	}
	return sum;
}

static int make_shadow(void)
{
	slots = calloc(WORDS, sizeof(*slots));
	cells = mmap(NULL, WORDS * sizeof(*cells), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	objects = calloc(OBJECTS, sizeof(*objects));
	return cells != MAP_FAILED && slots && objects;
}
