/* KVM's paths, as in tdxfuzz/host/kvm/mmu.py, with the page allocator; a design (get, put)
   stands in a file of its own.  Each CPU works for one TD of its own, so that the TD's
   locks and SPTEs are local to the process. */

byte holders[RANGES];           /* who relies on a range's pair: the check's, not the host's */
byte refcount[RANGES];
bit pamt_lock;
byte done;

#include DESIGN
#include "module.pml"

#define MAP 1
#define ZAP 2
#define CONVERT 3

/* Each CPU has its list: the page freed last is handed out first, then its share of the
   pages never handed out before. */
inline alloc_page(page) {
    if
    :: nr_free > 0 -> nr_free--; page = free_pages[nr_free]; free_pages[nr_free] = 0
    :: else -> page = fresh; fresh = (fresh % 2 -> fresh + 2 * CPUS - 1 : fresh + 1)
    fi
}

inline free_page(page) { d_step { free_pages[nr_free] = page; nr_free++; page = 0 } }

inline pop_pair() {
    d_step {
        assert(nr_pamt >= 2);
        one = pamt_cache[nr_pamt - 1];
        two = pamt_cache[nr_pamt - 2];
        nr_pamt = nr_pamt - 2;
        pamt_cache[nr_pamt] = 0;
        pamt_cache[nr_pamt + 1] = 0
    }
}

inline free_pair() { free_page(one); free_page(two) }

inline hold(r) { d_step { holders[r]++; assert(has_pair[r]) } }

inline drop(r) { d_step { holders[r]-- } }

inline topup() {
    if
    :: nr_sept < 3 ->
        d_step {
            do
            :: nr_sept < 3 -> alloc_page(page); sept_cache[nr_sept] = page; nr_sept++
            :: else -> break
            od;
            page = 0
        }
    :: else
    fi;
    if
    :: nr_pamt < 10 ->
        d_step {
            do
            :: nr_pamt < 10 -> alloc_page(page); pamt_cache[nr_pamt] = page; nr_pamt++
            :: else -> break
            od;
            page = 0
        }
    :: else
    fi
}

/* tdp_mmu_link_sp: the S-EPT pages that are missing, from the top; `result` as an errno */
inline link_sept_pages() {
    level = 3;
    do
    :: level == 0 || result != 0 -> break
    :: else ->
        if
        :: level <= missing_levels ->
            d_step {
                nr_sept--;
                page = sept_cache[nr_sept];
                sept_cache[nr_sept] = 0;
                spte++
            };
            get(RANGE_OF(page));
            if
            :: result == 0 ->
                hold(RANGE_OF(page));
                mem_sept_add(page);
                assert(status == OK || status == BUSY);
                if
                :: status == OK -> missing_levels--; page = 0
                :: else -> drop(RANGE_OF(page)); put(RANGE_OF(page), false); result = BUSY
                fi
            :: else
            fi;
            if
            :: result != 0 -> d_step { sept_cache[nr_sept] = page; nr_sept++; page = 0 }
            :: else
            fi;
            spte = 0
        :: else -> spte++; spte = 0
        fi;
        level--
    od;
    level = 0
}

inline map_page() {
    spte++;
    if
    :: mapped -> spte = 0
    :: else ->
        spte++;
        get(A);
        if
        :: result == 0 ->
            hold(A);
            mem_page_aug();
            assert(status == OK || status == BUSY);
            if
            :: status == OK -> mapped = true
            :: else -> drop(A); put(A, false); result = BUSY
            fi
        :: else
        fi;
        spte = 0
    fi
}

inline map() {
    users++;
    vcpu_mutex++;
    do
    :: topup();
        mmu_lock++;
        result = 0;
        if
        :: !shared -> link_sept_pages();
            if
            :: result == 0 -> map_page()
            :: else
            fi
        :: else
        fi;
        mmu_lock--;
        if
        :: result == BUSY -> assert(TOLERATES_BUSY); result = 0; cpu_relax()
        :: else -> break
        fi
    od;
    result = 0;
    vcpu_mutex--;
    users--
}

/* tdh_do_no_vcpus, and before it the loop where a design tolerates BUSY */
#define NO_VCPUS(seamcall) \
    do \
    :: seamcall(); \
        if \
        :: status == BUSY && TOLERATES_BUSY -> cpu_relax() \
        :: status == BUSY && !TOLERATES_BUSY && again == 0 -> again = 1 \
        :: else -> break \
        fi \
    od; \
    again = 0; \
    assert(status == OK)

inline remove_page() {
    spte++;
    NO_VCPUS(mem_range_block);
    NO_VCPUS(mem_track);
    NO_VCPUS(mem_page_remove);
    NO_VCPUS(phymem_page_wbinvd);
    mapped = false;
    spte = 0;
    HOLD_ENDS(A);
    put(A, hint);
    hint = false
}

inline zap() {
    users++;
    slots_lock++;
    mmu_lock++;
    if
    :: mapped -> remove_page()
    :: else
    fi;
    mmu_lock--;
    slots_lock--;
    users--
}

inline convert() {
    users++;
    slots_lock++;
    mmu_lock++;
    if
    :: shared -> shared = false
    :: else ->
        shared = true;
        if
        :: mapped -> remove_page()
        :: else
        fi
    fi;
    mmu_lock--;
    slots_lock--;
    users--
}

proctype cpu(byte me) {
    /* what the walks and calls work with */
    short old;
    bool ok, pair, in_use, hint;
    mtype status, result;
    byte each, again, refused_by;
    byte one, two, page;
    /* the TD's own locks and entries: how often taken, or how many steps were made there */
    byte tdr, op_state, tree, private, entry_4k, spte, users, mmu_lock, slots_lock, vcpu_mutex;
    short chldcnt;
    /* the TD and its vCPU */
    byte home, missing_levels, level;
    bool mapped, shared;
    byte free_pages[FREE_PAGES], nr_free, fresh;
    byte sept_cache[3], nr_sept, pamt_cache[10], nr_pamt;
    byte program[2], at;

    d_step { START };
    do
    :: at == 2 || program[at] == 0 -> break
    :: else ->
        if
        :: program[at] == MAP -> map()
        :: program[at] == ZAP -> zap()
        :: program[at] == CONVERT -> convert()
        fi;
        at++
    od;
    at = 0;
    d_step {
        done++;
        if
        :: done == CPUS -> assert(!pamt_lock && IS_CLEAN)
        :: else
        fi
    }
}

init { atomic { SETUP } }
