/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_PROCESSOR_H
#define TDXFUZZ_ASM_PROCESSOR_H
#include <linux/processor.h>

#endif
