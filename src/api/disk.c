/* SPDX-License-Identifier: MIT */
/* <vz/disk.h>: options checked and handed on to block/image_tool.h. */
#include <vz/disk.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/nbd_uri.h"
#include "block/image_tool.h"
#include "config/object.h"
#include "config/schema_text.h"

static int result(int r)
{
    return r < 0 ? -1 : 0;
}

static int options_of(const char *path, const struct vz_disk_options *given,
                      struct disk_chain_options *ret, struct image_progress *ret_progress,
                      struct vz_error *err)
{
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;

    if (!options_given(path, "path", err))
        return -EINVAL;
    if (options_copy(&o, sizeof(o), given, err) < 0)
        return -EINVAL;
    *ret = (struct disk_chain_options){.path = path, .format = (enum disk_format)o.format,
                                       .backing = o.backing};
    *ret_progress = (struct image_progress){o.progress, o.arg};
    return 0;
}

/* ---- New images ----------------------------------------------------------------------------- */

static enum disk_format format_of_name(const char *path, enum vz_disk_format format)
{
    if (format != VZ_DISK_FORMAT_AUTOMATIC)
        return (enum disk_format)format;
    return !nbd_uri_is(path) && disk_format_is_named_qcow2(path) ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
}

/* For what an image can have done to it, and a disk on an NBD server cannot. */
static int check_is_here(const char *path, struct vz_error *err)
{
    if (!nbd_uri_is(path))
        return 0;
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                     "%s: is on a server: it can be looked at, copied and, as a copy's target, overwritten", path);
}

static bool is_for_qcow2(const struct vz_disk_create_options *o)
{
    return o->backing || o->cluster_size || o->version || o->refcount_bits || o->extended_l2 ||
           o->lazy_refcounts || o->zstd || o->preallocation == VZ_DISK_PREALLOCATION_METADATA;
}

static int new_of(const char *path, const struct vz_disk_create_options *given, struct image_new *ret,
                  struct vz_disk_create_options *ret_options, struct vz_error *err)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;
    uint64_t cluster;

    if (!options_given(path, "path", err) || options_copy(&o, sizeof(o), given, err) < 0)
        return -EINVAL;
    *ret = (struct image_new){.format = format_of_name(path, o.format),
                              .room = (enum image_room)o.preallocation, .replace = o.replace,
                              .unsynced = o.unsynced};
    cluster = o.cluster_size ? o.cluster_size : 65536;
    if (cluster & (cluster - 1))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "clusters have 512 bytes to 2 MiB, a power of two");
    ret->qcow2 = (struct qcow2_create_options){
        .version = o.version, .cluster_bits = (unsigned)__builtin_ctzll(cluster),
        .refcount_bits = o.refcount_bits, .extended_l2 = o.extended_l2, .lazy_refcounts = o.lazy_refcounts,
        .compression = o.zstd ? QCOW2_ZSTD : QCOW2_DEFLATE};
    if (ret->format == DISK_FORMAT_RAW && !nbd_uri_is(path) && disk_format_is_named_qcow2(path))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: a raw image whose name says qcow2 would be refused by machines: give it another name", path);
    if (ret->format == DISK_FORMAT_RAW && is_for_qcow2(&o))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: only a qcow2 image has clusters, tables and a backing image", path);
    if (nbd_uri_is(path) && (ret->format != DISK_FORMAT_RAW || o.preallocation != VZ_DISK_PREALLOCATION_NONE))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: a disk on a server has no format and no room to take", path);
    if (o.preallocation != VZ_DISK_PREALLOCATION_NONE && o.backing)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: what is preallocated would hide its backing image", path);
    *ret_options = o;
    return 0;
}

/* The backing image must be there, and be what it is said to be. */
static int look_at_backing(const char *path, const struct vz_disk_create_options *o,
                           struct image_new *n, struct vz_error *err)
{
    enum disk_format format;
    uint64_t size;
    int r = image_look_at_backing(path, o->backing, (enum disk_format)o->backing_format, &format, &size, err);

    if (r < 0)
        return r;
    n->qcow2.backing = o->backing;
    n->qcow2.backing_format = format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw";
    n->size = n->size ? n->size : size;
    return 0;
}

int vz_disk_create(const char *path, uint64_t bytes, const struct vz_disk_create_options *options,
                   struct vz_error *err)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;
    struct image_new n;
    int r = new_of(path, options, &n, &o, err);

    n.size = bytes;
    if (!r)
        r = check_is_here(path, err);
    if (!r && o.backing)
        r = look_at_backing(path, &o, &n, err);
    return result(r < 0 ? r : image_create(path, &n, &(struct image_progress){o.progress, o.arg}, err));
}

