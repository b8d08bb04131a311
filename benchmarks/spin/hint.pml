/* tdxfuzz/host/designs/hint.py: BUSY is repeated until it is not, and the hold on a range
   ends where the module lets go of the page. */

#define TOLERATES_BUSY true
#define PAGE_GONE holders[A]--
#define HOLD_ENDS(r) skip
#define IS_CLEAN true

inline get(r) {
    pop_pair();
    phymem_pamt_add(r, one, two);
    result = 0;
    if
    :: status == OK -> one = 0; two = 0
    :: else ->
        free_pair();
        if
        :: status == BUSY -> result = BUSY
        :: else
        fi
    fi
}

inline put(r, removal_hint) {
    if
    :: removal_hint ->
        do
        :: phymem_pamt_remove(r, one, two);
            if
            :: status == BUSY -> cpu_relax()
            :: else -> break
            fi
        od;
        if
        :: status == OK -> free_pair()
        :: else
        fi
    :: else
    fi
}
