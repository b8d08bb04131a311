/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_LLIST_H
#define TDXFUZZ_LINUX_LLIST_H
#include <linux/atomic.h>
#include <linux/container_of.h>

struct llist_node {
	struct llist_node *next;
};

struct llist_head {
	struct llist_node *first;
};

#define LLIST_HEAD_INIT(name) { NULL }
#define LLIST_HEAD(name) struct llist_head name = LLIST_HEAD_INIT(name)
#define init_llist_head(head) ((head)->first = NULL)
#define llist_entry(ptr, type, member) container_of(ptr, type, member)

static __always_inline __maybe_unused bool llist_empty(const struct llist_head *head)
{
	return !READ_ONCE(head->first);
}

static __always_inline __maybe_unused bool llist_add_batch(struct llist_node *first,
							    struct llist_node *last,
							    struct llist_head *head)
{
	struct llist_node *old = READ_ONCE(head->first);

	do {
		last->next = old;
	} while (!try_cmpxchg(&head->first, &old, first));
	return !old;
}

static __always_inline __maybe_unused bool llist_add(struct llist_node *entry,
						      struct llist_head *head)
{
	return llist_add_batch(entry, entry, head);
}

static __always_inline __maybe_unused struct llist_node *llist_del_all(struct llist_head *head)
{
	return xchg(&head->first, NULL);
}

static __always_inline __maybe_unused struct llist_node *llist_del_first(struct llist_head *head)
{
	struct llist_node *entry = smp_load_acquire(&head->first);

	do {
		if (!entry)
			return NULL;
	} while (!try_cmpxchg(&head->first, &entry, READ_ONCE(entry->next)));
	return entry;
}

#define llist_for_each_entry_safe(pos, n, node, member)                                            \
	for (pos = llist_entry(node, __typeof__(*pos), member);                                    \
	     (void *)&pos->member != NULL &&                                                       \
	     ({ n = llist_entry(pos->member.next, __typeof__(*n), member); 1; });                  \
	     pos = n)

#endif
