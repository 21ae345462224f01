/* SPDX-License-Identifier: MIT */
/* A disk on an NBD server, as its loop thread has it: see blk_nbd.h. The rest is in nbd_client.c. */
#include "block/blk_nbd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/nbd_client.h"
#include "block/nbd_dial.h"
#include "block/nbd_library.h"
#include "loop/loop.h"

#define DISCARD_GRANULARITY 4096u

struct blk_nbd {
    struct blk b;
    struct nbd_client client;
    blk_nbd_tell_fn *tell;
    void *arg;
};

static struct blk_nbd *to_nbd(struct blk *b)
{
    return container_of(b, struct blk_nbd, b);
}

static void nbd_submit(struct blk *b, struct blk_req *req)
{
    nbd_client_submit(&to_nbd(b)->client, req);
}

static void nbd_unplug(struct blk *b)
{
    nbd_client_kick(&to_nbd(b)->client);
}

static bool nbd_wait(struct blk *b)
{
    return nbd_client_wait(&to_nbd(b)->client);
}

static void nbd_cancel(struct blk *b, struct blk_req *req)
{
    nbd_client_cancel(&to_nbd(b)->client, req);
}

/* The export has another size since there is a new connection. */
static void nbd_check_size(struct blk *b)
{
    blk_set_size(b, to_nbd(b)->client.size);
}

static void nbd_close_disk(struct blk *b)
{
    struct blk_nbd *n = to_nbd(b);

    nbd_client_stop(&n->client);
    loop_work_cancel(b->loop, &n->client.tell);
}

static const struct blk_ops nbd_ops = {.name = "nbd", .submit = nbd_submit, .unplug = nbd_unplug,
                                       .cancel = nbd_cancel, .wait = nbd_wait, .check_size = nbd_check_size,
                                       .close = nbd_close_disk};

static void tell_news(void *arg)
{
    struct blk_nbd *n = arg;
    struct nbd_client *c = &n->client;
    struct nbd_news news[NBD_NEWS_MAX];
    unsigned count = c->news_count;

    memcpy(news, c->news, count * sizeof(news[0]));
    c->news_count = 0;
    nbd_check_size(&n->b);
    for (unsigned i = 0; i < count && n->tell; i++)
        n->tell(n->arg, news[i].connected ? NULL : &news[i].err);
}

/* ---- Opening -------------------------------------------------------------------------------- */

int nbd_client_check(const struct nbd_client *c, const struct nbd_export *e, struct vz_error *err)
{
    bool writes = !c->b->read_only && !(e->read_only && !c->is_open);
    uint32_t block = c->is_open ? c->b->block_size : BLK_BLOCK_MAX, least = MAX(e->block_min, BLK_SECTOR);

    if (e->block_min > block || !is_power_of_two(e->block_min))
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "the server takes blocks of %u bytes at least; up to %u are supported",
                         e->block_min, block);
    if (e->size < least)
        return error_set(err, EINVAL, VZ_ERROR_NBD_NEGOTIATION_FAILED, "the export is empty");
    /* As of raw images: its end would be missing, also from copies, and nobody would hear of it. */
    if (!c->is_open && e->size % least)
        return error_set(err, EINVAL, VZ_ERROR_NBD_NEGOTIATION_FAILED,
                         "the export has %llu bytes, which is not a multiple of %u", (unsigned long long)e->size,
                         least);
    if (writes && !c->no_sync && !e->can_flush && !e->can_fua)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "the server cannot flush, so nothing written is ever known to be safe: "
                         "sync=none accepts that");
    if (!c->is_open)
        return 0;
    if (align_down(e->size, block) < c->size)
        return error_set(err, EINVAL, VZ_ERROR_NBD_NEGOTIATION_FAILED,
                         "the export has become smaller: %llu bytes where there were %llu",
                         (unsigned long long)e->size, (unsigned long long)c->size);
    if (writes && e->read_only)
        return error_set(err, EROFS, VZ_ERROR_NBD_NEGOTIATION_FAILED, "the export has become read-only");
    if (writes && !e->can_flush && c->export.can_flush)
        return error_set(err, ENOTSUP, VZ_ERROR_NBD_NEGOTIATION_FAILED, "the server cannot flush any more");
    return 0;
}

/* What the guest is told of the export. */
static void set_properties(struct blk_nbd *n)
{
    const struct nbd_export *e = &n->client.export;
    struct blk *b = &n->b;

    b->physical_block_size = MAX(b->block_size, is_power_of_two(e->block_preferred)
                                                    ? MIN(e->block_preferred, 65536u) : 4096u);
    b->discard_granularity = e->can_trim ? DISCARD_GRANULARITY : 0;
}

static struct blk_nbd *make(const struct blk_nbd_options *o, struct loop *loop)
{
    struct blk_nbd *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    n->tell = o->tell;
    n->arg = o->arg;
    n->client.b = &n->b;
    n->client.timeout_ms = o->timeout_ms;
    n->client.no_sync = o->no_sync;
    n->client.maps = o->looks;
    n->client.by = o->by;
    n->client.dial = o->dial;
    n->client.goes_on = o->goes_on;
    n->client.goes_on_arg = o->goes_on_arg;
    n->client.tell = (struct loop_work){.fn = tell_news, .arg = n};
    n->b.block_size = BLK_SECTOR;
    n->b.read_only = o->read_only;
    blk_init(&n->b, &nbd_ops, loop, NULL);
    return n;
}

int blk_nbd_open(const struct blk_nbd_options *o, struct loop *loop, struct blk **ret,
                 struct vz_error *err)
{
    struct blk_nbd *n;
    int r = o->by ? 0 : nbd_library_load(err);

    if (r < 0)
        return r; /* and so there is no dial */
    n = make(o, loop);
    if (!n) {
        nbd_dial_abandon(o->dial);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    r = nbd_uri_parse(o->uri, &n->client.uri, err);
    if (r < 0)
        nbd_dial_abandon(o->dial);
    if (!r && (r = nbd_client_start(&n->client, err)) < 0)
        error_prefix(err, "%.100s", o->uri);
    if (r < 0) {
        blk_fini(&n->b);
        free(n);
        return r;
    }
    set_properties(n);
    n->b.size = n->client.size;
    *ret = &n->b;
    return 0;
}

int blk_nbd_dial(struct child *by, const char *uri, struct nbd_dial **ret, struct vz_error *err)
{
    struct nbd_uri u;
    int r = by ? 0 : nbd_library_load(err);

    if (!r)
        r = nbd_uri_parse(uri, &u, err);
    return r < 0 ? r : nbd_dial_start(by, &u, false, ret, err);
}

int blk_nbd_dial_fd(const struct nbd_dial *d)
{
    return nbd_dial_fd(d);
}

void blk_nbd_hang_up(struct nbd_dial *d)
{
    nbd_dial_abandon(d);
}

void blk_nbd_abandon(struct blk *b)
{
    if (b->ops == &nbd_ops)
        nbd_client_abandon(&to_nbd(b)->client);
}

void blk_nbd_hurry(struct blk *b, uint32_t ms)
{
    for (; b; b = b->child) {
        if (b->ops == &nbd_ops)
            nbd_client_hurry(&to_nbd(b)->client, ms);
    }
}

bool blk_nbd_look(struct blk *b, struct blk_nbd_look *look)
{
    return nbd_client_look(&to_nbd(b)->client, look);
}
