/* SPDX-License-Identifier: MIT */
/* Disks: an image or block device of the host, an NBD server's, or what seeds cloud-init, behind a virtio block device
 * or an NVMe controller. */
#include "device/disk_kind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/runtime.h>

#include "base/error.h"
#include "block/blk_disk.h"
#include "block/blk_filters.h"
#include "block/blk_nbd.h"
#include "block/blk_seed.h"
#include "config/objects.h"
#include "device/device_counters.h"
#include "device/device_kinds.h"
#include "device/device_slots.h"
#include "device/usb_kind.h"
#include "device/virtio_slot.h"
#include "nvme/nvme.h"
#include "pci/pci.h"
#include "usb/usb_disk.h"
#include "virtio/virtio.h"
#include "virtio/virtio_blk.h"

#define END_MS 1000u /* how long servers are waited for when the machine ends */

_Static_assert(NVME_SERIAL_MAX == VZ_BLOCK_IDENTIFIER_MAX && SCSI_SERIAL_MAX == VZ_BLOCK_IDENTIFIER_MAX,
               "an identifier is a serial number");

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
    const struct blk_nbd_options o = {.uri = a->uri, .by = s->env->nbd, .timeout_ms = a->timeout * 1000,
                                      .read_only = a->read_only, .no_sync = a->sync == VZ_DISK_SYNC_NONE,
                                      .tell = on_nbd_news, .arg = s, .dial = s->dial, .goes_on = s->env->goes_on,
                                      .goes_on_arg = s->env->arg};

    s->dial = NULL;
    return blk_nbd_open(&o, s->env->loop, ret, err);
}

int disk_dial(struct child *by, const struct vz_storage_attachment *a, struct nbd_dial **ret, struct vz_error *err)
{
    return blk_nbd_dial(by, a->uri, ret, err);
}

int disk_dial_fd(const struct nbd_dial *d)
{
    return blk_nbd_dial_fd(d);
}

void disk_hang_up(struct nbd_dial *d)
{
    blk_nbd_hang_up(d);
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

static int open_nothing(const struct device_slot *s, struct blk **ret, struct vz_error *err)
{
    int r = blk_null_create(0, s->env->loop, ret);

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "out of memory");
    (*ret)->read_only = true;
    return 0;
}

static int limit(const struct vz_storage_device *d, struct blk **b, struct vz_error *err)
{
    const struct blk_limits l = {.bytes = d->limit_bytes, .ops = d->limit_operations,
                                 .burst_ms = d->limit_burst};
    int r = blk_limit_create(*b, &l, b);

    return r < 0 ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "its limits: %s", strerror(-r)) : 0;
}

static int open_attachment(struct device_slot *s, const struct vz_storage_attachment *a, struct blk **ret,
                           struct vz_error *err)
{
    const struct vz_storage_device *d = s->config;
    int r = a->kind == STORAGE_SEED    ? open_seed(s, a, ret, err)
            : a->kind == STORAGE_NBD   ? open_nbd(s, a, ret, err)
            : a->kind == STORAGE_EMPTY ? open_nothing(s, ret, err)
                                       : open_file(s, a, ret, err);

    if (r < 0 || !d->filter)
        return r;
    r = blk_filters_stack(d->filter, ret, err);
    if (r < 0)
        blk_close(*ret);
    return r;
}

static int open_disk(struct device_slot *s, const struct vz_storage_attachment *a, struct blk **ret, struct vz_error *err)
{
    struct blk *blk;
    int r = open_attachment(s, a, &blk, err);

    if (r < 0)
        return r;
    r = limit(s->config, &blk, err); /* always: a limit may come while it runs. On top, so that s->host is one. */
    if (r < 0) {
        blk_close(blk);
        return r;
    }
    blk->sum = &s->env->counters->block;
    *ret = blk;
    return 0;
}

static int disk_open(struct device_slot *s, struct vz_error *err)
{
    struct blk *blk;
    int r = open_disk(s, ((const struct vz_storage_device *)s->config)->attachment, &blk, err);

    if (!r)
        s->host = blk;
    return r;
}

