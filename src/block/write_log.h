/* SPDX-License-Identifier: MIT */
/* Writes that a server has taken and that no flush has made stable: kept so that they can be written again
 * should the server forget them. In the order in which they completed. */
#ifndef VZ_BLOCK_WRITE_LOG_H
#define VZ_BLOCK_WRITE_LOG_H

#include <sys/queue.h>

#include "base/compiler.h"
#include "block/buffers.h"

#define WRITE_LOG_OVERHEAD 128u /* bytes that a write without data counts as */

struct write_log_entry {
    TAILQ_ENTRY(write_log_entry) link;
    uint64_t number; /* 1, 2, ... */
    uint64_t offset;
    uint32_t len;
    bool may_unmap;
    uint8_t *data; /* NULL: zeroes */
};

struct write_log {
    TAILQ_HEAD(, write_log_entry) entries;
    uint64_t last;  /* number given */
    uint64_t bytes; /* of memory */
    struct buffers *buffers;
};

/* buffers: where data comes from and goes to. */
void write_log_init(struct write_log *log, struct buffers *buffers);
void write_log_fini(struct write_log *log);

/* data: len bytes of log->buffers, the log's from here on, also on failure; NULL: zeroes. 0 or -ENOMEM. */
int write_log_add(struct write_log *log, uint64_t offset, uint32_t len, bool may_unmap,
                  uint8_t *data) must_check;

/* All up to this one are stable. */
void write_log_forget(struct write_log *log, uint64_t last);

#endif
