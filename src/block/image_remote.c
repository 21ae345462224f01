/* SPDX-License-Identifier: MIT */
/* A disk on an NBD server, one request at a time: see image_remote.h. */
#include "block/image_remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/blk_nbd.h"
#include "loop/loop.h"

#define TIMEOUT_MS 30000u

struct image_remote {
    struct loop *loop;
    struct blk *blk;
    int err; /* of the last request */
};

int image_remote_open(const char *uri, bool read_only, struct image_remote **ret, struct vz_error *err)
{
    const struct blk_nbd_options o = {.uri = uri, .read_only = read_only, .timeout_ms = TIMEOUT_MS};
    struct image_remote *m = calloc(1, sizeof(*m));
    int r = m ? loop_create(&m->loop) : -ENOMEM;

    if (r < 0) {
        free(m);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make an event loop: %s", strerror(-r));
    }
    r = blk_nbd_open(&o, m->loop, &m->blk, err);
    if (r < 0) {
        image_remote_close(m);
        return r;
    }
    *ret = m;
    return 0;
}

void image_remote_close(struct image_remote *m)
{
    if (!m)
        return;
    blk_close(m->blk);
    loop_destroy(m->loop);
    free(m);
}

uint64_t image_remote_size(const struct image_remote *m)
{
    return m->blk->size;
}

bool image_remote_is_read_only(const struct image_remote *m)
{
    return m->blk->read_only;
}

struct call {
    struct blk_req req;
    struct image_remote *remote;
};

static void done(struct blk_req *req, int err)
{
    struct image_remote *m = container_of(req, struct call, req)->remote;

    m->err = err;
    loop_stop(m->loop);
}

int image_remote_do(struct image_remote *m, struct blk_req *req)
{
    struct call c = {.req = *req, .remote = m};

    c.req.done = done;
    blk_submit(m->blk, &c.req);
    loop_run(m->loop);
    return m->err;
}