static int disk_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_storage_device *d = s->config;
    struct virtio_blk_options o = {.blk = s->host, .read_only = d->attachment->read_only,
                                   .block_size = d->block_size};

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

/* ---- What disks have ------------------------------------------------------------------------ */

struct growing {
    struct blk_growth g;
    struct device_slot *slot;
    void (*done)(void *arg, const struct vz_error *err);
    void *arg;
};

static void growth_done(struct blk_growth *g, int r)
{
    struct growing *w = container_of(g, struct growing, g);

    if (r < 0)
        device_slot_prefix(w->slot, &g->err);
    w->done(w->arg, r < 0 ? &g->err : NULL);
    free(w);
}

static int disk_grow(struct device_slot *s, uint64_t size,
                     void (*done)(void *arg, const struct vz_error *err), void *arg,
                     struct vz_error *err)
{
    const struct vz_storage_device *d = s->config;
    struct growing *w = malloc(sizeof(*w));
    int r;

    if (!w)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    *w = (struct growing){.g = {.size = size, .done = growth_done}, .slot = s, .done = done, .arg = arg};
    if (size % d->block_size)
        r = error_set(&w->g.err, EINVAL, VZ_ERROR_INVALID,
                      "a disk of blocks of %u bytes cannot have %llu bytes", d->block_size,
                      (unsigned long long)size);
    else
        r = blk_grow(s->host, &w->g);
    if (r < 0) {
        *err = w->g.err;
        device_slot_prefix(s, err);
        free(w);
    }
    return r;
}

static void disk_grown(struct device_slot *s)
{
    blk_grown(s->host);
}

static void disk_settle(struct device_slot *s)
{
    struct blk *blk = s->host;

    if (blk->growth)
        blk_drain_wait(blk);
}

static uint64_t disk_size(const struct device_slot *s)
{
    return ((const struct blk *)s->host)->size;
}

static void disk_set_limits(struct device_slot *s, const struct vz_disk_limits *limits)
{
    const struct blk_limits l = {.bytes = limits->bytes, .ops = limits->operations,
                                 .burst_ms = limits->burst};

    blk_limit_set(s->host, &l);
}

static void disk_limits(const struct device_slot *s, struct vz_disk_limits *ret)
{
    const struct blk_limits l = blk_limit_get(s->host);

    ret->bytes = l.bytes;
    ret->operations = l.ops;
    ret->burst = l.burst_ms;
}

static struct vz_disk_time time_of(const struct blk_time *t)
{
    struct vz_disk_time ret = {.total_ns = atomic_load(&t->total_ns), .max_ns = atomic_load(&t->max_ns)};

    _Static_assert(BLK_TIME_COUNTS == VZ_DISK_TIME_COUNTS, "one is a copy of the other");
    for (unsigned i = 0; i < BLK_TIME_COUNTS; i++)
        ret.count[i] = atomic_load(&t->count[i]);
    return ret;
}

static void disk_stats(const struct device_slot *s, struct vz_disk_stats *ret)
{
    const struct blk_stats *b = &((const struct blk *)s->host)->stats;

    *ret = (struct vz_disk_stats){
        .size = sizeof(*ret), .reads = atomic_load(&b->reads), .writes = atomic_load(&b->writes),
        .flushes = atomic_load(&b->flushes), .discards = atomic_load(&b->discards),
        .zeroes = atomic_load(&b->zeroes), .bytes_read = atomic_load(&b->bytes_read),
        .bytes_written = atomic_load(&b->bytes_written), .errors = atomic_load(&b->errors),
        .refused = atomic_load(&b->refused), .limited = atomic_load(&b->limited),
        .reconnects = atomic_load(&b->reconnects), .read = time_of(&b->time[BLK_READ]),
        .write = time_of(&b->time[BLK_WRITE]), .flush = time_of(&b->time[BLK_FLUSH]),
        .discard = time_of(&b->time[BLK_DISCARD]), .zero = time_of(&b->time[BLK_ZERO])};
}

static int same_disk(const struct blk *was, const struct blk *is, struct vz_error *err)
{
    if (was->size == is->size && was->block_size == is->block_size && was->read_only == is->read_only)
        return 0;
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "it is not the same disk: size, blocks or access differ");
}

