/* SPDX-License-Identifier: MIT */
/*
 * Runs a library that implements tdxfuzz_target.h, in a process of its own.
 *
 * It reads commands from standard input and answers on standard output, both in 64-bit words
 * (tdxfuzz/targets/library/wire.py has the other end). Each LP makes its calls on a stack of its
 * own, so that the hook can go on with another LP. A crash, or code that does not end, is an answer
 * too: the last one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <tdxfuzz_target.h>

#define MOST_CALLS	64	/* of an LP's program */
#define MOST_ORDER	4096
#define MOST_LPS	8
#define MOST_EVENTS	(1 << 16)
#define STACK		(1ull << 20)
#define PAGE		4096ull
#define TICK		50000	/* microseconds of CPU time */
#define MOST_MEMORY	(1ull << 30)
#define FILLS		(8ull << 20)	/* bytes in one tick */
#define MOST_TEXT	(64ull << 20)

enum command { HELLO = 1, RESET, WRITE, CALL, SNAPSHOT, PROGRAMS, CALL_CLOSELY, READ, DATA };
enum answer { OK = 1, REFUSED, CRASHED, HANGS };

static struct {
	uint64_t (*abi)(void);
	const char *(*version)(void);
	const char *(*error)(void);
	int64_t (*caps)(struct tdxt_caps *caps);
	int64_t (*reset)(const struct tdxt_world *world);
	int64_t (*seamcall)(uint64_t lp, uint64_t *rax, uint64_t *regs);
	int64_t (*mem_read)(uint64_t hpa, void *buffer, uint64_t size);
	int64_t (*mem_write)(uint64_t hpa, const void *buffer, uint64_t size);
	int64_t (*interrupt)(uint64_t lp, uint64_t on);
	int64_t (*tsc)(uint64_t lp, uint64_t value);
	int64_t (*guest)(uint64_t lp, struct tdxt_script *script);
	int64_t (*snapshot)(char *buffer, uint64_t size);
	int64_t (*hook)(tdxt_hook_fn fn, void *context);
} lib;
static struct tdxt_caps caps;

/* Which function of the library is running, or NULL. Who comes back from another one has jumped. */
static const char *volatile inside;
static volatile sig_atomic_t progress;

static void enter(const char *name)
{
	progress++;
	inside = name;
}

static void died(const char *format, ...);
static int is_child;		/* of a fork: it may go on to another program, and must not come back */

static void leave(const char *name)
{
	if (is_child)
		_exit(0);
	if (!inside || strcmp(inside, name))
		died("it jumps out of %s", inside ? inside : name);
	inside = NULL;
}

#define ABI(name, ...) ({						\
	enter("tdxt_" #name);						\
	__auto_type result_ = lib.name(__VA_ARGS__);			\
	leave("tdxt_" #name);						\
	result_;							\
})

/* Input and output. What is written is kept until the next command is awaited. */

static int in, out;
static char pending[1 << 16];
static size_t filled;

