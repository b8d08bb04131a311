"""A reproducer as a C program: threads that make the same SEAMCALLs in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tdxfuzz.abi import status
from tdxfuzz.abi.registers import NAMES
from tdxfuzz.repro.calls import Call, calls_of
from tdxfuzz.run.result import Run

HEAD = """\
 *
 * Written by `tdxfuzz show --as c`. A thread stands for each CPU. Before each call it waits for the
 * calls of other CPUs that had returned, or had begun, when this call began in the run. Two
 * calls that overlapped there may overlap here; the hardware decides how.
 *
 * Addresses are those of the model: the first 2MB range, A, begins at 0x100000000. What the host
 * does between its calls (locks, counts) is left out: the order stands for it.
 *
 * As it is, each call is printed and answered as in the run. To make the calls, define
 * SEAMCALL(cpu, rax, regs) as an expression that makes one and gives its RAX. regs is the array
 * of RCX, RDX, R8 to R15, RBX, RDI and RSI, which holds the outputs afterwards:
 *
 *     cc -pthread -DSEAMCALL=my_seamcall -include my_seamcall.h this.c my_seamcall.c
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
"""

MACHINERY = """\

enum { %(names)s, REGISTERS };

static pthread_barrier_t ready;
static atomic_uint begun[CPUS], returned[CPUS];
static atomic_int differences;

static inline void wait_for(atomic_uint *count, unsigned int least)
{
	while (atomic_load(count) < least)
		sched_yield();
}

static inline void call(unsigned int cpu, const char *name, uint64_t rax, uint64_t regs[REGISTERS],
			uint64_t answered)
{
	uint64_t answer;

	atomic_fetch_add(&begun[cpu], 1);
#ifdef SEAMCALL
	answer = SEAMCALL(cpu, rax, regs);
#else
	(void)rax;
	(void)regs;
	answer = answered;
#endif
	printf("CPU %%u %%s = 0x%%016" PRIx64 "\\n", cpu, name, answer);
	fflush(stdout);
	if (answer != answered) {
		printf("CPU %%u %%s: the model answers 0x%%016" PRIx64 "\\n", cpu, name, answered);
		atomic_fetch_add(&differences, 1);
	}
	atomic_fetch_add(&returned[cpu], 1);
}
"""

MAIN = """\

int main(void)
{
	static void *(*const program[CPUS])(void *) = { %(programs)s };
	pthread_t threads[CPUS];
	unsigned int cpu;

	set_up();
	for (cpu = 0; cpu < CPUS; cpu++) {
		atomic_store(&begun[cpu], 0);
		atomic_store(&returned[cpu], 0);
	}
	if (pthread_barrier_init(&ready, NULL, CPUS))
		return 2;
	for (cpu = 0; cpu < CPUS; cpu++)
		if (pthread_create(&threads[cpu], NULL, program[cpu], NULL))
			return 2;
	for (cpu = 0; cpu < CPUS; cpu++)
		pthread_join(threads[cpu], NULL);
	return atomic_load(&differences) != 0;
}
"""

NEVER = 0xFFFF_FFFF_FFFF_FFFF
"""Stands for the answer of a call that never returned in the run."""


def as_c(run: Run) -> str:
    """The source of the program, for a traced run.

    Raises:
        ValueError: the run kept no trace.
    """
    if run.trace is None:
        raise ValueError("the run kept no trace")
    cpus = run.cpus
    setup_records = [] if run.setup_trace is None else list(run.setup_trace)
    before = calls_of(setup_records, cpus)
    known = set(map(id, setup_records))
    calls = calls_of([record for record in run.trace if id(record) not in known], cpus)
    shown = run.shown
    title = "nothing shows" if shown is None else f"{shown.check}: {shown.message}"
    alone = "" if before or calls else "\n/* No CPU makes a call: the host alone is at fault. */\n"
    programs = [[call for call in calls if call.cpu == cpu] for cpu in range(cpus)]
    return "".join(
        [
            f"/* {_comment(f'{run.case.design}: {title}')}\n",
            HEAD,
            f"\n#define CPUS {cpus}\n",
            alone,
            MACHINERY % {"names": ", ".join(name.upper() for name in NAMES)},
            "\nstatic void set_up(void)\n{\n",
            *_body(before, waits=False),
            "}\n",
            *(text for cpu, own in enumerate(programs) for text in _program(cpu, own)),
            MAIN % {"programs": ", ".join(f"cpu{cpu}" for cpu in range(cpus))},
        ]
    )


def _program(cpu: int, calls: Sequence[Call]) -> Iterator[str]:
    yield f"\nstatic void *cpu{cpu}(void *unused)\n{{\n\tpthread_barrier_wait(&ready);\n"
    yield from _body(calls, waits=True)
    yield "\treturn unused;\n}\n"


def _body(calls: Sequence[Call], waits: bool) -> Iterator[str]:
    waited: dict[tuple[str, int], int] = {}
    operation = ""
    for call in calls:
        if call.operation != operation:
            operation = call.operation
            yield f"\n\t/* CPU {call.cpu}: {_comment(operation)} */\n"
        for what, counts in (("returned", call.returned), ("begun", call.begun)):
            for other, least in sorted(counts.items()):
                # One that returned has begun.
                enough = max(waited.get(("returned", other), 0), waited.get((what, other), 0))
                if waits and least > enough:
                    waited[what, other] = least
                    yield f"\twait_for(&{what}[{other}], {least});\n"
        yield _call(call)


def _call(call: Call) -> str:
    registers = ", ".join(
        f"[{name.upper()}] = {value:#x}" for name, value in call.registers.items() if value
    )
    rax = call.leaf.number | call.version << 16
    answer = NEVER if call.answer is None else call.answer
    told = "it never returned" if call.answer is None else str(status(call.answer))
    return (
        f'\tcall({call.cpu}, "{call.leaf.name}", {rax:#x},\n'
        f"\t     (uint64_t[REGISTERS]){{ {registers or '0'} }}, {answer:#x}); /* {told} */\n"
    )


def _comment(text: str) -> str:
    """A text that can stand in a comment, in one line."""
    return " ".join(text.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").split())
