/* SPDX-License-Identifier: MIT */
/* Memory for data on its way. Large pieces that are given back are kept for the next ones, up to a limit: fresh ones
 * would cost a page fault for every 4 KiB, which is as much as moving the data. One thread at a time. */
#ifndef VZ_BLOCK_BUFFERS_H
#define VZ_BLOCK_BUFFERS_H

#include "base/compiler.h"

#define BUFFERS_CLASSES 8u /* 64 KiB, 128 KiB, ... 8 MiB */

struct buffers { /* starts as zeroes */
    struct buffer *free[BUFFERS_CLASSES];
    uint64_t kept; /* bytes */
};

/* len bytes, of any content; NULL without memory. */
void *buffers_get(struct buffers *b, uint64_t len) must_check;
/* Give back what buffers_get() gave for the same len. NULL is fine. */
void buffers_put(struct buffers *b, void *data, uint64_t len);
/* All were given back. */
void buffers_fini(struct buffers *b);

#endif
