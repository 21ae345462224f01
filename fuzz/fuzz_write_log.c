/* SPDX-License-Identifier: MIT */
/* The log of writes that an NBD server may have forgotten: whatever is written, flushed and lost, a server that is sent
 * the log again has what it should; and nothing of what the log holds is counted twice or never. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "block/write_log.h"
#include "fuzz_input.h"

#define BYTES 64u

struct world {
    struct buffers buffers;
    struct write_log log;
    uint8_t want[BYTES];   /* what the disk must hold */
    uint8_t memory[BYTES]; /* what the server has */
    uint8_t stable[BYTES]; /* and still has when it dies */
    uint64_t replayed;     /* the last entry that was sent again, */
    bool is_up;            /* until all were */
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void write_some(struct world *w, struct input *in)
{
    uint64_t offset = take(in, 1) % BYTES;
    uint32_t len = (uint32_t)(1 + take(in, 1) % (BYTES - offset));
    uint8_t value = (uint8_t)take(in, 1), *data = value ? buffers_get(&w->buffers, len) : NULL;

    if (data)
        memset(data, value, len);
    memset(w->want + offset, value, len);
    memset(w->memory + offset, value, len);
    check(!write_log_add(&w->log, offset, len, take(in, 1) & 1, data));
}

/* It has written down any part of what it had. */
static void die(struct world *w, struct input *in)
{
    for (unsigned i = 0; i < BYTES; i++)
        w->stable[i] = take(in, 1) & 1 ? w->memory[i] : w->stable[i];
    memcpy(w->memory, w->stable, BYTES);
    w->replayed = 0;
    w->is_up = false;
}

static void flush(struct world *w, uint64_t covers)
{
    memcpy(w->stable, w->memory, BYTES);
    write_log_forget(&w->log, covers);
}

static void replay(struct world *w, unsigned count)
{
    struct write_log_entry *e;

    TAILQ_FOREACH (e, &w->log.entries, link) {
        if (e->number <= w->replayed)
            continue;
        if (!count--)
            return;
        if (e->data)
            memcpy(w->memory + e->offset, e->data, e->len);
        else
            memset(w->memory + e->offset, 0, e->len);
        w->replayed = e->number;
    }
    w->is_up = true;
}

static void look(const struct world *w)
{
    const struct write_log_entry *e;
    uint64_t bytes = 0, last = 0;

    TAILQ_FOREACH (e, &w->log.entries, link) {
        check(e->number > last && e->number <= w->log.last);
        last = e->number;
        bytes += WRITE_LOG_OVERHEAD + (e->data ? e->len : 0);
    }
    check(bytes == w->log.bytes);
    check(!w->is_up || !memcmp(w->want, w->memory, BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world w = {.is_up = true};

    write_log_init(&w.log, &w.buffers);
    while (in.len) {
        unsigned what = take(&in, 1) % 8;

        if (what < 4 && w.is_up)
            write_some(&w, &in);
        else if (what == 4 && w.is_up)
            flush(&w, w.log.last);
        else if (what == 5 && !w.is_up)
            flush(&w, w.replayed); /* as a replay does in the middle */
        else if (what == 6 && !w.is_up)
            replay(&w, (unsigned)take(&in, 1) % 8);
        else if (what == 7)
            die(&w, &in);
        look(&w);
    }
    if (!w.is_up)
        replay(&w, UINT32_MAX);
    check(w.is_up);
    look(&w);
    write_log_fini(&w.log);
    buffers_fini(&w.buffers);
    check(!w.log.bytes);
    return 0;
}