int vz_disk_convert(const char *path, const char *to, const struct vz_disk_options *options,
                    const struct vz_disk_create_options *to_options, struct vz_error *err)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;
    struct disk_chain_options from;
    struct image_progress progress;
    struct image_new n;
    int r = options_of(path, options, &from, &progress, err);

    if (!r)
        r = new_of(to, to_options, &n, &o, err);
    if (!r && o.backing)
        r = error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: a copy has everything itself", to);
    return result(r < 0 ? r : image_convert(&from, to, &n, &progress, err));
}

/* ---- Those that are there ------------------------------------------------------------------- */

static void tell_qcow2(const struct qcow2_info *i, struct vz_disk_info *ret)
{
    ret->version = i->version;
    ret->cluster_size = UINT64_C(1) << i->cluster_bits;
    ret->snapshots = i->snapshots;
    ret->dirty = i->dirty;
    ret->corrupt = i->corrupt;
    ret->extended_l2 = i->extended_l2;
    ret->lazy_refcounts = i->lazy_refcounts;
    ret->zstd = i->compression == QCOW2_ZSTD;
    strcpy(ret->backing, i->backing);
    strcpy(ret->backing_format, i->backing_format);
}

static int look_at_server(const char *uri, const struct image_progress *p, struct vz_disk_info *ret,
                          struct vz_error *err)
{
    struct vz_disk_info info = {.size = sizeof(info), .format = VZ_DISK_FORMAT_RAW};

    if (image_look_at_server(uri, p, &info.bytes, err) < 0)
        return -1;
    return result(options_return(ret, ret->size, &info, sizeof(info), err));
}

int vz_disk_get_info(const char *path, const struct vz_disk_options *options,
                     struct vz_disk_info *ret, struct vz_error *err)
{
    struct vz_disk_info info = {.size = sizeof(info)};
    struct disk_chain_options o;
    struct image_progress progress;
    struct disk_chain *c;
    struct stat st;

    if (options_of(path, options, &o, &progress, err) < 0 || !options_given(ret, "information", err))
        return -1;
    if (nbd_uri_is(path))
        return look_at_server(path, &progress, ret, err);
    o.read_only = o.unlocked = o.alone = true;
    if (disk_chain_open(&o, &c, err) < 0)
        return -1;
    info.format = c->layer[0].q ? VZ_DISK_FORMAT_QCOW2 : VZ_DISK_FORMAT_RAW;
    info.bytes = c->layer[0].size;
    if (!fstat(c->image[0].fd, &st))
        info.allocated = (uint64_t)st.st_blocks * 512;
    if (c->layer[0].q)
        tell_qcow2(qcow2_info(c->layer[0].q), &info);
    (void)!disk_chain_close(c);
    return result(options_return(ret, ret->size, &info, sizeof(info), err));
}

int vz_disk_resize(const char *path, uint64_t bytes, bool shrink,
                   const struct vz_disk_options *options, struct vz_error *err)
{
    struct disk_chain_options o;
    struct image_progress progress;
    int r = options_of(path, options, &o, &progress, err);

    if (!r)
        r = check_is_here(path, err);
    return result(r < 0 ? r : image_resize(&o, bytes, shrink, err));
}

int vz_disk_commit(const char *path, const struct vz_disk_options *options, struct vz_error *err)
{
    struct disk_chain_options o;
    struct image_progress progress;
    int r = options_of(path, options, &o, &progress, err);

    if (!r)
        r = check_is_here(path, err);
    return result(r < 0 ? r : image_commit(&o, &progress, err));
}

int vz_disk_rebase(const char *path, const char *backing, enum vz_disk_format format, bool unsafe,
                   const struct vz_disk_options *options, struct vz_error *err)
{
    const struct image_rebase b = {.backing = backing, .format = (enum disk_format)format, .unsafe = unsafe};
    struct disk_chain_options o;
    struct image_progress progress;
    int r = options_of(path, options, &o, &progress, err);

    if (!r)
        r = check_is_here(path, err);
    return result(r < 0 ? r : image_rebase(&o, &b, &progress, err));
}

int vz_disk_check(const char *path, bool repair, const struct vz_disk_options *options,
                  struct vz_disk_check *ret, struct vz_error *err)
{
    struct vz_disk_check check = {.size = sizeof(check)};
    struct qcow2_check found = {0};
    struct disk_chain_options o;
    struct image_progress progress;

    if (options_of(path, options, &o, &progress, err) < 0 || !options_given(ret, "result", err) ||
        image_check(&o, repair, &progress, &found, err) < 0)
        return -1;
    check.errors = found.errors;
    check.leaks = found.leaks;
    check.repaired = found.repaired;
    return result(options_return(ret, ret->size, &check, sizeof(check), err));
}

int vz_size_parse(const char *text, uint64_t *ret, struct vz_error *err)
{
    if (!options_given(text, "text", err) || !options_given(ret, "result", err))
        return -1;
    if (schema_parse_size(text, ret))
        return 0;
    error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.40s' is no size: expected such as 512M, 1.5G or 1T%s",
              text, schema_parse_number(text, ret) ? "; a unit is missing" : "");
    return -1;
}
