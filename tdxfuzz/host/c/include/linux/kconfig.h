/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_KCONFIG_H
#define TDXFUZZ_LINUX_KCONFIG_H

/*
 * 1 if -D gives the option, or its _MODULE, the value 1, else 0. Usable in #if and in expressions:
 * only what ends in 1 names a macro that brings a further argument.
 */
#define __TDXC_OPTION_1 ~,
#define __TDXC_SECOND(first, second, ...) second
#define __TDXC_IS_ONE(argument) __TDXC_SECOND(argument 1, 0, 0)
#define __TDXC_OPTION(value) __TDXC_IS_ONE(__TDXC_OPTION_##value)
#define __TDXC_GIVEN(option) __TDXC_OPTION(option)
#define IS_BUILTIN(option) __TDXC_GIVEN(option)
#define IS_MODULE(option) __TDXC_GIVEN(option##_MODULE)
#define IS_ENABLED(option) (__TDXC_GIVEN(option) || __TDXC_GIVEN(option##_MODULE))
#define IS_REACHABLE(option) IS_ENABLED(option)

#endif
