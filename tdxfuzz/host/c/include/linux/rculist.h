/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_RCULIST_H
#define TDXFUZZ_LINUX_RCULIST_H
#include <linux/list.h>
#include <linux/rcupdate.h>

static __always_inline __maybe_unused void list_add_rcu(struct list_head *entry,
							 struct list_head *head)
{
	struct list_head *next = head->next;

	entry->next = next;
	entry->prev = head;
	smp_store_release(&head->next, entry);
	next->prev = entry;
}

static __always_inline __maybe_unused void list_add_tail_rcu(struct list_head *entry,
							      struct list_head *head)
{
	struct list_head *prev = head->prev;

	entry->next = head;
	entry->prev = prev;
	smp_store_release(&prev->next, entry);
	head->prev = entry;
}

static __always_inline __maybe_unused void list_del_rcu(struct list_head *entry)
{
	__list_del(entry->prev, entry->next);
	entry->prev = LIST_POISON2;
}

static __always_inline __maybe_unused void hlist_add_head_rcu(struct hlist_node *node,
							       struct hlist_head *head)
{
	struct hlist_node *first = head->first;

	node->next = first;
	WRITE_ONCE(node->pprev, &head->first);
	smp_store_release(&head->first, node);
	if (first)
		WRITE_ONCE(first->pprev, &node->next);
}

/* A reader that stands on the node goes on from there: its next stays as it is. */
static __always_inline __maybe_unused void hlist_del_rcu(struct hlist_node *node)
{
	__hlist_del(node);
	WRITE_ONCE(node->pprev, LIST_POISON2);
}

static __always_inline __maybe_unused void hlist_del_init_rcu(struct hlist_node *node)
{
	if (!hlist_unhashed(node)) {
		__hlist_del(node);
		WRITE_ONCE(node->pprev, NULL);
	}
}

#define list_entry_rcu(ptr, type, member) container_of(rcu_dereference(ptr), type, member)
#define list_for_each_entry_rcu(pos, head, member, condition...)                                   \
	for (pos = list_entry_rcu((head)->next, __typeof__(*pos), member); &pos->member != (head); \
	     pos = list_entry_rcu(pos->member.next, __typeof__(*pos), member))
#define hlist_for_each_entry_rcu(pos, head, member, condition...)                                  \
	for (pos = hlist_entry_safe(rcu_dereference((head)->first), __typeof__(*(pos)), member);   \
	     pos; pos = hlist_entry_safe(rcu_dereference((pos)->member.next), __typeof__(*(pos)),  \
					 member))

#endif
