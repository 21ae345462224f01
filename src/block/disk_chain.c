/* SPDX-License-Identifier: MIT */
/* Opening chains of images: see disk_chain.h. The names in them were written by whoever made them, so
 * they open nothing but what the caller allowed, in the format that is said. */
#include "block/disk_chain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "block/disk_scratch.h"

struct opening {
    const struct disk_chain_options *o;
    struct disk_chain *c;
    char *folder; /* of the topmost layer, resolved; NULL: none */
    char *backing; /* o->backing, resolved; NULL */
};

/* ---- Names ---------------------------------------------------------------------------------- */

static bool is_inside(const char *path, const char *folder)
{
    size_t len = folder ? strlen(folder) : 0;

    if (!folder || strncmp(path, folder, len))
        return false;
    return !path[len] || path[len] == '/' || (len && folder[len - 1] == '/');
}

/* The folder that path is in, as text: "." where there is no slash. */
static int folder_of(const char *path, char ret[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret, path, len);
    strcpy(ret + len, slash && len ? "" : slash ? "/" : ".");
    return 0;
}

/* "nbd://...", "json:{...}": other programs' ways of naming what is not a file. */
static bool is_protocol(const char *name)
{
    const char *colon = strchr(name, ':'), *slash = strchr(name, '/');

    return colon && (!slash || colon < slash);
}

int disk_chain_join(const char *above, const char *name, char ret[PATH_MAX])
{
    char folder[PATH_MAX];
    int r = 0;

    if (name[0] != '/' && !above)
        return -ENOENT;
    if (name[0] != '/')
        r = folder_of(above, folder);
    if (r < 0)
        return r;
    r = name[0] == '/' ? snprintf(ret, PATH_MAX, "%s", name)
                       : snprintf(ret, PATH_MAX, "%s/%s", folder, name);
    return r < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Where a layer's backing file is. */
static int resolve(const struct opening *op, const char *above, const char *name, char **ret,
                   struct vz_error *err)
{
    const char *who = above ? above : "the disk";
    char path[PATH_MAX];
    int r;

    if (is_protocol(name))
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "%s: its backing file '%s' is not named by a path", who, name);
    r = disk_chain_join(above, name, path);
    *ret = r < 0 ? NULL : realpath(path, NULL);
    if (!*ret)
        return error_set(err, r < 0 ? -r : errno, VZ_ERROR_IO, "%s: its backing file '%s': %s", who,
                         name, strerror(r < 0 ? -r : errno));
    if (is_inside(*ret, op->folder) || is_inside(*ret, op->backing))
        return 0;
    error_set(err, EACCES, VZ_ERROR_INVALID,
              "%s: its backing file %s is in another folder: backing=%s allows that", who, *ret, *ret);
    free(*ret);
    *ret = NULL;
    return -EACCES;
}

static int format_of_backing(const struct qcow2_info *info, const char *above, const char *path,
                             enum disk_format *ret, struct vz_error *err)
{
    if (!strcmp(info->backing_format, "raw"))
        *ret = DISK_FORMAT_RAW;
    else if (!strcmp(info->backing_format, "qcow2"))
        *ret = DISK_FORMAT_QCOW2;
    else if (info->backing_format[0])
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "%s: its backing file has the format '%s'; raw and qcow2 are supported",
                         above ? above : "the disk", info->backing_format);
    else
        *ret = DISK_FORMAT_AUTOMATIC;
    return 0;
}

/* ---- Layers --------------------------------------------------------------------------------- */

bool disk_chain_has_file(const struct disk_chain *c, const char *path)
{
    struct stat st, other;

    if (stat(path, &st) < 0)
        return false;
    for (unsigned i = 0; i < c->count; i++) {
        if (!fstat(c->image[i].fd, &other) && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino)
            return true;
    }
    return false;
}

static int choose_format(const struct disk_chain_options *o, const char *path, int fd,
                         bool read_only, enum disk_format *format, struct vz_error *err)
{
    char text[DISK_FORMAT_TEXT_MAX];

    if (!disk_format_choose(fd, path, read_only, format, text))
        return 0;
    return error_set(err, EINVAL, VZ_ERROR_INVALID_DISK_IMAGE, "%s: %s",
                     path ? path : "disk descriptor", text);
}

/* What is in a layer's file. */
static int read_layer(struct disk_chain *c, unsigned i, enum disk_format format,
                      enum qcow2_open_mode mode, struct vz_error *err)
{
    const char *path = c->path[i];
    struct blk_image *im = &c->image[i];
    struct disk_layer *l = &c->layer[i];
    int r;

    if (format != DISK_FORMAT_QCOW2) {
        im->growing = false;
        return blk_image_check_size(im, path, &l->size, err);
    }
    r = qcow2_open(im, path ? path : "the disk", mode, &l->q, err);
    if (r < 0)
        return r;
    if (qcow2_info(l->q)->cluster_bits < 12)
        blk_image_use_cache(im); /* tables and data share pages of the cache */
    qcow2_set_layer(l->q, l);
    l->size = qcow2_info(l->q)->size;
    return 0;
}

int disk_chain_reload(struct disk_chain *c, struct vz_error *err)
{
    int r = 0;

    for (unsigned i = 0; !r && i < c->count; i++) {
        bool is_qcow2 = c->layer[i].q;

        (void)!qcow2_close(c->layer[i].q);
        c->layer[i].q = NULL;
        r = read_layer(c, i, is_qcow2 ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW, QCOW2_USE, err);
    }
    return r;
}

