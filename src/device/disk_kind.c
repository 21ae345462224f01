/* SPDX-License-Identifier: MIT */
/* Disks: an image or block device of the host, an NBD server's, or what seeds cloud-init, behind a virtio block device
 * or an NVMe controller. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "block/blk_disk.h"
#include "block/blk_filters.h"
#include "block/blk_nbd.h"
#include "block/blk_seed.h"
#include "config/objects.h"
#include "device/device_counters.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "nvme/nvme.h"
#include "pci/pci.h"
#include "virtio/virtio.h"
#include "virtio/virtio_blk.h"

static int open_seed(const struct device_slot *s, const struct vz_storage_attachment *a,
                     struct blk **ret, struct vz_error *err)
{
    const struct blk_seed_options o = {.user_data = a->user_data, .meta_data = a->meta_data,
                                       .network_config = a->network_config,
                                       .identifier = s->env->identifier, .label = s->env->label};

    return blk_seed_open(&o, s->env->loop, ret, err);
}

static void on_nbd_news(void *arg, const struct vz_error *err)
{
    const struct device_slot *s = arg;
    struct vz_error text = err ? *err : (struct vz_error){.code = VZ_ERROR_NONE};
    struct device_event e = {.what = err ? DEVICE_DISK_ERROR : DEVICE_DISK_CONNECTED, .err = &text};

    device_slot_prefix(s, &text);
    device_slot_tell(s, &e);
}

static int open_nbd(struct device_slot *s, const struct vz_storage_attachment *a, struct blk **ret,
                    struct vz_error *err)
{
    const struct blk_nbd_options o = {.uri = a->uri, .timeout_ms = a->timeout * 1000,
                                      .read_only = a->read_only, .no_sync = a->sync == VZ_DISK_SYNC_NONE,
                                      .tell = on_nbd_news, .arg = s};

    return blk_nbd_open(&o, s->env->loop, ret, err);
}

static int open_file(const struct device_slot *s, const struct vz_storage_attachment *a,
                     struct blk **ret, struct vz_error *err)
{
    static const enum blk_caching caching[] = {BLK_CACHING_AUTOMATIC, BLK_CACHING_UNCACHED,
                                               BLK_CACHING_CACHED};
    static const enum blk_sync sync[] = {BLK_SYNC_FULL, BLK_SYNC_FULL, BLK_SYNC_FSYNC,
                                         BLK_SYNC_NONE};
    const struct blk_disk_options o = {
        .path = a->path, .fd = a->fd, .format = (enum disk_format)a->format, .backing = a->backing,
        .read_only = a->read_only, .ephemeral = a->ephemeral, .caching = caching[a->caching],
        .sync = sync[a->sync]};

    return blk_disk_open(&o, s->env->loop, ret, err);
}

static int disk_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_storage_device *d = s->config;
    const struct vz_storage_attachment *a = d->attachment;
    struct blk *blk;
    int r = a->kind == STORAGE_SEED  ? open_seed(s, a, &blk, err)
            : a->kind == STORAGE_NBD ? open_nbd(s, a, &blk, err)
                                     : open_file(s, a, &blk, err);

    if (r < 0)
        return r;
    if (d->filter)
        r = blk_filters_stack(d->filter, &blk, err);
    if (r < 0) {
        blk_close(blk);
        return r;
    }
    blk->sum = &s->env->counters->block;
    s->host = blk;
    return 0;
}

static int disk_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_storage_device *d = s->config;
    struct virtio_blk_options o = {.blk = s->host, .read_only = d->attachment->read_only};

    if (d->identifier)
        strncpy(o.identifier, d->identifier, sizeof(o.identifier) - 1);
    /* Linux gives each CPU a queue of its own, and more than there are CPUs are of no use. */
    return virtio_slot_create(s, &virtio_blk_ops, &o,
                              MIN(s->env->cpu_count, VIRTIO_BLK_QUEUES_MAX), err);
}

struct flush {
    struct blk_req req;
    int err;
};

static void flushed(struct blk_req *req, int err)
{
    container_of(req, struct flush, req)->err = err;
}

static int disk_flush(struct device_slot *s, struct vz_error *err)
{
    struct flush f = {.req = {.op = BLK_FLUSH, .done = flushed}};
    struct blk *blk = s->host;

    if (blk->read_only)
        return 0;
    blk_submit(blk, &f.req);
    blk_drain_wait(blk);
    return f.err < 0 ? error_set(err, -f.err, VZ_ERROR_IO, "its data cannot be written: %s",
                                 strerror(-f.err))
                     : 0;
}

static void disk_identify(const struct device_slot *s, struct device_identity *ret)
{
    const struct vz_storage_device *d = s->config;

    *ret = (struct device_identity){.path = d->attachment->path,
                                    .size = ((const struct blk *)s->host)->size};
}

static int disk_grow(struct device_slot *s, uint64_t size, struct vz_error *err)
{
    int r = blk_grow(s->host, size, err);

    if (r < 0)
        device_slot_prefix(s, err);
    return r;
}

static uint64_t disk_size(const struct device_slot *s)
{
    return ((const struct blk *)s->host)->size;
}

static void disk_close(struct device_slot *s)
{
    blk_close(s->host);
}

const struct device_kind disk_kind = {
    .type = &config_virtio_block_type, VIRTIO_SLOT, .model = "virtio/blk",
    .open = disk_open, .create = disk_create, .flush = disk_flush, .identify = disk_identify,
    .grow = disk_grow, .size = disk_size, .close = disk_close};

/* ---- NVMe ----------------------------------------------------------------------------------- */

static int nvme_kind_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_storage_device *d = s->config;
    const struct nvme_namespace_options ns = {
        .blk = s->host, .read_only = d->attachment->read_only, .block_size = d->block_size};
    struct nvme_options o = {.loop = s->env->loop, .mem = s->env->mem,
                             .sum = &s->env->counters->nvme, .namespaces = &ns,
                             .namespace_count = 1};
    struct nvme *n;
    int r;

    if (s->env->identifier)
        memcpy(o.uuid, s->env->identifier, sizeof(o.uuid));
    if (d->identifier)
        strncpy(o.serial, d->identifier, sizeof(o.serial) - 1);
    else
        snprintf(o.serial, sizeof(o.serial), "vz%u", s->index);
    r = nvme_create(s->env->pci, PCI_DEVFN(s->place, 0), &o, &n, err);
    if (!r)
        s->model = n;
    return r;
}

static void nvme_kind_quiesce(struct device_slot *s)
{
    nvme_quiesce(s->model, device_slot_quiet, s);
}

static void nvme_kind_resume(struct device_slot *s)
{
    nvme_resume(s->model);
}

static void nvme_kind_remove(struct device_slot *s)
{
    nvme_destroy(s->model);
    s->model = NULL;
}

const struct device_kind nvme_kind = {
    .type = &config_nvme_type, .bus = DEVICE_ON_PCI, .model = "nvme/nvme", .open = disk_open,
    .create = nvme_kind_create, .quiesce = nvme_kind_quiesce, .resume = nvme_kind_resume,
    .remove = nvme_kind_remove, .flush = disk_flush, .identify = disk_identify, .grow = disk_grow,
    .size = disk_size, .close = disk_close};
