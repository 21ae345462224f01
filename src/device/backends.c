/* SPDX-License-Identifier: MIT */
#include "device/backends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/blk_raw.h"
#include "device/backends_impl.h"
#include "device/socket_forward.h"
#include "virtio/balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/vsock.h"

int backends_out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

void *backends_allocate(struct backends *b, size_t size)
{
    void *p = b->option_count < ARRAY_SIZE(b->options) ? calloc(1, size) : NULL;

    if (p)
        b->options[b->option_count++] = p;
    return p;
}

int backends_add(struct backends *b, const struct virtio_ops *ops, const void *options,
                 unsigned queues, struct virtio_dev **ret_dev, struct vz_error *err)
{
    if (b->device_count == ARRAY_SIZE(b->device))
        return error_set(err, ENOSPC, VZ_ERROR_INVALID, "more devices than the PCI bus has room for");
    b->device[b->device_count++] = (struct board_virtio){
        .ops = ops, .options = options, .queues = queues, .ret = ret_dev};
    return 0;
}

/* ---- Storage -------------------------------------------------------------------------------- */

static int open_disk(struct backends *b, unsigned i, struct vz_error *err)
{
    const struct vz_storage_device *d = config_storage_device(b->config, i);
    const struct vz_storage_attachment *a = d->attachment;
    static const enum blk_caching caching[] = {BLK_CACHING_AUTOMATIC, BLK_CACHING_UNCACHED,
                                               BLK_CACHING_CACHED};
    static const enum blk_sync sync[] = {BLK_SYNC_FULL, BLK_SYNC_FULL, BLK_SYNC_FSYNC,
                                         BLK_SYNC_NONE};
    struct blk_raw_options raw = {.path = a->path, .fd = a->fd, .read_only = a->read_only,
                                  .caching = caching[a->caching], .sync = sync[a->sync]};
    struct virtio_blk_options *o = backends_allocate(b, sizeof(*o));
    int r = o ? blk_raw_open(&raw, b->loop, &b->blk[i], err) : backends_out_of_memory(err);

    if (r < 0) {
        error_prefix(err, "storageDevices[%u]", i);
        return r;
    }
    o->blk = b->blk[i];
    o->read_only = a->read_only;
    if (d->identifier)
        strncpy(o->identifier, d->identifier, sizeof(o->identifier) - 1);
    /* Linux gives each CPU a queue of its own, and more than there are CPUs are of no use. */
    return backends_add(b, &virtio_blk_ops, o,
                        MIN(b->config->cpu_count, VIRTIO_BLK_QUEUES_MAX), NULL, err);
}

/* ---- Balloon and sockets -------------------------------------------------------------------- */

static int add_balloon(struct backends *b, struct vz_error *err)
{
    const struct vz_virtio_balloon_options *from = &config_balloon(b->config)->options;
    struct balloon_options *o = backends_allocate(b, sizeof(*o));

    if (!o)
        return backends_out_of_memory(err);
    *o = (struct balloon_options){
        .ram_size = b->config->memory_size,
        .min_size = from->minimum_size ? from->minimum_size : vz_config_memory_min(),
        .no_deflate_on_oom = from->no_deflate_on_oom,
        .no_free_page_reporting = from->no_free_page_reporting};
    return backends_add(b, &virtio_balloon_ops, o, 0, &b->balloon, err);
}

static int add_socket(struct backends *b, struct vz_error *err)
{
    const struct vz_socket_device *d = config_socket(b->config);
    struct vsock_options *o = backends_allocate(b, sizeof(*o));
    int r = o ? socket_forwards_open(d, b->loop, &b->forwards, err) : backends_out_of_memory(err);

    if (r < 0) {
        error_prefix(err, "socketDevices[0]");
        return r;
    }
    o->guest_cid = d->guest_cid;
    return backends_add(b, &virtio_vsock_ops, o, 0, &b->socket, err);
}

/* ---- All of it ------------------------------------------------------------------------------ */

static bool allocate_lists(struct backends *b)
{
    const struct vz_config *c = b->config;
    unsigned lines = c->serial_ports.count + 1;

    for (unsigned i = 0; i < c->console_devices.count; i++)
        lines += config_console_device(c, i)->port_count;
    b->line = calloc(lines, sizeof(*b->line));
    b->blk = calloc(c->storage_devices.count + 1, sizeof(struct blk *));
    b->card = calloc(c->network_devices.count + 1, sizeof(*b->card));
    b->console = calloc(c->console_devices.count + 1, sizeof(*b->console));
    return b->line && b->blk && b->card && b->console;
}

int backends_open(struct backends *b, struct vz_error *err)
{
    const struct vz_config *c = b->config;
    int r = allocate_lists(b) ? 0 : backends_out_of_memory(err);

    for (unsigned i = 0; !r && i < c->storage_devices.count; i++)
        r = open_disk(b, i, err);
    for (unsigned i = 0; !r && i < c->network_devices.count; i++)
        r = backends_open_card(b, i, err);
    if (!r)
        r = backends_open_serial_ports(b, err);
    for (unsigned i = 0; !r && i < c->console_devices.count; i++)
        r = backends_open_console(b, i, err);
    for (unsigned i = 0; !r && i < c->entropy_devices.count; i++)
        r = backends_add(b, &virtio_rng_ops, NULL, 0, NULL, err);
    if (!r && config_balloon(c))
        r = add_balloon(b, err);
    if (!r && config_socket(c))
        r = add_socket(b, err);
    return r;
}

int backends_start(struct backends *b, struct vz_error *err)
{
    backends_watch_cards(b);
    return socket_forwards_start(b->forwards, b->socket, err);
}

void backends_close(struct backends *b)
{
    for (unsigned i = 0; i < b->line_count; i++)
        line_close(&b->line[i]);
    for (unsigned i = 0; b->blk && i < b->config->storage_devices.count; i++)
        blk_close(b->blk[i]);
    backends_close_cards(b);
    socket_forwards_close(b->forwards);
    for (unsigned i = 0; i < b->option_count; i++)
        free(b->options[i]);
    free(b->line);
    free(b->blk);
    free(b->card);
    free(b->console);
    *b = (struct backends){.config = b->config};
}

struct char_dev *backends_com1(const struct backends *b)
{
    const struct vz_config *c = b->config;

    for (unsigned i = 0; i < c->serial_ports.count; i++) {
        if (!config_serial_port(c, i)->is_virtio)
            return b->line[i].dev;
    }
    return b->line[c->serial_ports.count].dev;
}
