/* SPDX-License-Identifier: MIT */
/* Making and changing disk images: see image_tool.h. */
#include "block/image_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/nbd_uri.h"
#include "block/image_copy.h"
#include "block/image_file.h"
#include "block/image_remote.h"

#define RESERVED (256 * MIB) /* taken at a time */

/* ---- Create --------------------------------------------------------------------------------- */

/* Have the file system give the room of a file now. */
static int reserve(int fd, uint64_t size, const struct image_progress *p)
{
    int r = 0;

    for (uint64_t at = 0, len; !r && at < size; at += len) {
        len = MIN(RESERVED, size - at);
        if (!image_goes_on(p, at, size))
            r = -ECANCELED;
        else
            r = -posix_fallocate(fd, (off_t)at, (off_t)len);
    }
    return r;
}

static int fill_raw(const struct image_file *f, const struct image_new *n, const struct image_progress *p)
{
    if (ftruncate(f->fd, (off_t)n->size) < 0)
        return -errno;
    return n->room == IMAGE_ROOM_NONE ? 0 : reserve(f->fd, n->size, p);
}

/* Give every cluster of a new image its place. */
static int place(struct qcow2 *q, uint64_t size, const struct image_progress *p)
{
    int r = 0;

    for (uint64_t at = 0, len; !r && at < size; at += len) {
        len = MIN(RESERVED, size - at);
        r = image_goes_on(p, at, size) ? qcow2_preallocate(q, at, len) : -ECANCELED;
    }
    return r ? r : qcow2_flush(q);
}

static int give_room(const struct image_file *f, const struct image_new *n, const struct image_progress *p,
                     struct vz_error *err)
{
    const struct disk_chain_options o = {.fd = f->fd, .format = DISK_FORMAT_QCOW2, .sync = BLK_SYNC_NONE,
                                         .alone = true};
    struct disk_chain *c;
    uint64_t end = 0;
    int r = disk_chain_open(&o, &c, err), closed;

    if (r < 0)
        return r;
    r = place(c->layer[0].q, n->size, p);
    if (!r)
        end = qcow2_file_end(c->layer[0].q);
    closed = disk_chain_close(c);
    r = r ? r : closed;
    if (!r && ftruncate(f->fd, (off_t)end) < 0) /* the last clusters may be holes behind its end so far */
        r = -errno;
    if (!r && n->room == IMAGE_ROOM_FULL)
        r = reserve(f->fd, end, p);
    return r < 0 ? image_failed(f->path, r, err) : 0;
}

static int fill_new(const struct image_file *f, const struct image_new *n, const struct image_progress *p,
                    struct vz_error *err)
{
    struct qcow2_create_options o = n->qcow2;
    int r;

    o.size = n->size;
    if (n->format == DISK_FORMAT_QCOW2) {
        r = qcow2_create(f->fd, &o, err);
        if (r < 0)
            error_prefix(err, "%s", f->path);
        return r < 0 || n->room == IMAGE_ROOM_NONE ? r : give_room(f, n, p, err);
    }
    if (!n->size || n->size % 512)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "the size of a disk is a multiple of 512 bytes");
    r = fill_raw(f, n, p);
    return r < 0 ? image_failed(f->path, r, err) : 0;
}

int image_create(const char *path, const struct image_new *n, const struct image_progress *p,
                 struct vz_error *err)
{
    struct image_file f;
    int r = image_file_begin(&f, path, n->replace, err);

    if (r < 0)
        return r;
    f.unsynced = n->unsynced;
    r = fill_new(&f, n, p, err);
    if (r < 0) {
        image_file_abandon(&f);
        return r;
    }
    return image_file_publish(&f, err);
}

/* ---- Convert -------------------------------------------------------------------------------- */

/* Names the end that failed. */
struct copying {
    struct image_end from;
    const char *path, *to;
};

static int copy(const struct copying *c, const struct image_end *to, bool blank, const struct image_progress *p,
                struct vz_error *err)
{
    bool reading;
    int r = image_copy(&c->from, to, blank, p, &reading);

    return r < 0 ? image_failed(reading ? c->path : c->to, r, err) : 0;
}

static int fill_copy(const struct image_file *f, const struct copying *c, const struct image_new *n,
                     const struct image_progress *p, struct vz_error *err)
{
    const struct disk_chain_options o = {.fd = f->fd, .format = n->format, .sync = BLK_SYNC_NONE};
    struct disk_chain *to;
    int r = disk_chain_open(&o, &to, err), closed;

    if (r < 0)
        return r;
    r = copy(c, &(struct image_end){.layer = &to->layer[0]}, true, p, err);
    closed = disk_chain_close(to);
    return r < 0 || !closed ? r : image_failed(f->path, closed, err);
}

/* The same bytes in the same file system: it may let both files share them. */
static bool clone_file(const struct image_file *f, const struct image_end *from, const struct image_new *n)
{
    return from->layer && !from->layer->q && !from->layer->image->is_device && n->format == DISK_FORMAT_RAW &&
           n->room == IMAGE_ROOM_NONE && ioctl(f->fd, FICLONE, from->layer->image->fd) == 0;
}

