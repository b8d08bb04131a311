/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MODULE_H
#define TDXFUZZ_LINUX_MODULE_H
#include <linux/export.h>
#include <linux/init.h>

#define MODULE_LICENSE(text)
#define MODULE_DESCRIPTION(text)
#define MODULE_AUTHOR(text)
#define module_param(name, type, permissions)
#define THIS_MODULE NULL

#endif
