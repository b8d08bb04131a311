/* The TDX module's calls, one statement for each step of tdxfuzz/module.

   A d_step is one atomic instruction. What only one CPU ever touches in these scenarios (a
   TD's own locks and entries, the 4KB entries of its pages, whose locks are never contended)
   is local to the process: Spin then need not try other CPUs in between, which tdxfuzz finds
   out by itself. Waiting on nothing, a call leaves its outcome in `status`. */

#define EX 1
#define HP 2
#define SHARER 4

#define A 0                     /* the 2MB range that the scenarios are about */
#define RANGE_OF(page) (1 + (page) % 2)

mtype = { OK, BUSY, MISSING, NOT_FREE, NO_PAIR, NOT_EMPTY };
mtype = { FREE, PAMT_PAGE, EPT_PAGE };

short pamt_1g;                  /* lock word of the one PAMT_1G entry */
short word[RANGES];             /* lock words of the PAMT_2M entries */
bit has_pair[RANGES];           /* their type: PAMT, or NDA */
short count[RANGES];            /* PAGE_COUNT */
byte first[RANGES];             /* the pair */
byte second[RANGES];
mtype kind[PAGES];              /* type, and bitmap bit, of the kernel's pages */
bit guest_page[CPUS];           /* type of each TD's page in range A: REG, or NDA */

/* HpLock.acquire_sh: a refused sharer stays, and asks for host priority. */
inline acquire_sh(w) {
    d_step { old = w; w = w + SHARER };
    if
    :: old & EX -> d_step { w = w | HP; ok = false; old = 0 }
    :: !(old & EX) && (old & HP) -> d_step { w = w & ~HP; ok = true; old = 0 }
    :: else -> d_step { ok = true; old = 0 }
    fi
}

inline release_sh(w) { d_step { assert(!(w & EX) && w >= SHARER); w = w - SHARER } }

inline release_ex(w) { d_step { assert(w & EX); w = w & HP } }

inline promote(w) {
    d_step {
        old = w;
        assert(!(old & EX) && old != 0);
        if
        :: old == SHARER -> w = EX
        :: else
        fi
    };
    if
    :: old == SHARER -> d_step { ok = true; old = 0 }
    :: old == SHARER + HP ->
        d_step {
            assert(!(w & EX) && w != 0);
            ok = (w == SHARER + HP);
            if
            :: ok -> w = EX
            :: else
            fi;
            old = 0
        }
    :: else -> d_step { w = w | HP; ok = false; old = 0 }
    fi
}

/* Pamt.walk as far as the 2MB entry, shared; `pair` says whether there is more below. */
inline walk(r) {
    acquire_sh(pamt_1g);
    assert(ok);
    acquire_sh(word[r]);
    if
    :: ok -> pair = has_pair[r]
    :: else -> refused_by = r; release_sh(pamt_1g)
    fi
}

/* A retry point. As long as the lock that refused a sharer is held, trying again does the
   same again and adds another stray sharer, which the holder's release drops: without this
   Spin counts them. */
inline cpu_relax() { d_step { !(word[refused_by] & EX) -> refused_by = 0 } }

inline unwalk(r) { release_sh(word[r]); release_sh(pamt_1g) }

/* access.lock_tdr, map_tdcs */
inline lock_tdr() {
    walk(home);
    if
    :: ok -> assert(pair); tdr++; op_state++
    :: else
    fi
}

inline unlock_tdr() { op_state--; tdr--; unwalk(home) }

/* access.lock_sept_entry: tree, read, lock bit, host priority */
inline lock_sept_entry() { tree++; private++; private++; private++ }

inline update_sept_entry() { private++; private++ }

inline mem_sept_add(page) {
    lock_tdr();
    if
    :: !ok -> status = BUSY
    :: else ->
        lock_sept_entry();
        walk(RANGE_OF(page));
        if
        :: !ok -> status = BUSY; private++
        :: else ->
            assert(pair);
            entry_4k++;
            d_step { assert(kind[page] == FREE); kind[page] = EPT_PAGE };
            d_step { count[RANGE_OF(page)]++; assert(count[RANGE_OF(page)] <= 512) };
            chldcnt++;
            update_sept_entry();
            private++;
            entry_4k--;
            unwalk(RANGE_OF(page));
            status = OK
        fi;
        tree--;
        unlock_tdr()
    fi;
    private = 0
}

