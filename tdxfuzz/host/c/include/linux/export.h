/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_EXPORT_H
#define TDXFUZZ_LINUX_EXPORT_H
#define EXPORT_SYMBOL(name)
#define EXPORT_SYMBOL_GPL(name)
#define EXPORT_SYMBOL_FOR_KVM(name)
#define EXPORT_SYMBOL_FOR_MODULES(name, modules)

#endif
