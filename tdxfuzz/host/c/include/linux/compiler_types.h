/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_COMPILER_TYPES_H
#define TDXFUZZ_LINUX_COMPILER_TYPES_H
#include <linux/kconfig.h>

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define __maybe_unused __attribute__((unused))
#define __always_unused __attribute__((unused))
#undef __must_check
#define __must_check __attribute__((warn_unused_result))
#define __packed __attribute__((packed))
#define __aligned(x) __attribute__((aligned(x)))
#define __pure __attribute__((pure))
#define __cold __attribute__((cold))
#define __used __attribute__((used))
#define __weak __attribute__((weak))
#define __noreturn __attribute__((noreturn))
#define __printf(a, b) __attribute__((format(printf, a, b)))
#define __cleanup(f) __attribute__((cleanup(f)))
#define fallthrough __attribute__((fallthrough))
/* Address spaces and sections mean nothing here. */
#define __user
#define __iomem
#define __rcu
#define __force
#define __init
#define __exit
#define __initdata
#define __refdata
#define __ro_after_init
#define __read_mostly
#define __cacheline_aligned
#define ____cacheline_aligned
#define ____cacheline_aligned_in_smp
#define __acquires(x)
#define __releases(x)
#define __acquire(x) ((void)0)
#define __release(x) ((void)0)
#define __must_hold(x)
#define __guarded_by(x)
#define __counted_by(x)
#define notrace

#endif
