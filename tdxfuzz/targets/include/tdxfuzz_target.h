/* SPDX-License-Identifier: MIT */
/*
 * A TDX module as a shared library: what tdxfuzz calls, version 1.
 *
 * A library implements these functions and exports them by name. tdxfuzz loads it into a process
 * of its own, one library in a process, in one thread. docs/targets.md says how to begin.
 *
 *	cc -shared -fPIC -g -I FOLDER_OF_THIS_FILE -o module.so glue.c module.a
 *	tdxfuzz diff --library ./module.so --cases 10 --seed 1
 *
 * Order of calls: tdxt_abi(), tdxt_caps(), tdxt_hook() if there is one, tdxt_version(), once each.
 * Then, again and again: tdxt_reset(); tdxt_mem_read() and tdxt_mem_write(); then calls of
 * tdxt_seamcall(), each just behind tdxt_interrupt(), tdxt_tsc(), and tdxt_guest() for its LP, with
 * tdxt_snapshot() in between while no call is under way. tdxt_error() comes only behind a negative
 * number. Nothing but these is called before the first tdxt_reset(). There is no function for the
 * end: the process is killed.
 *
 * Rules for all functions:
 *  - A number is 64 bits, little-endian. Addresses are physical addresses as the module sees them,
 *    HKID bits included. A pointer is valid during the call only: nothing changes owner, and
 *    neither side keeps what the other one passed. Pointers to numbers and structures are aligned
 *    to 8 bytes; buffers of bytes may lie anywhere. None is NULL, but for the FN of tdxt_hook().
 *  - 0 is success where nothing else is said. A negative return value is an error of the library as
 *    a test object (a world that it cannot do, an address that it does not have), never an answer of
 *    the module. tdxt_error() says why, and tdxfuzz ends with exit code 2.
 *  - Nothing may depend on time, on random numbers, on addresses of the process, on threads, or on
 *    what happened before the last tdxt_reset(). The same calls after a reset give the same answers.
 *  - Standard input is empty. What the library prints, to standard output too, goes to tdxfuzz's
 *    standard error.
 *  - The library may start no thread, and install no handler for SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 *    SIGTRAP, SIGABRT, SIGALRM, SIGPROF: tdxfuzz looks after each reset, and refuses it. A child of
 *    fork() has to call exec() or _exit(). It may not jump out of its functions by longjmp().
 *  - In constructors and all functions a crash, abort(), exit(), more than a second of CPU time or
 *    ten seconds of waiting without an event, and more than 1GB of memory in use end the process.
 *    While the library is loaded that is an error, with exit code 2, else a finding.
 */
#ifndef TDXFUZZ_TARGET_H
#define TDXFUZZ_TARGET_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TDXT_ABI 1

/* Always needed. The version of this header that the library was built with: return TDXT_ABI. */
uint64_t tdxt_abi(void);

/* Always needed. A name and a version for people, one line, in memory that stays. */
const char *tdxt_version(void);

/* Always needed. Why the last function returned a negative number; one line, in memory of the
 * library's that stays as it is until its next function is called. */
const char *tdxt_error(void);

/*
 * Always needed. What the library has, whatever the world. tdxfuzz skips the rest, and names it.
 * CAPS comes filled with 0xff: write all of it. Bits of flags that are not named here are refused.
 *
 * flags: which of the optional functions can be called, TDXT_HAS_...
 * leaves: bit N % 64 of leaves[N / 64] is set for each SEAMCALL leaf N that is implemented as the
 * module has it. A leaf that is not implemented is never called; numbers that no module knows are,
 * and leaves with versions and reserved bits in RAX that they do not have. SYS.INIT (33), SYS.LP.INIT
 * (35), SYS.CONFIG (45), SYS.KEY.CONFIG (31), SYS.TDMR.INIT (36) must be there: tdxfuzz boots the
 * module by SEAMCALLs.
 */
#define TDXT_HAS_HOOK		(1ull << 0)
#define TDXT_HAS_SNAPSHOT	(1ull << 1)
#define TDXT_HAS_INTERRUPT	(1ull << 2)
#define TDXT_HAS_TSC		(1ull << 3)
#define TDXT_HAS_GUEST		(1ull << 4)

struct tdxt_caps {
	uint64_t flags;
	uint64_t leaves[4];
};
int64_t tdxt_caps(struct tdxt_caps *caps);

#define TDXT_MAX_LPS		64
#define TDXT_MAX_CMRS		32

/*
 * The machine. LPs are numbered from 0. An address has its HKID in bits hkid_low_bit to
 * hkid_low_bit + hkid_width - 1. Convertible memory is as MCHECK lists it, and may be wrong: that
 * is for TDH.SYS.INIT to find out.
 */