static int copy_to_file(const struct copying *c, const struct image_new *n, const struct image_progress *p,
                        struct vz_error *err)
{
    struct image_new new = *n;
    struct image_file f;
    int r = image_file_begin(&f, c->to, n->replace, err);

    if (r < 0)
        return r;
    f.unsynced = n->unsynced;
    new.size = image_end_size(&c->from);
    if (!clone_file(&f, &c->from, n)) {
        r = fill_new(&f, &new, p, err);
        if (!r)
            r = fill_copy(&f, c, n, p, err);
    }
    if (r < 0) {
        image_file_abandon(&f);
        return r;
    }
    return image_file_publish(&f, err);
}

static int copy_to_server(const struct copying *c, const struct image_new *n, const struct image_progress *p,
                          struct vz_error *err)
{
    struct image_end end = {.layer = NULL};
    int r;

    if (!n->replace)
        return error_set(err, EEXIST, VZ_ERROR_INVALID,
                         "%s: is there already, and would be overwritten", c->to);
    r = image_remote_open(c->to, false, p, &end.remote, err);
    if (r < 0)
        return r;
    if (image_remote_is_read_only(end.remote))
        r = error_set(err, EROFS, VZ_ERROR_INVALID, "%s: can only be read", c->to);
    else if (image_end_size(&end) < image_end_size(&c->from))
        r = error_set(err, ENOSPC, VZ_ERROR_INVALID, "%s: has %llu bytes, the disk %llu", c->to,
                      (unsigned long long)image_end_size(&end), (unsigned long long)image_end_size(&c->from));
    if (!r)
        r = copy(c, &end, false, p, err);
    if (!r && (r = image_end_flush(&end)) < 0)
        image_failed(c->to, r, err);
    image_remote_close(end.remote);
    return r;
}

/* No copy replaces what it is made of. */
static int check_apart(const struct disk_chain *chain, const char *to, struct vz_error *err)
{
    return chain && disk_chain_has_file(chain, to)
               ? error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: is what is to be copied, or a part of it", to) : 0;
}

int image_convert(const struct disk_chain_options *options, const char *to, const struct image_new *n,
                  const struct image_progress *p, struct vz_error *err)
{
    struct disk_chain_options o = *options;
    struct copying c = {.from = {.layer = NULL}, .path = o.path, .to = to};
    struct disk_chain *chain = NULL;
    int r;

    o.read_only = true;
    if (nbd_uri_is(o.path)) {
        r = image_remote_open(o.path, true, p, &c.from.remote, err);
    } else {
        r = disk_chain_open(&o, &chain, err);
        c.from.layer = r < 0 ? NULL : &chain->layer[0];
    }
    if (!r && n->replace)
        r = check_apart(chain, to, err);
    if (!r)
        r = (nbd_uri_is(to) ? copy_to_server : copy_to_file)(&c, n, p, err);
    image_remote_close(c.from.remote);
    (void)!disk_chain_close(chain);
    return r;
}

/* ---- Resize --------------------------------------------------------------------------------- */

int image_resize_raw(const struct disk_chain *c, uint64_t size, bool shrink, struct vz_error *err)
{
    if (c->image[0].is_device)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: a device keeps its size", c->path[0]);
    if (!size || size % 512)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: the size of a disk is a multiple of 512 bytes", c->path[0]);
    if (size < c->layer[0].size && !shrink)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: would lose its end", c->path[0]);
    if (ftruncate(c->image[0].fd, (off_t)size) < 0 || fsync(c->image[0].fd) < 0)
        return image_failed(c->path[0], -errno, err);
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
                      : image_resize_raw(c, size, shrink, err);
    closed = disk_chain_close(c);
    return r < 0 || !closed ? r : image_failed(o->path, closed, err);
}

/* ---- Check ---------------------------------------------------------------------------------- */

int image_look_at_server(const char *uri, const struct image_progress *p, uint64_t *ret_size,
                         struct vz_error *err)
{
    struct image_remote *m;
    int r = image_remote_open(uri, true, p, &m, err);

    if (r < 0)
        return r;
    *ret_size = image_remote_size(m);
    image_remote_close(m);
    return 0;
}

int image_check(const struct disk_chain_options *options, bool repair, const struct image_progress *p,
                struct qcow2_check *ret, struct vz_error *err)
{
    struct disk_chain_options o = *options;
    struct disk_chain *c;
    uint64_t size;
    int r, closed;

    if (nbd_uri_is(o.path))
        return image_look_at_server(o.path, p, &size, err); /* that it is there is all there is to find out */
    o.alone = true;
    o.mode = QCOW2_INSPECT;
    o.read_only = !repair;
    r = disk_chain_open(&o, &c, err);
    if (r < 0)
        return r;
    ret->goes_on = p->fn;
    ret->arg = p->arg;
    if (c->layer[0].q && (r = qcow2_check(c->layer[0].q, repair, ret)) < 0)
        image_failed(o.path, r, err);
    closed = disk_chain_close(c);
    return r < 0 || !closed ? r : image_failed(o.path, closed, err);
}
