// SPDX-License-Identifier: MIT
/* init goes through what the header shim offers, alone on a CPU; it returns the line that is wrong. */
#include "pamt.h"
#include <linux/bit_spinlock.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/hashtable.h>
#include <linux/jump_label.h>
#include <linux/kref.h>
#include <linux/kvm_types.h>
#include <linux/llist.h>
#include <linux/mmdebug.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rwsem.h>
#include <linux/rculist.h>
#include <linux/seqlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>
#include <tdxfuzz/layer.h>

#define SAME(a, b)                                                                                 \
	do {                                                                                       \
		if ((a) != (b))                                                                    \
			return -__LINE__;                                                          \
	} while (0)

#define CONFIG_GIVEN 1
#define CONFIG_AS_MODULE_MODULE 1
#if !IS_ENABLED(CONFIG_GIVEN) || IS_ENABLED(CONFIG_NOT_GIVEN)
#error "IS_ENABLED() is wrong in #if"
#endif

struct thing {
	int key;
	struct list_head list;
	struct hlist_node hash;
	struct llist_node lock_less;
	struct kref kref;
};

static int atomics(void)
{
	atomic_t v = ATOMIC_INIT(5);
	atomic64_t w = ATOMIC64_INIT(1ll << 40);
	int old = 7;

	SAME(atomic_read(&v), 5);
	atomic_inc(&v);
	atomic_sub(2, &v);
	SAME(atomic_add_return(3, &v), 7);
	SAME(atomic_fetch_sub(1, &v), 7);
	SAME(atomic_cmpxchg(&v, 6, 9), 6);
	SAME(atomic_try_cmpxchg(&v, &old, 1), false);
	SAME(old, 9);
	SAME(atomic_try_cmpxchg(&v, &old, 1), true);
	SAME(atomic_dec_and_test(&v), true);
	SAME(atomic_inc_not_zero(&v), false);
	SAME(atomic_add_unless(&v, 4, 3), true);
	SAME(atomic_dec_if_positive(&v), 3);
	SAME(atomic_fetch_or(8, &v), 3);
	SAME(atomic_xchg(&v, 0x7fffffff), 11);
	SAME(atomic_inc_return(&v), (int)0x80000000);
	SAME(atomic_add_negative(1, &v), true);
	SAME(atomic_inc_unless_negative(&v), false);
	SAME(atomic64_inc_return(&w), (1ll << 40) + 1);
	SAME(atomic64_sub_and_test((1ll << 40) + 1, &w), true);
	return 0;
}

static DEFINE_SPINLOCK(count_lock);
static int released_count;

static void released(struct kref *kref)
{
	lockdep_assert_held(&count_lock);
	released_count += kref_read(kref) == 0;
	spin_unlock(&count_lock);
}

static int counts(void)
{
	refcount_t r = REFCOUNT_INIT(1);
	struct kref k;

	SAME(refcount_inc_not_zero(&r), true);
	SAME(refcount_dec_and_test(&r), false);
	SAME(refcount_dec_not_one(&r), false);
	SAME(refcount_dec_and_test(&r), true);
	SAME(refcount_inc_not_zero(&r), false);
	kref_init(&k);
	kref_get(&k);
	SAME(kref_read(&k), 2);
	refcount_set(&r, 2);
	SAME(refcount_dec_and_lock(&r, &count_lock), false);
	SAME(spin_is_locked(&count_lock), false);
	SAME(refcount_dec_and_lock(&r, &count_lock), true);
	lockdep_assert_held(&count_lock);
	spin_unlock(&count_lock);
	SAME(refcount_dec_if_one(&r), false);
	refcount_set(&r, REFCOUNT_SATURATED);
	SAME(refcount_dec_not_one(&r), true);
	SAME(refcount_dec_and_lock(&r, &count_lock), false);
	SAME(refcount_read(&r), (unsigned int)REFCOUNT_SATURATED);
	SAME(kref_put_lock(&k, released, &count_lock), 0);
	SAME(kref_put_lock(&k, released, &count_lock), 1);
	SAME(released_count, 1);
	return 0;
}