/* An image is locked for whoever writes it, and the new one may read through to the old one: so the old one is closed
 * first, and opened again if need be. What guests see of it is the filter on top, which stays. */
static int disk_exchange(struct device_slot *s, const void *was, const void *is, struct vz_error *err)
{
    struct blk *top = s->host, *old, *new;
    int r = disk_flush(s, err);

    if (r < 0)
        return r;
    old = blk_exchange(top, NULL);
    blk_rest(old);
    blk_close(old);
    r = open_attachment(s, is, &new, err);
    if (!r && (r = same_disk(top, new, err)) < 0)
        blk_close(new);
    if (r < 0)
        device_slot_prefix(s, err);
    if (r < 0 && open_attachment(s, was, &new, NULL) < 0)
        return -ENODEV;
    (void)!blk_exchange(top, new);
    return r;
}

static void disk_hurry(struct device_slot *s)
{
    blk_nbd_hurry(s->host, END_MS);
}

/* What disks have; and drives, too. */
#define DISK_OPS                                                                                   \
    .hurry = disk_hurry, .grow = disk_grow, .grown = disk_grown, .settle = disk_settle, .size = disk_size, \
    .exchange = disk_exchange, .set_limits = disk_set_limits, .limits = disk_limits, .stats = disk_stats

static const struct device_disk_ops disk_ops = {DISK_OPS};

static void disk_close(struct device_slot *s)
{
    blk_close(s->host);
}

const struct device_kind disk_kind = {
    .type = &config_virtio_block_type, VIRTIO_SLOT, .model = "virtio/blk",
    .open = disk_open, .create = disk_create, .flush = disk_flush, .identify = disk_identify,
    .disk = &disk_ops, .close = disk_close};

/* ---- NVMe ----------------------------------------------------------------------------------- */

static struct nvme_namespace_options namespace_of(const struct device_slot *s)
{
    const struct vz_storage_device *d = s->config;

    return (struct nvme_namespace_options){
        .blk = s->host, .read_only = d->attachment->read_only, .block_size = d->block_size};
}

static int nvme_kind_create(struct device_slot *s, struct vz_error *err)
{
    const struct nvme_namespace_options ns = namespace_of(s);
    struct nvme_options o = {.loop = s->env->loop, .mem = s->env->mem,
                             .sum = &s->env->counters->nvme, .namespaces = &ns,
                             .namespace_count = 1};
    struct nvme *n;
    int r;

    if (s->env->identifier)
        memcpy(o.uuid, s->env->identifier, sizeof(o.uuid));
    config_storage_serial(s->config, s->index, o.serial);
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
    .remove = nvme_kind_remove, .flush = disk_flush, .identify = disk_identify,
    .disk = &disk_ops, .close = disk_close};

/* ---- Further namespaces --------------------------------------------------------------------- */

static const struct vz_storage_device *config_at(const void *slots, unsigned i)
{
    const struct device_slot *s =
        device_slots_find((struct device_slots *)(uintptr_t)slots, "storageDevices", i);

    return s ? s->config : NULL;
}

struct device_slot *nvme_namespace_controller(const struct device_slot *s)
{
    int controller = config_nvme_controller(config_at, s->slots, s->index);

    return controller < 0 ? NULL : device_slots_find(s->slots, "storageDevices", (unsigned)controller);
}

/* The controller was made before, as its kind comes before. It brings all of them to rest. */
static int namespace_create(struct device_slot *s, struct vz_error *err)
{
    const struct nvme_namespace_options ns = namespace_of(s);
    const struct device_slot *c = nvme_namespace_controller(s);

    if (!c || !c->model)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "its NVMe controller is not there");
    return nvme_add_namespace(c->model, &ns, err);
}

const struct device_kind nvme_namespace_kind = {
    .type = &config_nvme_namespace_type, .bus = DEVICE_ON_ANOTHER, .model = "nvme/nvme",
    .open = disk_open, .create = namespace_create, .flush = disk_flush, .identify = disk_identify,
    .disk = &disk_ops, .close = disk_close};

