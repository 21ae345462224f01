/* SPDX-License-Identifier: MIT */
/* Shared directories: directories of the host behind a virtio file system. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/foreign_binaries.h"
#include "config/objects.h"
#include "config/share_ownership.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "mem/mem_window.h"
#include "share/share.h"
#include "virtio/virtio_fs.h"

/* A Linux guest has a kilobyte at least for each file that it knows of. */
#define MEMORY_PER_NODE KIB
#define NODES_LEAST     65536u

/* What is served, as long as that takes to open. */
struct served {
    unsigned count;
    struct share_directory *list;
    struct foreign_files files; /* of interpreters */
};

static void served_fini(struct served *s)
{
    free(s->list);
    foreign_files_fini(&s->files);
}

static void list_interpreters(struct served *s)
{
    const struct foreign_files *f = &s->files;

    s->list[0] = (struct share_directory){.name = "version", .text = f->version, .is_file = true};
    s->list[1] = (struct share_directory){.name = "registrations", .text = f->registrations, .is_file = true};
    s->list[2] = (struct share_directory){.name = "register", .text = f->register_script, .is_file = true};
    for (unsigned i = 0; i < f->count; i++)
        s->list[3 + i] = (struct share_directory){.name = f->file[i].name, .path = f->file[i].path, .is_file = true};
}

/* What a share's configuration lists. 0 or -errno with err. */
static int served_init(const struct vz_directory_share *share, struct served *ret, struct vz_error *err)
{
    struct served s = {.count = share->kind == SHARE_OF_SEVERAL ? share->directory_count : 1};

    if (share->kind == SHARE_OF_INTERPRETERS) {
        int r = foreign_files_find(share, &s.files, err);

        if (r < 0)
            return r;
        s.count = 3 + s.files.count;
    }
    s.list = calloc(s.count + 1, sizeof(*s.list));
    if (!s.list) {
        served_fini(&s);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    if (share->kind == SHARE_OF_INTERPRETERS)
        list_interpreters(&s);
    else if (share->kind == SHARE_OF_ONE)
        s.list[0] = (struct share_directory){.path = share->path, .read_only = share->read_only};
    for (unsigned i = 0; share->kind == SHARE_OF_SEVERAL && i < s.count; i++)
        s.list[i] = (struct share_directory){.name = share->directory[i].name, .path = share->directory[i].path,
                                             .read_only = share->directory[i].read_only};
    *ret = s;
    return 0;
}

/* Interpreters are the guest's root's, whoever has them on the host. */
static int set_owner(const struct vz_directory_sharing_device *d, struct share_options *o, struct vz_error *err)
{
    struct share_ownership_words words;

    if (!share_ownership_parse(d->ownership, &words))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.40s' is not mine, root, same or UID:GID", d->ownership);
    if (d->share->kind == SHARE_OF_INTERPRETERS)
        words = (struct share_ownership_words){.map = true};
    o->ownership = words.same ? SHARE_SAME : words.map ? SHARE_MAP : SHARE_MINE;
    o->mine_is_root = words.root;
    o->uid = words.uid;
    o->gid = words.gid;
    return 0;
}

static int fs_open(struct device_slot *s, struct vz_error *err)
{
    static const enum share_caching caching[] = {SHARE_CACHE_AUTO, SHARE_CACHE_NEVER, SHARE_CACHE_ALWAYS};
    const struct vz_directory_sharing_device *d = s->config;
    struct share_options o = {.caching = caching[d->caching],
                              .sharers = s->env->share_count,
                              .nodes_max = MAX(s->env->ram_size / MEMORY_PER_NODE, NODES_LEAST)};
    struct served served;
    struct share *share;
    int r = set_owner(d, &o, err);

    if (!r)
        r = served_init(d->share, &served, err);
    if (r < 0)
        return r;
    o.directory = served.list;
    o.count = served.count;
    r = share_open(&o, &share, err);
    served_fini(&served);
    if (!r)
        s->host = share;
    return r;
}

/* Give the share the window that is configured, if one is. */
static int make_window(struct device_slot *s, struct virtio_shared_memory *ret, struct vz_error *err)
{
    const struct vz_directory_sharing_device *d = s->config;
    struct mem_window *w = NULL;
    int r = d->dax_size ? mem_window_create(s->env->mem, d->dax_size, &w) : 0;

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "no room for the window of a shared directory");
    if (!w)
        return 0;
    *ret = (struct virtio_shared_memory){w->gpa, w->len};
    r = share_set_window(s->host, w);
    if (r < 0)
        mem_window_destroy(w);
    return r < 0 ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "out of memory") : 0;
}

static int fs_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_directory_sharing_device *d = s->config;
    struct virtio_fs_options o = {.share = s->host};
    struct virtio_shared_memory shared = {0, 0};
    int r = make_window(s, &shared, err);

    if (r < 0)
        return r;
    memcpy(o.tag, d->tag, MIN(strlen(d->tag), sizeof(o.tag)));
    /* Linux gives each CPU a queue of its own. */
    r = virtio_slot_create_shared(s, &virtio_fs_ops, &o, 1 + MIN(s->env->cpu_count, VIRTIO_FS_REQUEST_QUEUES_MAX),
                                  &shared, err);
    if (r < 0)
        share_drop_window(s->host);
    return r;
}

static void fs_all_loaded(struct device_slot *s)
{
    virtio_fs_all_loaded(s->model);
}

static int fs_change(struct device_slot *s, unsigned part, void *attachment, struct vz_error *err)
{
    static const struct share_directory none[1];
    const struct vz_directory_sharing_device *d = s->config;
    const struct vz_directory_share *share = attachment;
    struct served served = {.count = 0};
    int r = 0;

    if (d->share->kind == SHARE_OF_INTERPRETERS || (share && share->kind == SHARE_OF_INTERPRETERS))
        r = error_set(err, EBUSY, VZ_ERROR_UNSUPPORTED, "interpreters of foreign programs stay what they are while "
                                                        "the machine runs");
    else if (share)
        r = served_init(share, &served, err);
    if (!r)
        r = share_replace(s->host, served.list ? served.list : none, served.count, err);
    served_fini(&served);
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
    .open = fs_open, .create = fs_create, .change = fs_change, .host_state = fs_host_state, .loaded = fs_all_loaded,
    .close = fs_close};