static void flush(void)
{
	size_t done = 0;

	while (done < filled) {
		ssize_t n = write(out, pending + done, filled - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			_exit(1);
		done += (size_t)n;
	}
	filled = 0;
}

static void put(const void *data, size_t size)
{
	const char *from = data;

	while (size) {
		size_t n = sizeof(pending) - filled;

		if (!n) {
			flush();
			continue;
		}
		if (n > size)
			n = size;
		memcpy(pending + filled, from, n);
		filled += n;
		from += n;
		size -= n;
	}
}

static void put_word(uint64_t word)
{
	put(&word, sizeof(word));
}

static void put_text(const char *text, size_t size)
{
	static const char zeroes[8];

	put_word(size);
	put(text, size);
	put(zeroes, -size % 8);
}

static void get(void *data, size_t size)
{
	static char ahead[1 << 16];
	static size_t begin, end;
	char *to = data;

	while (size) {
		size_t n = end - begin;

		if (!n) {
			ssize_t got;

			if (inside)
				died("it jumps out of %s", inside);
			flush();
			got = read(in, ahead, sizeof(ahead));
			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				_exit(0);
			begin = 0;
			end = (size_t)got;
			continue;
		}
		if (n > size)
			n = size;
		memcpy(to, ahead + begin, n);
		begin += n;
		to += n;
		size -= n;
	}
}

static uint64_t get_word(void)
{
	uint64_t word;

	get(&word, sizeof(word));
	return word;
}

/* Why the library cannot be used; FUNCTION is the one that says so, or "". */
static void refuse_for(const char *function, const char *format, va_list list)
{
	char text[1024];
	int size = vsnprintf(text, sizeof(text), format, list);

	if (size >= (int)sizeof(text))
		size = sizeof(text) - 1;
	put_word(REFUSED);
	put_text(function, strlen(function));
	put_text(text, (size_t)size);
}

static void refuse(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	refuse_for("", format, list);
	va_end(list);
}

static void refuse_in(const char *function, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	refuse_for(function, format, list);
	va_end(list);
}

/* What tdxt_error says. */
static const char *reason(void)
{
	static char text[900];
	const char *why = ABI(error);

	enter("tdxt_error");
	snprintf(text, sizeof(text), "%s", why ? why : "");
	leave("tdxt_error");
	return text;
}

/* 1: the library did it; else the answer is given already. */
static int accepted(const char *function, int64_t result)
{
	if (result >= 0)
		return 1;
	refuse_in(function, "%lld: %s", (long long)result, reason());
	return 0;
}

/* LPs: each has a stack, and a program of calls. */

struct call {
	uint64_t lp, interrupted, has_tsc, tsc, rax, regs[TDXT_REGS];
	struct tdxt_script script;
};
struct lp {
	ucontext_t context;
	char *stack;
	struct call calls[MOST_CALLS];
	uint64_t number;	/* of calls */
	uint64_t next;		/* the call that it is in, or comes to */
	int64_t result;		/* of the last call */
	int begun, over;
};
static struct lp lps[MOST_LPS];
static struct lp *running;
static ucontext_t loop;
static int early;		/* LPs stop before each event */
static int logs;
static int64_t dead;			/* the fatal error after which nothing is called until a reset */
static __thread int is_main;

static struct tdxt_event events[MOST_EVENTS];
static uint64_t entered, too_many;

static struct tdxt_world world;
static const char *refuses;	/* the function that returned the last negative number of a call */

static int64_t before_call(struct call *call)
{
	int64_t result = 0;

	if (caps.flags & TDXT_HAS_INTERRUPT) {
		refuses = "tdxt_interrupt";
		result = ABI(interrupt, call->lp, call->interrupted);
	}
	/* The counters of all LPs go together, as those of a machine do. */
	for (uint64_t lp = 0; lp < world.lps && result >= 0; lp++) {
		if (!call->has_tsc || !(caps.flags & TDXT_HAS_TSC))
			break;
		refuses = "tdxt_tsc";
		result = ABI(tsc, lp, call->tsc);
	}
	if (result >= 0 && (caps.flags & TDXT_HAS_GUEST)) {
		refuses = "tdxt_guest";
		result = ABI(guest, call->lp, &call->script);
	}
	return result < 0 ? result : 0;
}

static void on_event(void *context, const struct tdxt_event *event)
{
	static const char call[] = "tdxt_seamcall";

	(void)context;
	if (is_child)
		_exit(0);
	if (!is_main)
		died("it calls the hook in a thread of its own");
	if (!running || !inside || strcmp(inside, call))
		died("it calls the hook outside of tdxt_seamcall");
	progress++;
	if (!event->done && early) {
		inside = NULL;
		swapcontext(&running->context, &loop);
		inside = call;
	}
	if (event->done && logs) {
		if (entered == MOST_EVENTS)
			too_many = 1;
		else
			events[entered++] = *event;
	}
}

static void run_program(void)
{
	for (;;) {
		struct lp *me = running;

		while (me->next < me->number) {
			struct call *call = &me->calls[me->next];

			me->result = before_call(call);
			if (!me->result) {
				me->result = ABI(seamcall, call->lp, &call->rax, call->regs);
				refuses = "tdxt_seamcall";
			}
			if (running != me)
				died("it jumps from the call of one LP into that of another");
			me->next++;
			progress++;
			if (me->result)
				break;
		}
		me->over = 1;
		swapcontext(&me->context, &loop);
	}
}

static void begin(struct lp *lp)
{
	getcontext(&lp->context);
	lp->context.uc_stack.ss_sp = lp->stack;
	lp->context.uc_stack.ss_size = STACK;
	lp->context.uc_link = NULL;
	makecontext(&lp->context, run_program, 0);
	lp->begun = 1;
}

/* Go on with an LP until it stops before an event, or has made all its calls. */
static void go_on(struct lp *lp)
{
	if (!lp->begun)
		begin(lp);
	running = lp;
	swapcontext(&loop, &lp->context);
	running = NULL;
}

static int prepare_stacks(void)
{
	for (int i = 0; i < MOST_LPS; i++) {
		char *room = mmap(NULL, STACK + PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (room == MAP_FAILED || mprotect(room, PAGE, PROT_NONE))
			return 0;
		lps[i].stack = room + PAGE;
	}
	return 1;
}

static void put_result(const struct call *call, int64_t result)
{
	put_word((uint64_t)result);
	put_word(call->rax);
	put(call->regs, sizeof(call->regs));
	if (call->script.done > call->script.steps)
		died("it told of %llu steps of a guest that has %llu",
		     (unsigned long long)call->script.done, (unsigned long long)call->script.steps);
	put_word(call->script.done);
	put(call->script.step, call->script.done * sizeof(call->script.step[0]));
}

static int get_call(struct call *call)
{
	get(call, offsetof(struct call, script));
	call->script.steps = get_word();
	call->script.done = 0;
	if (call->script.steps > TDXT_MAX_STEPS)
		return 0;
	get(call->script.step, call->script.steps * sizeof(call->script.step[0]));
	return call->lp < MOST_LPS;
}

/* A call alone; its events are told if the library has them and CLOSELY is set. */
static void do_call(int closely)
{
	struct call call;
	struct lp *lp;

	if (!get_call(&call))
		_exit(1);
	lp = &lps[call.lp];
	lp->calls[0] = call;
	lp->number = 1;
	lp->next = 0;
	lp->over = 0;
	lp->result = dead;
	early = 0;
	logs = closely;
	entered = too_many = 0;
	if (!dead)
		go_on(lp);
	if (too_many) {
		refuse("a call has more than %d events", MOST_EVENTS);
	} else if (accepted(refuses, lp->result)) {
		dead = lp->result;
		put_word(OK);
		put_result(&lp->calls[0], dead);
		if (closely) {
			put_word(entered);
			put(events, entered * sizeof(events[0]));
		}
	}
}

/* An LP that has something left to do, or NULL. */
static struct lp *ready(uint64_t number)
{
	return number < MOST_LPS && lps[number].number && !lps[number].over ? &lps[number] : NULL;
}

/* Programs of several LPs, event by event. An entry of the order lets an LP perform the event that it
 * stands before and go on to its next one; behind the order LPs go on one after the other. */
static void do_programs(void)
{
	static uint64_t order[MOST_ORDER];
	uint64_t programs = get_word(), used[MOST_LPS], number, fatal_lp = 0;
	int64_t fatal = 0;

	if (programs > MOST_LPS)
		_exit(1);
	for (uint64_t i = 0; i < programs; i++) {
		struct lp *lp;

		used[i] = get_word();
		number = get_word();
		if (used[i] >= MOST_LPS || number > MOST_CALLS)
			_exit(1);
		lp = &lps[used[i]];
		for (uint64_t k = 0; k < number; k++)
			if (!get_call(&lp->calls[k]))
				_exit(1);
		lp->number = number;
		lp->next = 0;
		lp->result = 0;
		lp->over = 0;
	}
	number = get_word();
	if (number > MOST_ORDER)
		_exit(1);
	get(order, number * sizeof(order[0]));

	early = logs = 1;
	entered = too_many = 0;
	for (uint64_t i = 0; i < programs && !fatal; i++) {
		go_on(&lps[used[i]]);
		fatal = lps[used[i]].result;
		fatal_lp = used[i];
	}
	for (uint64_t at = 0; !fatal;) {
		struct lp *lp = NULL;

		while (at < number && !lp)
			lp = ready(order[at++]);
		for (uint64_t i = 0; i < programs && !lp; i++)
			lp = ready(used[i]);
		if (!lp)
			break;
		go_on(lp);
		fatal = lp->result;
		fatal_lp = (uint64_t)(lp - lps);
	}
	early = logs = 0;
	for (uint64_t i = 0; i < programs; i++)
		if (!lps[used[i]].over)
			lps[used[i]].begun = 0;		/* its call does not return */
	if (too_many) {
		refuse("calls of several LPs have more than %d events", MOST_EVENTS);
		return;
	}
	if (!accepted(refuses, fatal))
		return;
	dead = fatal;
	put_word(OK);
	put_word((uint64_t)fatal);
	put_word(fatal_lp);
	put_word(entered);
	put(events, entered * sizeof(events[0]));
	for (uint64_t i = 0; i < programs; i++) {
		struct lp *lp = &lps[used[i]];
		uint64_t made = lp->next - (lp->result > 0);

		put_word(made);
		for (uint64_t k = 0; k < made; k++)
			put_result(&lp->calls[k], 0);
	}
}

static void do_snapshot(void)
{
	static char *text;
	static uint64_t room = 1 << 16;
	int64_t size;

	for (;;) {
		if (!text)
			text = malloc(room);
		if (!text)
			_exit(1);
		size = ABI(snapshot, text, room);
		if (size < 0 || (uint64_t)size <= room)
			break;
		if ((uint64_t)size > MOST_TEXT) {
			refuse("tdxt_snapshot wants room for %lld bytes", (long long)size);
			return;
		}
		free(text);
		text = NULL;
		room = (uint64_t)size;
	}
	if (accepted("tdxt_snapshot", size)) {
		put_word(OK);
		put_text(text, (size_t)size);
	}
}

static void do_write(void)
{
	static char buffer[PAGE];
	uint64_t hpa = get_word(), size = get_word();

	if (size > PAGE)
		_exit(1);
	get(buffer, (size + 7) & ~7ull);
	if (accepted("tdxt_mem_write", ABI(mem_write, hpa, buffer, size)))
		put_word(OK);
}

static void do_read(void)
{
	static char buffer[PAGE];
	uint64_t hpa = get_word(), size = get_word();

	if (size > PAGE)
		_exit(1);
	memset(buffer, 0xa5, size);
	if (accepted("tdxt_mem_read", ABI(mem_read, hpa, buffer, size))) {
		put_word(OK);
		put_text(buffer, size);
	}
}

static void *library;

/* One of the library's segments that can be written: where it is in the file, and what it holds. */
static int put_segments(struct dl_phdr_info *info, size_t size, void *counts)
{
	uint64_t *count = counts;
	struct link_map *map;

	(void)size;
	if (dlinfo(library, RTLD_DI_LINKMAP, &map) || info->dlpi_addr != map->l_addr)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *it = &info->dlpi_phdr[i];

		if (it->p_type != PT_LOAD || !(it->p_flags & PF_W) || it->p_memsz > MOST_TEXT)
			continue;
		if (count) {
			++*count;
			continue;
		}
		put_word(it->p_vaddr);
		put_text((const char *)info->dlpi_addr + it->p_vaddr, it->p_memsz);
	}
	return 1;
}

static void do_data(void)
{
	uint64_t count = 0;

	dl_iterate_phdr(put_segments, &count);
	put_word(OK);
	put_word(count);
	dl_iterate_phdr(put_segments, NULL);
}

static const struct {
	int number;
	const char *name;
} signals[] = {
	{ SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" }, { SIGFPE, "SIGFPE" }, { SIGILL, "SIGILL" },
	{ SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" }, { SIGPROF, "SIGPROF" },
	{ SIGALRM, "SIGALRM" },
};
#define SIGNALS	(sizeof(signals) / sizeof(signals[0]))
static void on_crash(int signal, siginfo_t *info, void *at);
static void on_tick(int signal, siginfo_t *info, void *at);
static void on_alarm(int signal, siginfo_t *info, void *at);

typedef void handler_fn(int signal, siginfo_t *info, void *at);

static handler_fn *handler_of(int signal)
{
	return signal == SIGPROF ? on_tick : signal == SIGALRM ? on_alarm : on_crash;
}

/* 1: the library has no thread, and no handler of a signal that is not its own; else the answer is
 * given already. */
static int is_alone(void)
{
	struct stat tasks;

	if (!stat("/proc/self/task", &tasks) && tasks.st_nlink > 3) {
		refuse("it has %lu threads of its own, and may have none",
		       (unsigned long)tasks.st_nlink - 3);
		return 0;
	}
	for (size_t i = 0; i < SIGNALS; i++) {
		struct sigaction now;

		sigaction(signals[i].number, NULL, &now);
		if (now.sa_sigaction != handler_of(signals[i].number)) {
			refuse("it has a handler for %s of its own, and may have none",
			       signals[i].name);
			return 0;
		}
	}
	return 1;
}

static void do_reset(void)
{
	get(&world, sizeof(world));
	dead = 0;
	for (int i = 0; i < MOST_LPS; i++)
		lps[i].number = 0;
	if (accepted("tdxt_reset", ABI(reset, &world)) && is_alone())
		put_word(OK);
}

static void do_hello(void)
{
	const char *version = ABI(version);
	size_t size;

	if (!version) {
		refuse("tdxt_version gives no text");
		return;
	}
	if (!is_alone())
		return;
	enter("tdxt_version");
	size = strlen(version);
	leave("tdxt_version");
	put_word(OK);
	put_word(TDXT_ABI);
	put(&caps, sizeof(caps));
	put_text(version, size);
}

/* What goes wrong */

static void last_words(enum answer answer, uint64_t signal, const char *text)
{
	const char *function = inside ? inside : "";

	if (is_child)
		_exit(0);
	put_word(answer);
	put_word(signal);
	put_word(running ? (uint64_t)(running - lps) : 0);
	put_word(running ? running->next : 0);
	put_text(text, strlen(text));
	put_text(function, strlen(function));
	flush();
	_exit(0);
}

/* The library did what ends the process, or should. */
static void died(const char *format, ...)
{
	char text[256];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	last_words(CRASHED, 0, text);
}

/* What is said of an address in code. */
static void name_place(char *text, size_t size, void *pc)
{
	Dl_info info;
	const char *file;

	text[0] = 0;
	if (!pc || !dladdr(pc, &info) || !info.dli_fname)
		return;
	file = strrchr(info.dli_fname, '/');
	snprintf(text, size, "%s at %s+0x%zx", info.dli_sname ? info.dli_sname : "code",
		 file ? file + 1 : info.dli_fname, (size_t)((char *)pc - (char *)info.dli_fbase));
}

static void *pc_of(const ucontext_t *at)
{
#if defined(__x86_64__)
	return (void *)at->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (void *)at->uc_mcontext.pc;
#else
	(void)at;
	return NULL;
#endif
}

static void on_crash(int signal, siginfo_t *info, void *at)
{
	char *touched = info->si_addr, text[512];

	for (int i = 0; i < MOST_LPS; i++)
		if (signal == SIGSEGV && touched >= lps[i].stack - PAGE && touched < lps[i].stack)
			last_words(CRASHED, (uint64_t)signal, "stack overflow");
	name_place(text, sizeof(text), signal == SIGABRT ? NULL : pc_of(at));
	last_words(CRASHED, (uint64_t)signal, text);
}

/* Bytes of memory that the process has touched. */
static uint64_t touched(void)
{
	char text[64] = "";
	int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char *resident;

	if (file < 0 || read(file, text, sizeof(text) - 1) <= 0)
		text[0] = 0;
	if (file >= 0)
		close(file);
	resident = strchr(text, ' ');
	return resident ? strtoull(resident, NULL, 10) * PAGE : 0;
}

static long most_ticks;		/* in one call without an event: then it hangs */

static void on_tick(int signal, siginfo_t *info, void *at)
{
	static int before = -1, ticks;
	static uint64_t filled;
	int error = errno;

	(void)info;
	/* What fills memory does not hang: it comes to its end at the limit. */
	if (!inside || progress != before || touched() > filled + FILLS)
		ticks = 0;
	before = progress;
	filled = touched();
	if (inside && filled > MOST_MEMORY)
		died("it takes more than 1 GB of memory");
	if (inside && ++ticks > most_ticks) {
		char text[512];

		name_place(text, sizeof(text), pc_of(at));
		last_words(HANGS, (uint64_t)signal, text);
	}
	errno = error;
}

/* The other process has waited for too long. */
static void on_alarm(int signal, siginfo_t *info, void *at)
{
	char text[512];

	(void)info;
	name_place(text, sizeof(text), pc_of(at));
	last_words(HANGS, (uint64_t)signal, text);
}

static void on_exit_of_library(int code, void *unused)
{
	(void)unused;
	if (inside)
		died("it ended the process with exit code %d", code);
}

static void on_fork(void)
{
	is_child = 1;
}

static void listen(void)
{
	static char room[64 << 10];
	stack_t alternative = { .ss_sp = room, .ss_size = sizeof(room) };
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	struct timeval each = { 0, TICK };
	struct itimerval ticks = { each, each };

	is_main = 1;
	sigaltstack(&alternative, NULL);
	for (size_t i = 0; i < SIGNALS; i++) {
		action.sa_sigaction = handler_of(signals[i].number);
		sigaction(signals[i].number, &action, NULL);
	}
	on_exit(on_exit_of_library, NULL);
	pthread_atfork(NULL, NULL, on_fork);
	setitimer(ITIMER_PROF, &ticks, NULL);
}

/* The library cannot be used: say so, and end. */
#define give_up(...) do {						\
	refuse(__VA_ARGS__);						\
	flush();							\
	_exit(0);							\
} while (0)

static void *needed(void *library, const char *name)
{
	void *function = dlsym(library, name);

	if (!function)
		give_up("it does not export %s; tdxfuzz_target.h says what that is", name);
	return function;
}

#define LOADING "its constructors"
#define FLAGS (TDXT_HAS_HOOK | TDXT_HAS_SNAPSHOT | TDXT_HAS_INTERRUPT | TDXT_HAS_TSC | TDXT_HAS_GUEST)

static void load(const char *path)
{
	uint64_t version;

	enter(LOADING);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	leave(LOADING);
	if (!library)
		give_up("it cannot be loaded: %s", dlerror());
#define TAKE(name) (*(void **)&lib.name = needed(library, "tdxt_" #name))
	TAKE(abi);
	TAKE(version);
	TAKE(error);
	TAKE(caps);
	TAKE(reset);
	TAKE(seamcall);
	TAKE(mem_read);
	TAKE(mem_write);
	version = ABI(abi);
	if (version != TDXT_ABI)
		give_up("it has version %llu of the ABI, and this is version %d: build it with this "
			"tdxfuzz_target.h", (unsigned long long)version, TDXT_ABI);
	/* What the library does not write is not taken for what it has. */
	memset(&caps, 0xff, sizeof(caps));
	if (ABI(caps, &caps) < 0)
		give_up("tdxt_caps: %s", reason());
	if (caps.flags & ~FLAGS)
		give_up("tdxt_caps sets flags that version %d of the ABI does not have: 0x%llx; it has to "
			"write all of CAPS, which comes filled with 0xff", TDXT_ABI,
			(unsigned long long)(caps.flags & ~FLAGS));
	if (caps.flags & TDXT_HAS_INTERRUPT)
		TAKE(interrupt);
	if (caps.flags & TDXT_HAS_TSC)
		TAKE(tsc);
	if (caps.flags & TDXT_HAS_GUEST)
		TAKE(guest);
	if (caps.flags & TDXT_HAS_SNAPSHOT)
		TAKE(snapshot);
	if (caps.flags & TDXT_HAS_HOOK) {
		TAKE(hook);
		if (ABI(hook, on_event, NULL) < 0)
			give_up("tdxt_hook: %s", reason());
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	/* Numbers that a library does not meet by chance, and that its children do not get. */
	in = fcntl(0, F_DUPFD_CLOEXEC, 100);
	out = fcntl(1, F_DUPFD_CLOEXEC, 100);
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(2, 1);
	if (in < 0 || out < 0 || !prepare_stacks())
		return 2;
	most_ticks = atol(argv[2]);
	listen();
	load(argv[1]);
	for (;;) {
		switch (get_word()) {
		case HELLO:
			do_hello();
			break;
		case RESET:
			do_reset();
			break;
		case WRITE:
			do_write();
			break;
		case READ:
			do_read();
			break;
		case CALL:
			do_call(0);
			break;
		case CALL_CLOSELY:
			do_call(1);
			break;
		case SNAPSHOT:
			do_snapshot();
			break;
		case PROGRAMS:
			do_programs();
			break;
		case DATA:
			do_data();
			break;
		default:
			return 1;
		}
	}
}
