/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_BUILD_BUG_H
#define TDXFUZZ_LINUX_BUILD_BUG_H
#define BUILD_BUG_ON(condition) _Static_assert(!(condition), #condition)
#define BUILD_BUG_ON_MSG(condition, message) _Static_assert(!(condition), message)
#define BUILD_BUG_ON_ZERO(e) ((int)(sizeof(struct { int : (-!!(e)); })))
#define BUILD_BUG() BUILD_BUG_ON(1)
#ifndef __cplusplus
#undef static_assert
#define __tdxc_static_assert(e, message, ...) _Static_assert(e, message)
#define static_assert(e, ...) __tdxc_static_assert(e, ##__VA_ARGS__, #e)
#endif

#endif
