/* SPDX-License-Identifier: MIT */
/* Making and changing disk images: see image_tool.h. */
#include "block/image_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/image_file.h"

#define PIECE (4 * MIB)      /* copied at a time */
#define GRAIN (64 * KIB)     /* zeroes of this size are left out */

static int failed(const char *path, int r, struct vz_error *err)
{
    if (r == -ECANCELED)
        return error_set(err, ECANCELED, VZ_ERROR_CANCELLED, "%s: stopped", path);
    return error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : r == -ENOSPC
                     ? VZ_ERROR_OUT_OF_DISK_SPACE : VZ_ERROR_IO, "%s: %s", path, strerror(-r));
}

/* ---- Create --------------------------------------------------------------------------------- */

static int fill_new(struct image_file *f, const struct image_new *n, struct vz_error *err)
{
    struct qcow2_create_options o = n->qcow2;
    int r = 0;

    o.size = n->size;
    if (n->format == DISK_FORMAT_QCOW2)
        return qcow2_create(f->fd, &o, err);
    if (!n->size || n->size % 512)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "the size of a disk is a multiple of 512 bytes");
    if (ftruncate(f->fd, (off_t)n->size) < 0)
        r = -errno;
    if (!r && n->preallocate)
        r = -posix_fallocate(f->fd, 0, (off_t)n->size);
    return r < 0 ? failed(f->path, r, err) : 0;
}

int image_create(const char *path, const struct image_new *n, struct vz_error *err)
{
    struct image_file f;
    int r = image_file_begin(&f, path, n->replace, err);

    if (r < 0)
        return r;
    r = fill_new(&f, n, err);
    if (r < 0) {
        image_file_abandon(&f);
        return r;
    }
    return image_file_publish(&f, err);
}

/* ---- Copying -------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, uint64_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

static int write_layer(struct disk_layer *l, uint64_t offset, const uint8_t *data, uint64_t len)
{
    struct iovec iov = {(void *)data, len};
    struct blk_req req = {.op = BLK_WRITE, .offset = offset, .len = len, .iov = &iov,
                          .iov_count = 1};

    return l->q ? qcow2_write(l->q, offset, len, &iov, 1) : blk_image_do(l->image, &req);
}

static int zero_layer(struct disk_layer *l, uint64_t offset, uint64_t len)
{
    struct blk_req req = {.op = BLK_ZERO, .unmap = true, .offset = offset, .len = len};

    return l->q ? qcow2_zero(l->q, offset, len, true) : blk_image_do(l->image, &req);
}

/* Into a disk that has only zeroes so far. */
static int write_sparse(struct disk_layer *to, uint64_t offset, const uint8_t *data, uint64_t len)
{
    uint64_t start = 0, end;
    int r = 0;

    while (!r && start < len) {
        for (; start < len && is_zero(data + start, MIN(GRAIN, len - start)); start += GRAIN)
            ;
        for (end = start; end < len && !is_zero(data + end, MIN(GRAIN, len - end)); end += GRAIN)
            ;
        end = MIN(end, len);
        if (start < end)
            r = write_layer(to, offset + start, data + start, end - start);
        start = MAX(end, start);
    }
    return r;
}

static bool goes_on(const struct image_progress *p, uint64_t done, uint64_t total)
{
    return !p || !p->fn || p->fn(p->arg, done, total);
}

static int copy_all(struct disk_layer *from, struct disk_layer *to, const struct image_progress *p)
{
    uint8_t *data = malloc(PIECE);
    uint64_t at = 0, len;
    int r = data ? 0 : -ENOMEM;

    for (; !r && at < from->size; at += len) {
        enum qcow2_kind kind;

        if (!goes_on(p, at, from->size))
            r = -ECANCELED;
        if (!r)
            r = layer_look(from, at, from->size - at, &kind, &len);
        if (r < 0 || kind == QCOW2_ZEROES)
            continue;
        len = MIN(PIECE, from->size - at);
        r = layer_read(from, at, len, &(struct iovec){data, len}, 1);
        if (!r)
            r = write_sparse(to, at, data, len);
    }
    free(data);
    return !r && !goes_on(p, from->size, from->size) ? -ECANCELED : r;
}

static int fill_copy(struct image_file *f, const struct disk_chain *from, const struct image_new *n,
                     const struct image_progress *p, struct vz_error *err)
{
    const struct disk_chain_options o = {.fd = f->fd, .format = n->format, .sync = BLK_SYNC_NONE};
    struct disk_chain *to;
    int r = disk_chain_open(&o, &to, err), closed;

    if (r < 0)
        return r;
    r = copy_all((struct disk_layer *)&from->layer[0], &to->layer[0], p);
    closed = disk_chain_close(to);
    r = r ? r : closed;
    return r < 0 ? failed(f->path, r, err) : 0;
}

int image_convert(const struct disk_chain_options *options, const char *to,
                  const struct image_new *n, const struct image_progress *p, struct vz_error *err)
{
    struct disk_chain_options o = *options;
    struct image_new new = *n;
    struct disk_chain *from;
    struct image_file f;
    int r;

    o.read_only = true;
    r = disk_chain_open(&o, &from, err);
    if (r < 0)
        return r;
    new.size = from->layer[0].size;
    r = image_file_begin(&f, to, n->replace, err);
    if (!r) {
        r = fill_new(&f, &new, err);
        if (!r)
            r = fill_copy(&f, from, n, p, err);
        if (r < 0)
            image_file_abandon(&f);
        else
            r = image_file_publish(&f, err);
    }
    (void)!disk_chain_close(from);
    return r;
}

