/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_KVM_HOST_H
#define TDXFUZZ_LINUX_KVM_HOST_H
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#define KVM_BUG_ON(condition, kvm) ((void)(kvm), WARN_ON(condition))
#define KVM_BUG(condition, kvm, format...) ((void)(kvm), WARN(condition, format))

#endif