/* ---- USB ------------------------------------------------------------------------------------ */

/* One with a UUID is known by it wherever it is plugged in. */
static void usb_serial(const struct device_slot *s, char ret[SCSI_SERIAL_MAX + 1])
{
    const struct vz_storage_device *d = s->config;

    if (!d->identifier && d->uuid)
        snprintf(ret, SCSI_SERIAL_MAX + 1, "%.8s%.4s%.4s%.4s", d->uuid, d->uuid + 9, d->uuid + 14, d->uuid + 19);
    else
        config_storage_serial(d, s->index, ret);
}

static int usb_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_storage_device *d = s->config;
    struct usb_disk_options o = {.blk = s->host, .read_only = d->attachment->read_only,
                                 .is_cdrom = s->kind == &usb_cdrom_kind, .block_size = d->block_size, .uas = d->uas};
    struct usb_dev *dev;
    uint32_t port;
    int r = usb_slot_port(s, USB_SUPER, &port, err);

    if (r < 0)
        return r;
    usb_serial(s, o.serial);
    r = usb_disk_create(s->env->bus, port, &o, &dev, err);
    if (r < 0)
        return r;
    dev->number = s->index;
    return usb_slot_plug(s, dev, err);
}

static void usb_quiesce(struct device_slot *s)
{
    usb_disk_quiesce(s->model, device_slot_quiet, s);
}

static void usb_resume(struct device_slot *s)
{
    usb_disk_resume(s->model);
}

static int cdrom_set_disc(struct device_slot *s, const void *attachment, bool force, struct vz_error *err)
{
    const struct blk_limits l = blk_limit_get(s->host);
    struct blk *new, *old;
    int r = open_disk(s, attachment, &new, err);

    if (r < 0) {
        device_slot_prefix(s, err);
        return r;
    }
    blk_limit_set(new, &l); /* those of now */
    if (force || !usb_disk_is_locked(s->model))
        disk_hurry(s); /* the loop waits for what is under way, and would for ever where a server is gone */
    r = usb_disk_change(s->model, new, force, &old);
    if (r < 0) {
        blk_close(new);
        return error_set(err, -r, VZ_ERROR_INVALID_STATE,
                         "the guest keeps its CD-ROM drive closed, and has been asked to eject the disc; it can be forced");
    }
    device_slot_set_host(s, new);
    blk_close(old);
    return 0;
}

static bool cdrom_has_disc(const struct device_slot *s)
{
    return usb_disk_has_medium(s->model);
}

static const struct device_disk_ops cdrom_ops = {DISK_OPS, .set_disc = cdrom_set_disc, .has_disc = cdrom_has_disc};

static void usb_left(void *slot)
{
    struct device_slot *s = slot;

    usb_disk_quiesce(s->model, device_slot_unplugged, s);
}

static void usb_unplug(struct device_slot *s)
{
    disk_hurry(s); /* what is under way is lost anyway; a server that is gone would keep the slot for ever */
    usb_slot_unplug(s, usb_left);
}

static void usb_identify(const struct device_slot *s, struct device_identity *ret)
{
    disk_identify(s, ret);
    ret->port = ((const struct usb_dev *)s->model)->port;
    ret->number = ((const struct usb_dev *)s->model)->number;
}

const struct device_kind usb_disk_kind = {
    .type = &config_usb_disk_type, USB_SLOT, .model = "usb/usb_disk", .open = disk_open, .create = usb_create,
    .quiesce = usb_quiesce, .resume = usb_resume, .flush = disk_flush, .identify = usb_identify,
    .unplug = usb_unplug, .place = usb_slot_place, .disk = &disk_ops, .close = disk_close};

const struct device_kind usb_cdrom_kind = {
    .type = &config_usb_cdrom_type, USB_SLOT, .model = "usb/usb_disk", .open = disk_open, .create = usb_create,
    .quiesce = usb_quiesce, .resume = usb_resume, .flush = disk_flush, .identify = usb_identify,
    .unplug = usb_unplug, .place = usb_slot_place, .disk = &cdrom_ops, .close = disk_close};
