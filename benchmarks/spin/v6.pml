/* tdxfuzz/host/designs/v6.py */

#define TOLERATES_BUSY false
#define PAGE_GONE skip
#define HOLD_ENDS(r) drop(r)
#define IS_CLEAN (refcount[A] == holders[A] && has_pair[A] == (holders[A] > 0))

inline lock_pamt() { atomic { !pamt_lock -> pamt_lock = true } }

inline unlock_pamt() { pamt_lock = false }

inline get(r) {
    result = 0;
    d_step {
        ok = (refcount[r] != 0);
        if
        :: ok -> refcount[r]++
        :: else
        fi
    };
    if
    :: ok
    :: else ->
        pop_pair();
        lock_pamt();
        ok = (refcount[r] != 0);
        if
        :: ok -> refcount[r]++; unlock_pamt(); free_pair()
        :: else ->
            phymem_pamt_add(r, one, two);
            assert(status == OK);
            refcount[r] = 1;
            one = 0;
            two = 0;
            unlock_pamt()
        fi
    fi
}

inline put(r, removal_hint) {
    d_step {
        ok = (refcount[r] != 1);
        if
        :: ok -> refcount[r]--
        :: else
        fi
    };
    if
    :: ok
    :: else ->
        lock_pamt();
        d_step { refcount[r]--; ok = (refcount[r] != 0) };
        if
        :: ok -> unlock_pamt()
        :: else ->
            phymem_pamt_remove(r, one, two);
            assert(status == OK);
            unlock_pamt();
            free_pair()
        fi
    fi
}
