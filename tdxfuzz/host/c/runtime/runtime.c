/* SPDX-License-Identifier: MIT */
/* The runtime of layers in C, as one file, so that what runs at each access is inlined. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>

#include "inside.h"
#include "context.c"
#include "memory.c"
#include "pieces.c"
#include "race.c"
#include "access.c"
#include "kernel.c"
