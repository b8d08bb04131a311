/* SPDX-License-Identifier: MIT */
/*
 * Contexts: stacks, switching, requests. A crash, or code that does not end, ends the call and not
 * the process: no frame of Python is on a context's stack, so that it can just be left.
 */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

struct state tdxc_state = { .budget = BUDGET };

static char *stack_pointer[CONTEXTS], *python, *deepest[CONTEXTS];
static u8 active[CONTEXTS];
static struct {
	s64 (*function)(s64, s64);
	s64 arg[2];
	int tokens;
	u64 token[TOKENS];
} entry[CONTEXTS];
static volatile int in_c;

/* What each call leaves to be done when it returns. It follows from what the call has seen. */
#define AFTERS 64
static struct after {
	void (*function)(void *, void *);
	void *a, *b;
} after[CONTEXTS][AFTERS];
static int afters[CONTEXTS];

void tdxc_switch(char **from, char *to);

#ifndef __x86_64__
#error "C layers need x86-64: another machine takes its own tdxc_switch and on_signal"
#endif
__asm__(".text\n.globl tdxc_switch\n.hidden tdxc_switch\n.type tdxc_switch, @function\n"
	"tdxc_switch:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n	mov %rsi, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n.size tdxc_switch, . - tdxc_switch\n");

static inline char *top_of(int context)
{
	return (char *)(STACKS + (u64)(context + 1) * STACK_SPACING);
}

/* The context whose stack an address is in, or -1; its hole counts. */
static inline int stack_of(const void *at)
{
	u64 offset = (u64)at - STACKS;

	return offset < CONTEXTS * STACK_SPACING ? (int)(offset / STACK_SPACING) : -1;
}

static void tell_of_counted(void);

/* Python is told before anything else happens; nobody can tell the difference. */
static void later(int what, u64 a, u64 b)
{
	struct later *next;

	if (S.laters == LATERS)
		request(CATCH_UP, 0, 0, 0, 0, NULL);
	next = &S.later[S.laters++];
	next->what = what;
	next->a = (s64)a;
	next->b = (s64)b;
	next->clock = S.clock;
}

static s64 request(int what, u64 a, u64 b, u64 c, u64 d, const void *pc)
{
	static s64 same, clock;

	tell_of_counted();
	same = S.clock == clock ? same + 1 : 0;
	clock = S.clock;
	if (same > 100 * 1000)
		what = HANG;
	S.arg[0] = (s64)a;
	S.arg[1] = (s64)b;
	S.arg[2] = (s64)c;
	S.arg[3] = (s64)d;
	S.pc = (s64)pc;
	S.result = what;
	tdxc_switch(&stack_pointer[S.context], python);
	return S.result;
}

static void take_back(int context);
static void release_tokens(void);
static void acquire_tokens(void);

static void begin(void)
{
	int me = (int)S.context;
	s64 result;

	acquire_tokens();
	result = entry[me].function(entry[me].arg[0], entry[me].arg[1]);
	tdxc_do_after();
	me = (int)S.context;
	tell_of_counted();
	release_tokens();
	take_back(me);
	active[me] = 0;
	request(DONE, (u64)result, 0, 0, 0, NULL);
	__builtin_trap();
}

/* Go on with the context that the state names; the request that it comes back with. */
int tdxc_resume(void)
{
	S.budget = BUDGET;
	in_c = 1;
	tdxc_switch(&python, stack_pointer[S.context]);
	in_c = 0;
	return (int)S.result;
}

