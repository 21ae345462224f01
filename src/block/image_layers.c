/* SPDX-License-Identifier: MIT */
/* What changes how images read through to others: see image_tool.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/image_copy.h"

/* ---- Commit --------------------------------------------------------------------------------- */

/* What the layer has of its own, into the one below. */
static int push_down(struct disk_layer *top, struct disk_layer *below, const struct image_progress *p)
{
    const struct image_end to = {.layer = below};
    uint8_t *data = malloc(IMAGE_PIECE);
    struct qcow2_run run;
    int r = data ? 0 : -ENOMEM;

    for (uint64_t at = 0; !r && at < top->size; at += run.len) {
        if (!image_goes_on(p, at, top->size))
            r = -ECANCELED;
        if (!r)
            r = qcow2_map(top->q, at, MIN(IMAGE_PIECE, top->size - at), false, &run);
        if (r < 0)
            break;
        qcow2_done(top->q, &run);
        if (run.kind == QCOW2_NOTHING)
            continue;
        if (run.kind == QCOW2_ZEROES) {
            r = image_end_zero(&to, at, run.len);
            continue;
        }
        r = image_layer_read(top, at, data, run.len);
        if (!r)
            r = image_end_write(&to, at, data, run.len);
    }
    free(data);
    if (!r)
        r = image_end_flush(&to);
    return !r && !image_goes_on(p, top->size, top->size) ? -ECANCELED : r;
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
        r = *ret_path ? 0 : image_failed(o.path, -ENOMEM, err);
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
    r = l->q ? qcow2_resize(l->q, size, false, err) : image_resize_raw(below, size, false, err);
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
            image_failed(path, r, err);
        closed = disk_chain_close(below);
        if (!r && closed)
            r = image_failed(path, closed, err);
    }
    (void)!disk_chain_close(top);
out:
    free(path);
    return r;
}

/* ---- Rebase --------------------------------------------------------------------------------- */

int image_look_at_backing(const char *path, const char *name, enum disk_format format,
                          enum disk_format *ret_format, uint64_t *ret_size, struct vz_error *err)
{
    struct disk_chain_options o = {.format = format, .read_only = true, .alone = true,
                                   .unlocked = true}; /* a machine may have it that gets a layer on it */
    struct disk_chain *c;
    char where[PATH_MAX];
    int r;

    if (disk_chain_join(path, name, where) < 0)
        return error_set(err, ENAMETOOLONG, VZ_ERROR_INVALID, "%s: too long a name", name);
    o.path = where;
    r = disk_chain_open(&o, &c, err);
    if (r < 0)
        return r;
    *ret_format = c->layer[0].q ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
    *ret_size = c->layer[0].size;
    (void)!disk_chain_close(c);
    return 0;
}

/* What a layer, or nothing, has there; zeroes behind its end. */
static int read_below(struct disk_layer *l, uint64_t offset, uint8_t *data, uint64_t len)
{
    uint64_t inside = l && offset < l->size ? MIN(len, l->size - offset) : 0;

    memset(data + inside, 0, len - inside);
    return inside ? image_layer_read(l, offset, data, inside) : 0;
}

/* How far from offset on both have zeroes; 0: maybe not. */
static int both_zero(struct disk_layer *a, struct disk_layer *b, uint64_t offset, uint64_t len, uint64_t *ret)
{
    struct disk_layer *both[] = {a, b};

    for (unsigned i = 0; i < 2; i++) {
        uint64_t part = len;
        bool zeroes = true;
        int r = 0;

        if (both[i] && offset < both[i]->size)
            r = image_end_look(&(struct image_end){.layer = both[i]}, offset, MIN(len, both[i]->size - offset),
                               &zeroes, &part);
        if (r < 0)
            return r;
        len = zeroes ? MIN(len, part) : 0;
        if (!len)
            break;
    }
    *ret = len;
    return 0;
}

/* [offset, offset + len), which the image has not itself, reads the same through the new layers as through the
 * old ones. Returns how much of it was done in *ret. */
static int pull_up_some(struct disk_layer *top, struct disk_layer *new_below, uint64_t offset, uint64_t len,
                        uint8_t *data[2], uint64_t *ret)
{
    int r = both_zero(top->below, new_below, offset, len, ret);

    if (r < 0 || *ret)
        return r;
    *ret = len = MIN(len, IMAGE_PIECE);
    r = read_below(top->below, offset, data[0], len);
    if (!r)
        r = read_below(new_below, offset, data[1], len);
    if (r < 0 || !memcmp(data[0], data[1], len))
        return r;
    return image_end_write(&(struct image_end){.layer = top}, offset, data[0], len);
}

