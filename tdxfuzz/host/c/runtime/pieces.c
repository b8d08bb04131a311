/* SPDX-License-Identifier: MIT */
/*
 * What a step is on. As a rule that is the address of the access, so that others are known to
 * concern the same. Where accesses of several sizes meet, and where data_race() has been seen, one
 * word stands for all words that an access ever spanned there. This is remembered over all runs: a
 * search that learns of more begins again.
 */

#define PIECES (1u << 12)

static struct piece {
	u64 key, first;
} pieces[PIECES];
static u32 piece_count;

static struct piece *piece_at(u64 word)
{
	u64 key = word | OF_IMAGE;
	u32 i = (u32)(mix(4, key) % PIECES);

	while (pieces[i].key && pieces[i].key != key)
		i = (i + 1) % PIECES;
	return &pieces[i];
}

/* The word that stands for an access that lies in one; 0: its address does. */
static inline u64 piece_of(u64 at)
{
	return image->pieces ? piece_at(at & ~7ull)->first : 0;
}

static int has_piece(u64 at, u64 size)
{
	if (image->pieces)
		for (u64 word = at & ~7ull; word < at + size; word += 8)
			if (piece_at(word)->key)
				return 1;
	return 0;
}

/* From now on one word stands for all those of an access: which one. */
static u64 unite(u64 at, u64 size, const void *pc)
{
	u64 first = at & ~7ull;

	for (u64 word = at & ~7ull; word < at + size; word += 8) {
		struct piece *p = piece_at(word);

		if (p->key && p->first < first)
			first = p->first;
	}
	for (u64 word = at & ~7ull; word < at + size; word += 8) {
		struct piece *p = piece_at(word);
		u64 before = p->first;

		if (p->key && before == first)
			continue;
		image->shared++;
		if (!p->key) {
			if (++piece_count == PIECES / 2)
				request(TOO_MUCH, 0, 0, 0, 0, pc);
			p->key = word | OF_IMAGE;
			p->first = first;
			image->pieces++;
			continue;
		}
		for (u32 i = 0; i < PIECES; i++)
			if (pieces[i].key >> 48 == OF_IMAGE >> 48 && pieces[i].first == before)
				pieces[i].first = first;
	}
	return first;
}