static struct disk_layer *next_layer(struct disk_chain *c)
{
    struct disk_layer *l = &c->layer[c->count];

    l->image = &c->image[c->count++];
    if (c->count > 1)
        l[-1].below = l;
    return l;
}

/* A layer that takes what is written, in a file that nothing names. */
static int fill_ephemeral(struct disk_chain *c, struct vz_error *err)
{
    const struct qcow2_create_options o = {.size = c->layer[1].size};
    const struct blk_raw_options raw = {.any_content = true, .growing = true,
                                        .caching = BLK_CACHING_CACHED, .sync = BLK_SYNC_NONE};
    struct blk_raw_options with_fd = raw;
    uint64_t file_size;
    int r;

    with_fd.fd = disk_scratch_file(err);
    if (with_fd.fd < 0)
        return with_fd.fd;
    r = qcow2_create(with_fd.fd, &o, err);
    if (r < 0)
        error_prefix(err, "the layer that takes what is written, in $TMPDIR or /var/tmp");
    if (!r)
        r = blk_image_open(&with_fd, &c->image[0], &file_size, err);
    close(with_fd.fd);
    return r < 0 ? r : read_layer(c, 0, DISK_FORMAT_QCOW2, QCOW2_USE, err);
}

/* The next layer, path or the caller's descriptor. */
static int add_layer(struct opening *op, const char *path, enum disk_format format, bool read_only,
                     struct vz_error *err)
{
    const struct disk_chain_options *o = op->o;
    const struct blk_raw_options raw = {.path = path, .fd = o->fd, .read_only = read_only,
                                        .any_content = true, .growing = true,
                                        .unlocked = o->unlocked,
                                        .caching = o->caching, .sync = o->sync};
    struct disk_chain *c = op->c;
    uint64_t file_size;
    int r;

    if (path && !(c->path[c->count] = strdup(path)))
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    r = blk_image_open(&raw, &c->image[c->count], &file_size, err);
    if (r < 0)
        return r;
    next_layer(c);
    r = choose_format(o, path, c->image[c->count - 1].fd, read_only, &format, err);
    return r < 0 ? r : read_layer(c, c->count - 1, format, o->mode, err);
}

static int add_backing(struct opening *op, const struct disk_layer *above_layer, struct vz_error *err)
{
    const struct qcow2_info *info = qcow2_info(above_layer->q);
    const char *above = op->c->path[op->c->count - 1];
    enum disk_format format = DISK_FORMAT_AUTOMATIC;
    char *path;
    int r = 0;

    if (op->c->count == DISK_LAYERS_MAX)
        return error_set(err, ELOOP, VZ_ERROR_INVALID_DISK_IMAGE, "%s: more than %u layers",
                         op->o->path ? op->o->path : "the disk", DISK_LAYERS_MAX);
    r = resolve(op, above, info->backing, &path, err);
    if (r < 0)
        return r;
    r = format_of_backing(info, above, path, &format, err);
    if (!r && disk_chain_has_file(op->c, path))
        r = error_set(err, ELOOP, VZ_ERROR_INVALID_DISK_IMAGE, "%s: is its own backing file", path);
    if (!r)
        r = add_layer(op, path, format, true, err);
    free(path);
    return r;
}

static int resolve_allowed(struct opening *op, struct vz_error *err)
{
    const struct disk_chain_options *o = op->o;
    char folder[PATH_MAX];

    if (o->path && !folder_of(o->path, folder))
        op->folder = realpath(folder, NULL);
    if (!o->backing)
        return 0;
    op->backing = realpath(o->backing, NULL);
    return op->backing ? 0 : error_set(err, errno, VZ_ERROR_IO, "%s: %s", o->backing,
                                       strerror(errno));
}

static int open_layers(struct opening *op, struct vz_error *err)
{
    struct disk_chain *c = op->c;
    int r = resolve_allowed(op, err);

    if (op->o->ephemeral)
        next_layer(c); /* made when its size is known */
    if (!r)
        r = add_layer(op, op->o->path, op->o->format, op->o->read_only || op->o->ephemeral, err);
    while (!r && !op->o->alone) {
        const struct disk_layer *last = &c->layer[c->count - 1];

        if (!last->q || !qcow2_info(last->q)->backing[0])
            break;
        r = add_backing(op, last, err);
    }
    return !r && op->o->ephemeral ? fill_ephemeral(c, err) : r;
}

int disk_chain_open(const struct disk_chain_options *o, struct disk_chain **ret,
                    struct vz_error *err)
{
    struct opening op = {.o = o, .c = calloc(1, sizeof(*op.c))};
    int r;

    if (!op.c)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    for (unsigned i = 0; i < DISK_LAYERS_MAX; i++)
        op.c->image[i].fd = op.c->image[i].direct_fd = -1;
    r = open_layers(&op, err);
    free(op.folder);
    free(op.backing);
    if (r < 0) {
        (void)!disk_chain_close(op.c);
        return r;
    }
    *ret = op.c;
    return 0;
}

int disk_chain_close(struct disk_chain *c)
{
    int r = 0;

    for (unsigned i = 0; c && i < c->count; i++) {
        int e = qcow2_close(c->layer[i].q);

        r = i ? r : e;
        blk_image_close(&c->image[i]);
    }
    for (unsigned i = 0; c && i < DISK_LAYERS_MAX; i++)
        free(c->path[i]);
    free(c);
    return r;
}