/* ---- Resize --------------------------------------------------------------------------------- */

static int resize_raw(const struct disk_chain *c, uint64_t size, bool shrink, struct vz_error *err)
{
    if (c->image[0].is_device)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: a device keeps its size", c->path[0]);
    if (!size || size % 512)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: the size of a disk is a multiple of 512 bytes", c->path[0]);
    if (size < c->layer[0].size && !shrink)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: would lose its end", c->path[0]);
    if (ftruncate(c->image[0].fd, (off_t)size) < 0 || fsync(c->image[0].fd) < 0)
        return failed(c->path[0], -errno, err);
    return 0;
}

int image_resize(const struct disk_chain_options *o, uint64_t size, bool shrink,
                 struct vz_error *err)
{
    struct disk_chain *c;
    int r = disk_chain_open(o, &c, err), closed;

    if (r < 0)
        return r;
    r = c->layer[0].q ? qcow2_resize(c->layer[0].q, size, shrink, err)
                      : resize_raw(c, size, shrink, err);
    closed = disk_chain_close(c);
    return r < 0 || !closed ? r : failed(o->path, closed, err);
}

/* ---- Commit --------------------------------------------------------------------------------- */

/* What the layer has of its own, into the one below. */
static int push_down(struct disk_layer *top, struct disk_layer *below, const struct image_progress *p)
{
    uint8_t *data = malloc(PIECE);
    struct qcow2_run run;
    int r = data ? 0 : -ENOMEM;

    for (uint64_t at = 0; !r && at < top->size; at += run.len) {
        if (!goes_on(p, at, top->size))
            r = -ECANCELED;
        if (!r)
            r = qcow2_map(top->q, at, MIN(PIECE, top->size - at), false, &run);
        if (r < 0)
            break;
        qcow2_done(top->q, &run);
        if (run.kind == QCOW2_NOTHING)
            continue;
        if (run.kind == QCOW2_ZEROES) {
            r = zero_layer(below, at, run.len);
            continue;
        }
        r = layer_read(top, at, run.len, &(struct iovec){data, run.len}, 1);
        if (!r)
            r = write_layer(below, at, data, run.len);
    }
    free(data);
    if (!r)
        r = below->q ? qcow2_flush(below->q) : blk_image_sync(below->image);
    return !r && !goes_on(p, top->size, top->size) ? -ECANCELED : r;
}

/* Where the layer below is, and in which format: the chain is opened once to see that it is allowed. */
static int find_below(const struct disk_chain_options *options, struct disk_chain_options *ret,
                      char **ret_path, struct vz_error *err)
{
    struct disk_chain_options o = *options;
    struct disk_chain *c;
    int r;

    o.read_only = true;
    r = disk_chain_open(&o, &c, err);
    if (r < 0)
        return r;
    if (c->count < 2) {
        r = error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: reads through to no other image", o.path);
    } else {
        *ret_path = strdup(c->path[1]);
        *ret = o;
        ret->path = *ret_path;
        ret->format = c->layer[1].q ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
        ret->read_only = false;
        r = *ret_path ? 0 : failed(o.path, -ENOMEM, err);
    }
    (void)!disk_chain_close(c);
    return r;
}

static int grow_below(struct disk_chain *below, uint64_t size, struct vz_error *err)
{
    struct disk_layer *l = &below->layer[0];
    int r;

    if (size <= l->size)
        return 0;
    r = l->q ? qcow2_resize(l->q, size, false, err) : resize_raw(below, size, false, err);
    if (!r)
        l->size = size;
    return r;
}

int image_commit(const struct disk_chain_options *options, const struct image_progress *p,
                 struct vz_error *err)
{
    struct disk_chain_options o = *options, o_below;
    struct disk_chain *top, *below;
    char *path = NULL;
    int r = find_below(options, &o_below, &path, err), closed;

    if (r < 0)
        goto out;
    o.alone = true;
    r = disk_chain_open(&o, &top, err);
    if (r < 0)
        goto out;
    r = disk_chain_open(&o_below, &below, err);
    if (!r) {
        r = grow_below(below, top->layer[0].size, err);
        if (!r && (r = push_down(&top->layer[0], &below->layer[0], p)) < 0)
            failed(path, r, err);
        closed = disk_chain_close(below);
        if (!r && closed)
            r = failed(path, closed, err);
    }
    (void)!disk_chain_close(top);
out:
    free(path);
    return r;
}

/* ---- Check ---------------------------------------------------------------------------------- */

int image_check(const struct disk_chain_options *options, bool repair, struct qcow2_check *ret,
                struct vz_error *err)
{
    struct disk_chain_options o = *options;
    struct disk_chain *c;
    int r, closed;

    o.alone = true;
    o.mode = QCOW2_INSPECT;
    o.read_only = !repair;
    r = disk_chain_open(&o, &c, err);
    if (r < 0)
        return r;
    if (c->layer[0].q && (r = qcow2_check(c->layer[0].q, repair, ret)) < 0)
        failed(o.path, r, err);
    closed = disk_chain_close(c);
    return r < 0 || !closed ? r : failed(o.path, closed, err);
}