struct tdxt_world {
	uint64_t lps;
	uint64_t package[TDXT_MAX_LPS];		/* of each LP */
	uint64_t max_pa;			/* bits of an address */
	uint64_t hkid_low_bit, hkid_width;
	uint64_t private_hkid_min, private_hkid_max;	/* both included */
	uint64_t cache_sub_blocks;		/* parts of TDH.PHYMEM.CACHE.WB */
	uint64_t tsc_hz;			/* frequency of the time-stamp counters */
	uint64_t tsc;				/* where all of them stand; tdxt_tsc() moves them */
	uint64_t cmrs;
	struct { uint64_t base, size; } cmr[TDXT_MAX_CMRS];
};

/*
 * Always needed. A machine that was just switched on: the module is loaded, and no SEAMCALL was made
 * yet, TDH.SYS.INIT included. All memory is zero: tdxfuzz looks. No interrupt is pending. The hook
 * stays set. It may be called at any time but from the hook, also after a fatal error, and while LPs
 * are suspended in the hook: those calls are over, and do not return; locks on their stacks are gone.
 *
 * Worlds have 1 to 4 LPs on one or two packages, and HKID bits in one of three places. A library that
 * refuses one ends the run: there are no caps for worlds.
 *
 * May not keep anything: static and thread-local variables, keyhole mappings, caches, what LPs
 * remember. It is called thousands of times in a process. Clear what was used, not all there is.
 */
int64_t tdxt_reset(const struct tdxt_world *world);

/* Registers in the order of regs[]. */
enum { TDXT_RCX, TDXT_RDX, TDXT_R8, TDXT_R9, TDXT_R10, TDXT_R11, TDXT_R12, TDXT_R13, TDXT_RBX,
       TDXT_RDI, TDXT_RSI, TDXT_REGS };

/*
 * Always needed. One SEAMCALL on an LP. RAX holds the leaf in bits 15:0, its version in bits 23:16,
 * reserved bits above, and the status afterwards (`tdxfuzz list statuses` has the numbers). All eleven
 * registers go in and come out, also those that the leaf does not use, as the host sees them after
 * SEAMRET: what the leaf leaves alone is as it was. Many leaves set their outputs to 0 before they
 * check anything, and these are 0 then if the call fails, too: TDH.SYS.INIT does so with RCX, RDX, R8,
 * R9 and R10, TDH.SYS.LP.INIT with RCX, RDX and R8, TDH.SYS.TDMR.INIT with RDX,
 * TDH.PHYMEM.PAGE.RDMD and TDH.PHYMEM.PAGE.RECLAIM with RCX, RDX, and R8 to R11. What the dispatcher
 * refuses (no such leaf, a version or reserved bits, not ready) leaves all registers as they were.
 *
 * Returns 0 if the module returned; else the number of the fatal error (FATAL_ERROR_ID, above 0) with
 * which the module shut itself down. It is then not called again before the next tdxt_reset().
 *
 * Called on the LP's own stack (1MB, with a hole below). With TDXT_HAS_HOOK the calls of several LPs
 * can be under way at once, each suspended in the hook: what a call remembers must lie on its stack
 * or belong to its LP. A static variable of a call, one local-data block for all LPs, or a keyhole
 * that is not the LP's own is a fault that tdxfuzz will find, and not one of the module.
 */
int64_t tdxt_seamcall(uint64_t lp, uint64_t *rax, uint64_t regs[TDXT_REGS]);

/*
 * Always needed. The host's view of memory: SIZE bytes, 1 to 4096, within one 4KB page, of a page that
 * the module does not use (TDMR_INFO, TD_PARAMS). HPA may have any alignment. What was never written
 * is zero. What the module itself reads and writes there is the same memory. Neither is an event, and
 * neither may call the hook.
 */
int64_t tdxt_mem_read(uint64_t hpa, void *buffer, uint64_t size);
int64_t tdxt_mem_write(uint64_t hpa, const void *buffer, uint64_t size);

/*
 * TDXT_HAS_INTERRUPT. Whether an external interrupt is pending for an LP: leaves that can be
 * interrupted give up when they look. It stays so until the next call of this function.
 */
int64_t tdxt_interrupt(uint64_t lp, uint64_t on);

/* TDXT_HAS_TSC. The time-stamp counter of an LP, from now on: it moves between calls, and stands
 * still within them. Before a call it is set on all LPs, to the same value; it may go back. */
int64_t tdxt_tsc(uint64_t lp, uint64_t value);

/*
 * TDXT_HAS_GUEST. What the vCPU does that the next tdxt_seamcall() on an LP enters, step by step. With
 * no step left it leaves for an external interrupt (exit reason 1). Nothing is done if that call
 * enters no vCPU. Without this function, and with no steps, a vCPU leaves at once.
 *
 * SCRIPT is the exception to the rule of pointers: it stays until that tdxt_seamcall() returns, and
 * the library writes into it what the guest is told, and how many steps came back to the guest. A step
 * that makes the vCPU leave does not come back. Only registers RCX to R13 of a TDCALL are told.
 */
#define TDXT_MAX_STEPS		16
#define TDXT_GUEST_REGS		8	/* RCX to R13, in the order of regs[] of tdxt_seamcall() */