static int bits(void)
{
	DECLARE_BITMAP(map, 130) = {};
	unsigned long bit, sum = 0;

	set_bit(129, map);
	__set_bit(3, map);
	SAME(test_and_set_bit(3, map), true);
	SAME(test_bit(128, map), false);
	for_each_set_bit(bit, map, 130)
		sum += bit;
	SAME(sum, 132);
	SAME(find_first_zero_bit(map, 130), 0);
	clear_bit(3, map);
	SAME(find_first_bit(map, 130), 129);
	SAME(GENMASK_ULL(47, 40), 0xff0000000000ull);
	SAME(FIELD_GET(0xf0, 0x57), 5);
	bit_spin_lock(64, map);
	SAME(bit_spin_trylock(64, map), 0);
	SAME(bit_spin_is_locked(64, map), 1);
	bit_spin_unlock(64, map);
	SAME(bit_spin_is_locked(64, map), 0);
	SAME(ilog2(4096), 12);
	SAME(ALIGN(5, 4), 8);
	SAME(DIV_ROUND_UP(5, 4), 2);
	return 0;
}

static int lists(void)
{
	static DEFINE_HASHTABLE(table, 4);
	static LIST_HEAD(list);
	static LLIST_HEAD(stack);
	struct thing *thing, *next;
	int sum = 0;

	for (int i = 1; i <= 3; i++) {
		thing = kzalloc(sizeof(*thing), GFP_KERNEL);
		thing->key = i;
		list_add_tail(&thing->list, &list);
		hash_add(table, &thing->hash, i);
		llist_add(&thing->lock_less, &stack);
	}
	SAME(list_first_entry(&list, struct thing, list)->key, 1);
	SAME(list_last_entry(&list, struct thing, list)->key, 3);
	SAME(llist_entry(llist_del_first(&stack), struct thing, lock_less)->key, 3);
	hash_for_each_possible(table, thing, hash, 2)
		sum += thing->key == 2;
	SAME(sum, 1);
	list_for_each_entry_safe(thing, next, &list, list) {
		list_del_init(&thing->list);
		hash_del(&thing->hash);
		kfree(thing);
	}
	SAME(list_empty(&list), true);
	return 0;
}

static int locks(void)
{
	static DEFINE_MUTEX(mutex);
	static DEFINE_RWLOCK(rwlock);
	static DECLARE_RWSEM(sem);
	static DEFINE_SEQLOCK(seq);
	static DEFINE_RAW_SPINLOCK(raw);
	unsigned int start = read_seqbegin(&seq);

	guard(mutex)(&mutex);
	lockdep_assert_held(&mutex);
	read_lock(&rwlock);
	SAME(write_trylock(&rwlock), 0);
	read_unlock(&rwlock);
	SAME(write_trylock(&rwlock), 1);
	write_unlock(&rwlock);
	scoped_guard(rwsem_read, &sem)
		SAME(down_write_trylock(&sem), 0);
	scoped_guard(raw_spinlock_irqsave, &raw)
		SAME(raw_spin_trylock(&raw), 0);
	write_seqlock(&seq);
	write_sequnlock(&seq);
	SAME(read_seqretry(&seq, start), 1);
	SAME(raw_read_seqcount(&seq.seqcount), start + 2);
	raw_write_seqcount_begin(&seq.seqcount);
	SAME(raw_seqcount_begin(&seq.seqcount), start + 2);
	raw_write_seqcount_end(&seq.seqcount);
	return 0;
}

static int tables(void)
{
	static DEFINE_XARRAY(xa);

	for (unsigned long i = 0; i < 20; i++)
		SAME(xa_store(&xa, 19 - i, xa_mk_value(i), GFP_KERNEL), NULL);
	SAME(xa_to_value(xa_load(&xa, 19)), 0);
	SAME(xa_load(&xa, 20), NULL);
	SAME(xa_insert(&xa, 3, xa_mk_value(1), GFP_KERNEL), -EBUSY);
	SAME(xa_cmpxchg(&xa, 3, xa_mk_value(16), NULL, GFP_KERNEL), xa_mk_value(16));
	SAME(xa_load(&xa, 3), NULL);
	SAME(xa_to_value(xa_erase(&xa, 4)), 15);
	SAME(xa_to_value(xa_load(&xa, 5)), 14);
	return 0;
}

