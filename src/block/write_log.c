/* SPDX-License-Identifier: MIT */
/* Writes that are not stable yet: see write_log.h. */
#include "block/write_log.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t weight(const struct write_log_entry *e)
{
    return WRITE_LOG_OVERHEAD + (e->data ? e->len : 0);
}

void write_log_init(struct write_log *log, struct buffers *buffers)
{
    *log = (struct write_log){.buffers = buffers};
    TAILQ_INIT(&log->entries);
}

void write_log_fini(struct write_log *log)
{
    write_log_forget(log, UINT64_MAX);
}

int write_log_add(struct write_log *log, uint64_t offset, uint32_t len, bool may_unmap, uint8_t *data)
{
    struct write_log_entry *e = malloc(sizeof(*e));

    if (!e) {
        buffers_put(log->buffers, data, len);
        return -ENOMEM;
    }
    *e = (struct write_log_entry){.number = ++log->last, .offset = offset, .len = len,
                                  .may_unmap = may_unmap, .data = data};
    log->bytes += weight(e);
    TAILQ_INSERT_TAIL(&log->entries, e, link);
    return 0;
}

void write_log_forget(struct write_log *log, uint64_t last)
{
    struct write_log_entry *e;

    while ((e = TAILQ_FIRST(&log->entries)) && e->number <= last) {
        TAILQ_REMOVE(&log->entries, e, link);
        log->bytes -= weight(e);
        buffers_put(log->buffers, e->data, e->len);
        free(e);
    }
}