inline mem_page_aug() {
    lock_tdr();
    if
    :: !ok -> status = BUSY
    :: else ->
        lock_sept_entry();
        walk(A);
        if
        :: !ok -> status = BUSY; private++
        :: ok && !pair ->
            promote(word[A]);
            if
            :: ok -> release_ex(word[A]); status = MISSING
            :: else -> release_sh(word[A]); status = BUSY
            fi;
            release_sh(pamt_1g);
            private++
        :: ok && pair ->
            entry_4k++;
            private++;
            update_sept_entry();
            chldcnt++;
            guest_page[me] = 1;
            d_step { count[A]++; assert(count[A] <= 512) };
            entry_4k--;
            unwalk(A);
            status = OK
        fi;
        tree--;
        unlock_tdr()
    fi;
    private = 0
}

inline mem_range_block() {
    lock_tdr();
    if
    :: !ok -> status = BUSY
    :: else ->
        lock_sept_entry();
        update_sept_entry();
        assert(has_pair[A] && guest_page[me]);
        private++;
        private++;
        private++;
        tree--;
        unlock_tdr();
        status = OK
    fi;
    private = 0
}

inline mem_track() {
    lock_tdr();
    if
    :: !ok -> status = BUSY
    :: else -> private++; private++; private++; unlock_tdr(); status = OK
    fi;
    private = 0
}

/* `hint` is the removal hint; releasing the page's entry touches the backing page. */
inline mem_page_remove() {
    lock_tdr();
    if
    :: !ok -> status = BUSY
    :: else ->
        lock_sept_entry();
        assert(has_pair[A] && guest_page[me]);
        entry_4k++;
        update_sept_entry();
        chldcnt--;
        guest_page[me] = 0;
        d_step { hint = (count[A] == 1); assert(count[A] > 0); count[A]-- };
        d_step { assert(has_pair[A]); entry_4k--; PAGE_GONE };
        tree--;
        unlock_tdr();
        status = OK
    fi;
    private = 0
}

inline phymem_page_wbinvd() {
    walk(A);
    if
    :: !ok -> status = BUSY
    :: else ->
        if
        :: pair -> entry_4k++; private++; entry_4k--
        :: else
        fi;
        unwalk(A);
        status = OK
    fi;
    private = 0
}

/* phymem_pamt.lock_range: the 2MB entry exclusive */
inline lock_range(r) {
    walk(r);
    if
    :: ok ->
        promote(word[r]);
        if
        :: !ok -> unwalk(r)
        :: else
        fi
    :: else
    fi
}

inline unlock_range(r) { release_ex(word[r]); release_sh(pamt_1g) }

inline lock_donor(page) {
    walk(RANGE_OF(page));
    if
    :: ok -> assert(pair); d_step { assert(kind[page] != EPT_PAGE); entry_4k++ }
    :: else
    fi
}

inline unlock_donor(page) { entry_4k--; unwalk(RANGE_OF(page)) }

inline phymem_pamt_add(r, one, two) {
    lock_range(r);
    if
    :: !ok -> status = BUSY
    :: ok && pair -> unlock_range(r); status = NOT_FREE
    :: ok && !pair ->
        lock_donor(one);
        if
        :: !ok -> status = BUSY
        :: else ->
            lock_donor(two);
            if
            :: !ok -> status = BUSY
            :: else ->
                d_step { assert(kind[one] == FREE); kind[one] = PAMT_PAGE };
                d_step {
                    assert(kind[two] == FREE);
                    kind[two] = PAMT_PAGE;
                    has_pair[r] = 1;
                    count[r] = 0;
                    first[r] = one;
                    second[r] = two
                };
                status = OK;
                unlock_donor(two)
            fi;
            unlock_donor(one)
        fi;
        unlock_range(r)
    fi
}

/* Only range A ever loses its pair here; `one` and `two` are the pages it gives back. */
inline phymem_pamt_remove(r, one, two) {
    assert(r == A);
    lock_range(r);
    if
    :: !ok -> status = BUSY
    :: ok && !pair -> unlock_range(r); status = NO_PAIR
    :: ok && pair ->
        d_step {
            in_use = false;
            for (each : 0 .. CPUS - 1) { in_use = in_use || guest_page[each] };
            each = 0
        };
        if
        :: in_use -> in_use = false; status = NOT_EMPTY
        :: else ->
            assert(count[r] == 0);
            d_step { one = first[r]; assert(kind[one] == PAMT_PAGE); kind[one] = FREE };
            d_step {
                two = second[r];
                assert(kind[two] == PAMT_PAGE);
                kind[two] = FREE;
                has_pair[r] = 0;
                first[r] = 0;
                second[r] = 0;
                assert(holders[r] == 0)       /* never remove PAMT that is in use */
            };
            status = OK
        fi;
        unlock_range(r)
    fi
}
