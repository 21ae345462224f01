/* SPDX-License-Identifier: MIT */
/* Shared directories: directories of the host behind a virtio file system. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/objects.h"
#include "config/share_ownership.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "share/share.h"
#include "virtio/virtio_fs.h"

/* A Linux guest has a kilobyte at least for each file that it knows of. */
#define MEMORY_PER_NODE KIB
#define NODES_LEAST     65536u

/* What a share's configuration lists. Returns their number; NULL with err: no memory. */
static struct share_directory *directories(const struct vz_directory_share *share, unsigned *ret_count,
                                           struct vz_error *err)
{
    unsigned count = share->is_multiple ? share->directory_count : 1;
    struct share_directory *d = calloc(count + 1, sizeof(*d));

    if (!d) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    if (!share->is_multiple)
        d[0] = (struct share_directory){.path = share->path, .read_only = share->read_only};
    for (unsigned i = 0; share->is_multiple && i < count; i++)
        d[i] = (struct share_directory){.name = share->directory[i].name, .path = share->directory[i].path,
                                        .read_only = share->directory[i].read_only};
    *ret_count = count;
    return d;
}

static int fs_open(struct device_slot *s, struct vz_error *err)
{
    static const enum share_caching caching[] = {SHARE_CACHE_AUTO, SHARE_CACHE_NEVER, SHARE_CACHE_ALWAYS};
    const struct vz_directory_sharing_device *d = s->config;
    struct share_options o = {.caching = caching[d->caching],
                              .sharers = s->env->share_count,
                              .nodes_max = MAX(s->env->ram_size / MEMORY_PER_NODE, NODES_LEAST)};
    struct share_ownership_words words;
    struct share_directory *list;
    struct share *share;
    int r;

    if (!share_ownership_parse(d->ownership, &words))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.40s' is not mine, same or UID:GID", d->ownership);
    o.ownership = words.same ? SHARE_SAME : words.map ? SHARE_MAP : SHARE_MINE;
    o.uid = words.uid;
    o.gid = words.gid;
    list = directories(d->share, &o.count, err);
    if (!list)
        return -ENOMEM;
    o.directory = list;
    r = share_open(&o, &share, err);
    free(list);
    if (!r)
        s->host = share;
    return r;
}

static int fs_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_directory_sharing_device *d = s->config;
    struct virtio_fs_options o = {.share = s->host};

    memcpy(o.tag, d->tag, MIN(strlen(d->tag), sizeof(o.tag)));
    /* Linux gives each CPU a queue of its own. */
    return virtio_slot_create(s, &virtio_fs_ops, &o,
                              1 + MIN(s->env->cpu_count, VIRTIO_FS_REQUEST_QUEUES_MAX), err);
}

static int fs_change(struct device_slot *s, unsigned part, void *attachment, struct vz_error *err)
{
    static const struct share_directory none[1];
    unsigned count = 0;
    struct share_directory *list = attachment ? directories(attachment, &count, err) : NULL;
    int r;

    if (attachment && !list)
        return -ENOMEM;
    r = share_replace(s->host, list ? list : none, count, err);
    free(list);
    if (r < 0)
        device_slot_prefix(s, err);
    return r;
}

static const struct state_field files_fields[] = {STATE_BLOB(struct share_files, list, SHARE_FILES_MAX), STATE_END};
static const struct state_desc files_desc = {"shared-files", 1, files_fields, NULL};

static void *fs_host_state(const struct device_slot *s, const struct state_desc **ret)
{
    *ret = &files_desc;
    return share_files(s->host);
}

static void fs_close(struct device_slot *s)
{
    share_close(s->host);
}

const struct device_kind fs_kind = {
    .type = &config_virtio_file_system_type, VIRTIO_SLOT, .model = "virtio/virtio_fs",
    .open = fs_open, .create = fs_create, .change = fs_change, .host_state = fs_host_state, .close = fs_close};
