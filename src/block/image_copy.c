/* SPDX-License-Identifier: MIT */
/* Copying disks: see image_copy.h. */
#include "block/image_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/image_remote.h"

#define GRAIN (64 * KIB) /* zeroes of this size are left out */

int image_failed(const char *path, int r, struct vz_error *err)
{
    if (r == -ECANCELED)
        return error_set(err, ECANCELED, VZ_ERROR_CANCELLED, "%s: stopped", path);
    return error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : r == -ENOSPC
                     ? VZ_ERROR_OUT_OF_DISK_SPACE : VZ_ERROR_IO, "%s: %s", path, strerror(-r));
}

bool image_goes_on(const struct image_progress *p, uint64_t done, uint64_t total)
{
    return !p || !p->fn || p->fn(p->arg, done, total);
}

/* ---- Ends ----------------------------------------------------------------------------------- */

uint64_t image_end_size(const struct image_end *e)
{
    return e->layer ? e->layer->size : image_remote_size(e->remote);
}

static int do_request(const struct image_end *e, struct blk_req *req)
{
    return e->layer ? blk_image_do(e->layer->image, req) : image_remote_do(e->remote, req);
}

int image_layer_read(struct disk_layer *l, uint64_t offset, void *data, uint64_t len)
{
    struct iovec iov = {data, len};

    return layer_read(l, offset, len, &iov, 1);
}

int image_end_write(const struct image_end *e, uint64_t offset, const void *data, uint64_t len)
{
    struct iovec iov = {(void *)data, len};
    struct blk_req req = {.op = BLK_WRITE, .offset = offset, .len = len, .iov = &iov, .iov_count = 1};

    return e->layer && e->layer->q ? qcow2_write(e->layer->q, offset, len, &iov, 1) : do_request(e, &req);
}

int image_end_zero(const struct image_end *e, uint64_t offset, uint64_t len)
{
    struct blk_req req = {.op = BLK_ZERO, .unmap = true, .offset = offset, .len = len};

    return e->layer && e->layer->q ? qcow2_zero(e->layer->q, offset, len, true) : do_request(e, &req);
}

int image_end_flush(const struct image_end *e)
{
    struct blk_req req = {.op = BLK_FLUSH};

    if (!e->layer)
        return do_request(e, &req);
    return e->layer->q ? qcow2_flush(e->layer->q) : blk_image_sync(e->layer->image);
}

/* A hole in the file of a raw layer, which a run of DATA at host is. */
static bool find_hole(const struct disk_layer *l, const struct qcow2_run *run, uint64_t *ret_len)
{
    off_t data = lseek(l->image->fd, (off_t)run->host, SEEK_DATA);

    if (data < 0 && errno != ENXIO)
        return false;
    *ret_len = data < 0 ? run->len : MIN(run->len, (uint64_t)data - run->host);
    return *ret_len;
}

int image_end_look(const struct image_end *e, uint64_t offset, uint64_t len, bool *ret_zeroes,
                   uint64_t *ret_len)
{
    struct layer_run run;
    int r;

    *ret_zeroes = false;
    *ret_len = len;
    if (!e->layer)
        return image_remote_look(e->remote, offset, len, ret_zeroes, ret_len);
    r = layer_map(e->layer, offset, len, false, &run);
    if (r < 0)
        return r;
    *ret_len = run.run.len;
    *ret_zeroes = run.run.kind == QCOW2_ZEROES || (run.layer && !run.layer->q && !run.layer->image->is_device &&
                                                   find_hole(run.layer, &run.run, ret_len));
    layer_done(&run);
    return 0;
}

/* ---- Copying -------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, uint64_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* The length of what begins at start and is all zeroes, or has none worth leaving out. */
static uint64_t stretch(const uint8_t *data, uint64_t start, uint64_t len, bool zeroes)
{
    uint64_t end = start;

    while (end < len && is_zero(data + end, MIN(GRAIN, len - end)) == zeroes)
        end += GRAIN;
    return MIN(end, len) - start;
}

static int write_sparse(const struct image_end *to, bool blank, uint64_t offset, const uint8_t *data,
                        uint64_t len)
{
    uint64_t at = 0, part;
    int r = 0;

    for (bool zeroes = false; !r && at < len; at += part, zeroes = !zeroes) {
        part = stretch(data, at, len, zeroes);
        if (part && !zeroes)
            r = image_end_write(to, offset + at, data + at, part);
        else if (part && !blank)
            r = image_end_zero(to, offset + at, part);
    }
    return r;
}

static void tell_end(const struct image_end *e, uint64_t done, uint64_t total)
{
    if (e->remote)
        image_remote_progress(e->remote, done, total);
}

struct copy {
    const struct image_end *from, *to;
    bool blank;
    uint64_t size, done;
    uint8_t *data; /* IMAGE_PIECE bytes */
};

static void tell_ends(const struct copy *c)
{
    tell_end(c->from, c->done, c->size);
    tell_end(c->to, c->done, c->size);
}

static int take_part(void *arg, uint64_t offset, const uint8_t *data, uint64_t len)
{
    struct copy *c = arg;
    int r = write_sparse(c->to, c->blank, offset, data, len);

    c->done += len;
    tell_ends(c);
    return r;
}

/* What may not be zeroes, len bytes and what is looked through beyond them. */
static int copy_data(struct copy *c, uint64_t len, bool *ret_reading)
{
    int r;

    if (c->from->remote)
        return image_remote_read_all(c->from->remote, c->done, len, c->data, take_part, c, ret_reading);
    len = MIN(IMAGE_PIECE, c->size - c->done);
    r = image_layer_read(c->from->layer, c->done, c->data, len);
    *ret_reading = r < 0;
    return r ? r : take_part(c, c->done, c->data, len);
}

static int copy_some(struct copy *c, bool *ret_reading)
{
    bool zeroes = false;
    uint64_t len;
    int r;

    tell_ends(c);
    r = image_end_look(c->from, c->done, c->size - c->done, &zeroes, &len);
    *ret_reading = r < 0;
    if (!r && !zeroes)
        return copy_data(c, len, ret_reading);
    if (!r && !c->blank)
        r = image_end_zero(c->to, c->done, len);
    c->done += len;
    return r;
}

int image_copy(const struct image_end *from, const struct image_end *to, bool blank,
               const struct image_progress *p, bool *ret_reading)
{
    struct copy c = {.from = from, .to = to, .blank = blank, .size = image_end_size(from), .data = malloc(IMAGE_PIECE)};
    uint64_t size = c.size, rest = image_end_size(to) - size;
    int r = c.data ? 0 : -ENOMEM;

    *ret_reading = false;
    while (!r && c.done < size)
        r = image_goes_on(p, c.done, size) ? copy_some(&c, ret_reading) : -ECANCELED;
    if (!r && rest && !blank)
        r = image_end_zero(to, size, rest);
    free(c.data);
    return !r && !image_goes_on(p, size, size) ? -ECANCELED : r;
}