/* Call a function on a context's stack, which begins with zeroes only: no call depends on another. */
int tdxc_start(void *function, s64 a, s64 b)
{
	int context = (int)S.context;
	char *top = top_of(context), *from = deepest[context] - 1024;
	u64 *sp;

	if (from < top - STACK_SIZE)
		from = top - STACK_SIZE;
	__builtin_memset(from, 0, (size_t)(top - from));
	deepest[context] = top;
	sp = (u64 *)(top - 128);
	*--sp = 0;
	*--sp = (u64)(uintptr_t)begin;
	sp -= 6;
	stack_pointer[context] = (char *)sp;
	active[context] = 1;
	afters[context] = 0;
	entry[context].function = (s64 (*)(s64, s64))function;
	entry[context].arg[0] = a;
	entry[context].arg[1] = b;
	entry[context].tokens = (int)S.tokens;
	for (int i = 0; i < S.tokens; i++)
		entry[context].token[i] = (u64)S.token[i];
	return tdxc_resume();
}

/* A number for all that a context's C can still know: its stack, with the registers saved there. */
u64 tdxc_standing(int context)
{
	u64 h = 0;

	for (u64 *word = (u64 *)stack_pointer[context]; (char *)word < top_of(context); word++)
		h = mix(h, plain(*word));
	return h;
}

/* What the compiler calls at each block of code. */
void __sanitizer_cov_trace_pc(void)
{
	char *here = __builtin_frame_address(0);

	if (here < deepest[S.context])
		deepest[S.context] = here;
	if (--S.budget < 0)
		request(HANG, 0, 0, 0, 0, HERE);
}

#define SIGNALS 5
static struct sigaction before[SIGNALS];
static const int signals[SIGNALS] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };

static int is_code(u64 pc);

/* Go on in Python as if the context had made a request, on a stack that is not used up. */
static void on_signal(int signal, siginfo_t *info, void *uc)
{
	static _Alignas(16) char last[4096];
	greg_t *regs = ((ucontext_t *)uc)->uc_mcontext.gregs;
	u64 pc = (u64)regs[REG_RIP];

	if (!in_c) {	/* not ours: whoever was there before is asked when it happens once more */
		for (int i = 0; i < SIGNALS; i++)
			if (signals[i] == signal)
				sigaction(signal, &before[i], NULL);
		return;
	}
	/* Elsewhere, as in a call of NULL, or when the stack is used up: a caller tells more. */
	for (u64 *sp = (u64 *)regs[REG_RSP]; !is_code(pc) && stack_of(sp) == S.context; sp++)
		if ((char *)sp >= top_of((int)S.context) - STACK_SIZE)
			pc = *sp - 1;
	S.arg[0] = (s64)(uintptr_t)info->si_addr;
	S.arg[1] = signal;
	S.arg[2] = stack_of(info->si_addr);
	/* What the build puts in the place of a loop that has nothing in it is a trap. */
	S.pc = (s64)(signal == SIGTRAP ? pc : pc + 1);
	S.result = signal == SIGTRAP ? HANG : CRASH;
	regs[REG_RIP] = (greg_t)(uintptr_t)tdxc_switch;
	regs[REG_RDI] = (greg_t)(uintptr_t)&stack_pointer[S.context];
	regs[REG_RSI] = (greg_t)(uintptr_t)python;
	regs[REG_RSP] = (greg_t)(uintptr_t)(last + 2048 + 8);
}

/* Signals are asked for at each run, because another library may have taken them. */
static void listen(void)
{
	static char room[64 << 10];
	struct sigaction now, ours = { .sa_sigaction = on_signal,
				       .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t alternative = { .ss_sp = room, .ss_size = sizeof(room) };

	sigaltstack(&alternative, NULL);
	for (int i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], NULL, &now);
		if (now.sa_sigaction != on_signal) {
			before[i] = now;
			sigaction(signals[i], &ours, NULL);
		}
	}
}

static int map(u64 at, u64 size)
{
	return mmap((void *)at, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) ==
	       (void *)at;
}

static int map_stacks(void)
{
	if (mmap((void *)STACKS, CONTEXTS * STACK_SPACING, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) !=
	    (void *)STACKS)
		return 0;
	for (int i = 0; i < CONTEXTS; i++) {
		if (mprotect(top_of(i) - STACK_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE))
			return 0;
		deepest[i] = top_of(i);
	}
	return 1;
}