enum tdxt_step_kind {
	TDXT_TOUCH,		/* rax: 0 reads, 1 writes a byte of private memory at GPA regs[0]; told:
				   0 done, 1 a #VE */
	TDXT_TDCALL,		/* rax: leaf and version as in a SEAMCALL; told: status; regs in and out */
	TDXT_EXIT		/* rax: the basic exit reason, 1 external interrupt, 2 triple fault */
};

struct tdxt_script {
	uint64_t steps, done;
	struct tdxt_step {
		uint64_t kind;
		uint64_t rax;
		uint64_t regs[TDXT_GUEST_REGS];
	} step[TDXT_MAX_STEPS];
};
int64_t tdxt_guest(uint64_t lp, struct tdxt_script *script);

/*
 * TDXT_HAS_SNAPSHOT. The module's state as a text in JSON without spaces at its ends: the "snapshot
 * object" of corpus/conformance/README.md, section 1. Parts that the library cannot give are left
 * out, and are not compared. Returns how long the text is, 64MB at most; it is written, without a zero
 * at its end, only if that is SIZE at most, and else the function is called once more with a larger
 * buffer. It may be called straight after a reset, when all parts are empty; not after a fatal error.
 * No call is under way. May change nothing, and may not call the hook.
 */
int64_t tdxt_snapshot(char *buffer, uint64_t size);

/*
 * TDXT_HAS_HOOK. Events are: each operation on a lock that LPs share, and each locked
 * read-modify-write outside of the lock code. Plain loads and stores are none.
 */
enum tdxt_op { TDXT_ACQUIRE, TDXT_RELEASE, TDXT_PROMOTE, TDXT_BIT_SET, TDXT_BIT_RESET, TDXT_ADD,
	       TDXT_COMPARE_EXCHANGE };

/* ACQUIRE and RELEASE have the mode in which the lock is held. PROMOTE goes from shared to exclusive,
 * and has EXCLUSIVE. All others have NO_MODE. */
enum tdxt_mode { TDXT_NO_MODE, TDXT_SHARED, TDXT_EXCLUSIVE, TDXT_MUTEX };

/*
 * What an event is about; behind each the indices that name it. Addresses are without HKID bits, and
 * aligned to what they are about; a TDR or TDVPR is named by the address of its page. `tdxfuzz list
 * events LEAF` has the events of a leaf in their order.
 */
enum tdxt_kind {
	TDXT_GLOBAL,		/* the lock of the whole module: shared or exclusive */
	TDXT_NUM_INIT_LPS,	/* ADD of 1, in TDH.SYS.LP.INIT */
	TDXT_PAMT_1G,		/* address of the 1GB; these three locks are shared or exclusive */
	TDXT_PAMT_2M,		/* address of the 2MB */
	TDXT_PAMT_4K,		/* address of the page */
	TDXT_PAGE_COUNT,	/* address of the 2MB; ADD */
	TDXT_BITMAP,		/* address of the page; BIT_SET, BIT_RESET */
	TDXT_TDMR,		/* index of the TDMR in the list of TDH.SYS.CONFIG; MUTEX */
	TDXT_KOT,		/* the key table: shared or exclusive */
	TDXT_WBT,		/* package; MUTEX */
	TDXT_CHLDCNT,		/* TDR; ADD */
	TDXT_TD_BUILD_COUNT,	/* ADD */
	TDXT_OP_STATE,		/* TDR; shared or exclusive */
	TDXT_SEPT_TREE,		/* TDR; shared or exclusive */
	TDXT_SEPTE,		/* TDR, GPA, level from 0 up; a lock that is EXCLUSIVE, COMPARE_EXCHANGE */
	TDXT_TD_EPOCH,		/* TDR; shared or exclusive */
	TDXT_REFCOUNT,		/* TDR; ADD */
	TDXT_ASSOC_LPID,	/* TDVPR; COMPARE_EXCHANGE */
	TDXT_KINDS
};

struct tdxt_event {
	uint64_t lp;
	uint64_t op;		/* enum tdxt_op */
	uint64_t mode;		/* enum tdxt_mode: of locks */
	int64_t delta;		/* of TDXT_ADD: what is added */
	uint64_t kind;		/* enum tdxt_kind */
	uint64_t index[3];	/* those that the kind has; else 0 */
	uint64_t done;		/* 0: about to happen; 1: it has just happened */
	uint64_t ok;		/* with done: the lock was obtained; the bit was clear (BIT_SET), or set
				   (BIT_RESET); the value was exchanged; else 1 */
};

/*
 * From now on FN is called twice for each event, on the stack of the call in which it happens: just
 * before (done = 0), and just after (done = 1), with nothing that another LP can see between the
 * event and the second call. In the first call tdxfuzz may run other LPs for as long as it likes,
 * and it may never return. FN may be NULL: then nothing is called.
 *
 * The operation itself must be as atomic as it is in the module. A lock that fails is one event with
 * ok = 0. May not call the hook from anywhere but inside tdxt_seamcall().
 */
typedef void (*tdxt_hook_fn)(void *context, const struct tdxt_event *event);
int64_t tdxt_hook(tdxt_hook_fn fn, void *context);

#ifdef __cplusplus
}
#endif

#endif
