/* SPDX-License-Identifier: MIT */
/*
 * The Python model behind tdxfuzz_target.h: each call is passed on to bridge_server.py through pipes.
 *
 * It forks, which a library may not: the test knows what it does. BRIDGE_PYTHON and BRIDGE_SERVER
 * name the interpreter and the script.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tdxfuzz_target.h>

enum message { CAPS = 1, RESET, CALL, GO, WRITE, READ, INTERRUPT, TSC, SNAPSHOT, GUEST };
enum answer { DONE = 1, BEFORE, AFTER };

static int to = -1, from = -1;
static tdxt_hook_fn hook;
static struct tdxt_script *scripts[TDXT_MAX_LPS];
static void *hook_context;

static void start(void)
{
	int there[2], back[2];

	if (pipe(there) || pipe(back))
		abort();
	if (!fork()) {
		char *args[] = { getenv("BRIDGE_PYTHON"), getenv("BRIDGE_SERVER"), NULL };

		dup2(there[0], 0);
		dup2(back[1], 1);
		close(there[1]);
		close(back[0]);
		execv(args[0], args);
		_exit(1);
	}
	close(there[0]);
	close(back[1]);
	to = there[1];
	from = back[0];
}

static void put(const void *data, size_t size)
{
	if (to < 0)
		start();
	if (write(to, data, size) != (ssize_t)size)
		abort();
}

static void get(void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t n = read(from, at, size);

		if (n <= 0)
			abort();
		at += n;
		size -= (size_t)n;
	}
}

static void ask(uint64_t what, const uint64_t *words, size_t number)
{
	put(&what, sizeof(what));
	put(words, number * sizeof(*words));
}

uint64_t tdxt_abi(void)
{
	return TDXT_ABI;
}

const char *tdxt_version(void)
{
	return "model behind the ABI";
}

const char *tdxt_error(void)
{
	return "";
}

int64_t tdxt_caps(struct tdxt_caps *caps)
{
	ask(CAPS, NULL, 0);
	get(caps, sizeof(*caps));
	return 0;
}

int64_t tdxt_reset(const struct tdxt_world *world)
{
	ask(RESET, (const uint64_t *)world, sizeof(*world) / 8);
	return 0;
}

int64_t tdxt_seamcall(uint64_t lp, uint64_t *rax, uint64_t regs[TDXT_REGS])
{
	uint64_t words[2 + TDXT_REGS] = { lp, *rax }, answer;
	struct tdxt_event event;
	int64_t fatal;

	memcpy(words + 2, regs, TDXT_REGS * sizeof(*regs));
	ask(CALL, words, 2 + TDXT_REGS);
	for (;;) {
		get(&answer, sizeof(answer));
		if (answer == DONE)
			break;
		get(&event, sizeof(event));
		if (hook)
			hook(hook_context, &event);
		ask(GO, &lp, 1);
	}
	get(&fatal, sizeof(fatal));
	get(rax, sizeof(*rax));
	get(regs, TDXT_REGS * sizeof(*regs));
	get(&scripts[lp]->done, sizeof(uint64_t));
	get(scripts[lp]->step, scripts[lp]->done * sizeof(scripts[lp]->step[0]));
	return fatal;
}

int64_t tdxt_mem_write(uint64_t hpa, const void *buffer, uint64_t size)
{
	uint64_t words[] = { hpa, size };

	ask(WRITE, words, 2);
	put(buffer, size);
	return 0;
}

int64_t tdxt_mem_read(uint64_t hpa, void *buffer, uint64_t size)
{
	uint64_t words[] = { hpa, size };

	ask(READ, words, 2);
	get(buffer, size);
	return 0;
}

int64_t tdxt_interrupt(uint64_t lp, uint64_t on)
{
	uint64_t words[] = { lp, on };

	ask(INTERRUPT, words, 2);
	return 0;
}

int64_t tdxt_guest(uint64_t lp, struct tdxt_script *script)
{
	uint64_t words[] = { lp, script->steps };

	scripts[lp] = script;
	ask(GUEST, words, 2);
	put(script->step, script->steps * sizeof(script->step[0]));
	return 0;
}

int64_t tdxt_tsc(uint64_t lp, uint64_t value)
{
	uint64_t words[] = { lp, value };

	ask(TSC, words, 2);
	return 0;
}

int64_t tdxt_snapshot(char *buffer, uint64_t size)
{
	static char text[1 << 20];
	uint64_t length;

	ask(SNAPSHOT, NULL, 0);
	get(&length, sizeof(length));
	if (length > sizeof(text))
		abort();
	get(text, length);
	if (length <= size)
		memcpy(buffer, text, length);
	return (int64_t)length;
}

int64_t tdxt_hook(tdxt_hook_fn fn, void *context)
{
	hook = fn;
	hook_context = context;
	return 0;
}