static int others(void)
{
	static DEFINE_STATIC_KEY_FALSE(key);
	static DEFINE_PER_CPU(int, mine);
	int *object __free(kfree) = kmalloc(sizeof(int), GFP_KERNEL);
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	char text[20];

	SAME(static_branch_unlikely(&key), false);
	this_cpu_inc(mine);
	SAME(this_cpu_read(mine), 1);
	SAME(page_to_pfn(virt_to_page(page_address(page))), page_to_pfn(page));
	memset(page_address(page), 0x11, PAGE_SIZE);
	SAME(*(u64 *)page_address(page), 0x1111111111111111ull);
	__free_page(page);
	SAME(IS_ERR(ERR_PTR(-ENOMEM)), true);
	SAME(PTR_ERR(ERR_PTR(-ENOMEM)), -ENOMEM);
	SAME(IS_TDX_OPERAND_BUSY(0x8000020000000080ull), true);
	SAME(snprintf(text, sizeof(text), "%d%s", 12, "ab"), 4);
	SAME(text[3], 'b');
	SAME(IS_ENABLED(CONFIG_GIVEN), true);
	SAME(IS_ENABLED(CONFIG_AS_MODULE), true);
	SAME(IS_BUILTIN(CONFIG_AS_MODULE), false);
	SAME(IS_ENABLED(CONFIG_NOT_GIVEN), false);
	*object = 1;
	object = krealloc(object, 2 * sizeof(int), GFP_KERNEL);
	SAME(object[0], 1);
	SAME(object[1], 0);
	SAME(ksize(object), 2 * sizeof(int));
	return 0;
}

/* A reader that stands on a node goes on from there after the node was taken away. */
static int readers(void)
{
	static HLIST_HEAD(head);
	struct hlist_node a, b;

	hlist_add_head_rcu(&b, &head);
	hlist_add_head_rcu(&a, &head);
	hlist_del_rcu(&a);
	SAME(a.next, &b);
	SAME(head.first, &b);
	hlist_add_head_rcu(&a, &head);
	hlist_del_init_rcu(&a);
	SAME(a.next, &b);
	SAME(hlist_unhashed(&a), true);
	hlist_add_head_rcu(&a, &head);
	hash_del_rcu(&a);
	SAME(a.next, &b);
	SAME(hlist_unhashed(&a), true);
	hlist_del_init_rcu(&a);
	SAME(head.first, &b);
	return 0;
}

/* Sizes and times of zero. */
static int nothing(void)
{
	static DECLARE_WAIT_QUEUE_HEAD(queue);
	static DECLARE_COMPLETION(done);
	static void *nowhere;
	char text[4] = "abc";

	SAME(wait_event_timeout(queue, 1, 0), 1);
	SAME(wait_event_timeout(queue, 0, 0), 0);
	SAME(wait_event_timeout(queue, 1, 5), 5);
	SAME(wait_for_completion_timeout(&done, 0), 0);
	complete(&done);
	SAME(wait_for_completion_timeout(&done, 0), 1);
	free_page(0);
	memcpy(text, READ_ONCE(nowhere), 0);
	memset(READ_ONCE(nowhere), 0, 0);
	SAME(memcmp(text, READ_ONCE(nowhere), 0), 0);
	SAME(snprintf(NULL, 0, "%d", 1234), 4);
	SAME(snprintf(text, 3, "%d", 1234), 4);
	SAME(text[1], '2');
	SAME(text[2], '\0');
	return 0;
}

static int interrupts(void)
{
	static DEFINE_SPINLOCK(one);
	unsigned long outer, inner;

	local_irq_save(outer);
	local_irq_save(inner);
	SAME(irqs_disabled(), true);
	local_irq_restore(inner);
	SAME(irqs_disabled(), true);
	local_irq_restore(outer);
	SAME(irqs_disabled(), false);
	scoped_guard(spinlock_irqsave, &one)
		SAME(irqs_disabled(), true);
	SAME(irqs_disabled(), false);
	local_bh_disable();
	local_bh_disable();
	local_bh_enable();
	SAME(in_interrupt(), true);
	SAME(irqs_disabled(), false);
	local_bh_enable();
	SAME(in_interrupt(), false);
	return 0;
}

static int init(void)
{
	int (*const all[])(void) = { atomics, counts,  bits,    lists,     locks,
				     tables,  others, readers, nothing, interrupts };

	for (int i = 0; i < ARRAY_SIZE(all); i++) {
		int wrong = all[i]();

		if (wrong)
			return wrong;
	}
	return tdx_layer_init();
}

static int tdx_pamt_get(u64 pfn, struct tdx_pamt_cache *cache)
{
	return 0;
}

static void tdx_pamt_put(u64 pfn)
{
}

TDX_LAYER(.init = init, .get = tdx_pamt_get, .put = tdx_pamt_put);