static int pull_up(struct disk_layer *top, struct disk_layer *new_below, const struct image_progress *p)
{
    uint8_t *data[2] = {malloc(IMAGE_PIECE), malloc(IMAGE_PIECE)};
    int r = data[0] && data[1] ? 0 : -ENOMEM;

    for (uint64_t at = 0, len; !r && at < top->size; at += len) {
        struct qcow2_run run;

        r = image_goes_on(p, at, top->size) ? qcow2_map(top->q, at, top->size - at, false, &run) : -ECANCELED;
        if (r < 0)
            break;
        qcow2_done(top->q, &run);
        len = run.len;
        if (run.kind == QCOW2_NOTHING)
            r = pull_up_some(top, new_below, at, run.len, data, &len);
    }
    free(data[0]);
    free(data[1]);
    return r ? r : qcow2_flush(top->q);
}

/* Open what the image is to read through to. Who names it allows it. */
static int open_below(const struct disk_chain_options *options, const struct image_rebase *b, bool unlocked,
                      struct disk_chain **ret, struct vz_error *err)
{
    struct disk_chain_options o = {.format = b->format, .read_only = true, .unlocked = unlocked,
                                   .backing = options->backing};
    char where[PATH_MAX];

    if (disk_chain_join(options->path, b->backing, where) < 0)
        return error_set(err, ENAMETOOLONG, VZ_ERROR_INVALID, "%s: too long a name", b->backing);
    o.path = where;
    return disk_chain_open(&o, ret, err);
}

/* An image that reads through to itself can be opened no more. Looked at before the image is locked, by which it would
 * seem to be in use. Just its name may be changed to one that is not there (yet). */
static int refuse_cycle(const struct disk_chain_options *o, const struct image_rebase *b, struct vz_error *err)
{
    struct disk_chain *below;
    int r = b->backing ? open_below(o, b, true, &below, err) : 0;

    if (!b->backing || r < 0)
        return r == -ELOOP ? r : 0; /* what else is wrong is told when it is opened to be read */
    if (disk_chain_has_file(below, o->path))
        r = error_set(err, ELOOP, VZ_ERROR_INVALID, "%s: would read through to itself", o->path);
    (void)!disk_chain_close(below);
    return r;
}

/* The image's own content becomes such that it reads the same above b as before. */
static int keep_content(const struct disk_chain_options *o, const struct image_rebase *b, struct disk_chain *top,
                        enum disk_format *ret_format, const struct image_progress *p, struct vz_error *err)
{
    struct disk_chain *below = NULL;
    int r = b->backing ? open_below(o, b, false, &below, err) : 0;

    if (r < 0)
        return r;
    r = pull_up(&top->layer[0], below ? &below->layer[0] : NULL, p);
    if (r < 0)
        image_failed(o->path, r, err);
    if (below)
        *ret_format = below->layer[0].q ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
    (void)!disk_chain_close(below);
    return r;
}

static enum disk_format guess_format(const struct disk_chain_options *o, const struct image_rebase *b)
{
    enum disk_format format = b->format;
    uint64_t size;

    if (format != DISK_FORMAT_AUTOMATIC || !b->backing ||
        !image_look_at_backing(o->path, b->backing, format, &format, &size, NULL))
        return format;
    return disk_format_is_named_qcow2(b->backing) ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
}

static int rename_below(struct disk_chain *top, const struct image_rebase *b, enum disk_format format,
                        struct vz_error *err)
{
    int r = qcow2_set_backing(top->layer[0].q, b->backing,
                              b->backing ? format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw" : NULL);

    if (r == -ENOSPC)
        return error_set(err, ENOSPC, VZ_ERROR_INVALID, "%s: that name has no room in its header", top->path[0]);
    return r < 0 ? image_failed(top->path[0], r, err) : 0;
}

int image_rebase(const struct disk_chain_options *options, const struct image_rebase *b,
                 const struct image_progress *p, struct vz_error *err)
{
    struct disk_chain_options o = *options;
    enum disk_format format = b->unsafe ? guess_format(&o, b) : b->format;
    struct disk_chain *top;
    int r = refuse_cycle(&o, b, err), closed;

    if (r < 0)
        return r;
    o.alone = b->unsafe;
    r = disk_chain_open(&o, &top, err);
    if (r < 0)
        return r;
    if (!top->layer[0].q)
        r = error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: only a qcow2 image has a backing image", o.path);
    else if (!b->unsafe)
        r = keep_content(&o, b, top, &format, p, err);
    if (!r)
        r = rename_below(top, b, format, err);
    closed = disk_chain_close(top);
    return r < 0 || !closed ? r : image_failed(o.path, closed, err);
}
