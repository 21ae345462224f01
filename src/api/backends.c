/* SPDX-License-Identifier: MIT */
#include "api/backends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/config_impl.h"
#include "api/socket_forward.h"
#include "base/error.h"
#include "block/blk_raw.h"
#include "net/net.h"
#include "virtio/balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_net.h"
#include "virtio/vsock.h"

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* Zeroed memory that lives as long as b. */
static void *allocate(struct backends *b, size_t size)
{
    void *p = b->option_count < ARRAY_SIZE(b->options) ? calloc(1, size) : NULL;

    if (p)
        b->options[b->option_count++] = p;
    return p;
}

static int add(struct backends *b, const struct virtio_ops *ops, const void *options,
               unsigned queues, struct vz_error *err)
{
    if (b->device_count == ARRAY_SIZE(b->device))
        return error_set(err, ENOSPC, VZ_ERROR_INVALID, "more devices than the PCI bus has room for");
    b->device[b->device_count++] =
        (struct board_virtio){.ops = ops, .options = options, .queues = queues};
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
    struct virtio_blk_options *o = allocate(b, sizeof(*o));
    int r = o ? blk_raw_open(&raw, b->loop, &b->blk[i], err) : out_of_memory(err);

    if (r < 0) {
        error_prefix(err, "storageDevices[%u]", i);
        return r;
    }
    o->blk = b->blk[i];
    o->read_only = a->read_only;
    if (d->identifier)
        strncpy(o->identifier, d->identifier, sizeof(o->identifier) - 1);
    /* Linux gives each CPU a queue of its own, and more than there are CPUs are of no use. */
    return add(b, &virtio_blk_ops, o, MIN(b->config->cpu_count, VIRTIO_BLK_QUEUES_MAX), err);
}

/* ---- Network -------------------------------------------------------------------------------- */

static int open_nat(const struct vz_network_attachment *a, struct loop *loop, struct net **ret,
                    struct vz_error *err)
{
    struct net_forward *forwards = calloc(a->forward_count + 1, sizeof(*forwards));
    struct net_nat_options o = {.forwards = forwards, .forward_count = a->forward_count};
    int r;

    if (!forwards)
        return out_of_memory(err);
    for (unsigned i = 0; i < a->forward_count; i++) {
        const struct vz_port_forward *f = &a->forward[i];

        forwards[i] = (struct net_forward){.udp = f->udp, .host = f->host,
                                           .host_port = f->host_port,
                                           .guest_port = f->guest_port};
    }
    r = net_nat_create(loop, &o, ret, err);
    free(forwards);
    return r;
}

static int open_network(const struct vz_network_attachment *a, struct loop *loop, struct net **ret,
                        struct vz_error *err)
{
    const struct net_tap_options tap = {.name = a->kind == NETWORK_TAP ? a->interface : NULL,
                                        .bridge = a->kind == NETWORK_BRIDGED ? a->interface : NULL};

    if (a->kind == NETWORK_NAT)
        return open_nat(a, loop, ret, err);
    if (a->kind == NETWORK_FD)
        return net_dgram_create(loop, a->fd, a->mtu, ret, err);
    return net_tap_create(loop, &tap, ret, err);
}

static int open_card(struct backends *b, unsigned i, struct vz_error *err)
{
    const struct vz_network_device *d = config_network_device(b->config, i);
    struct virtio_net_options *o = allocate(b, sizeof(*o));
    int r = 0;

    if (!o)
        return out_of_memory(err);
    if (d->attachment)
        r = open_network(d->attachment, b->loop, &b->net[i], err);
    if (r < 0) {
        error_prefix(err, "networkDevices[%u]", i);
        return r;
    }
    o->net = b->net[i];
    memcpy(o->mac, d->mac.bytes, sizeof(o->mac));
    return add(b, &virtio_net_ops, o, 0, err);
}

/* ---- Serial and console --------------------------------------------------------------------- */

static int open_line(struct backends *b, const struct vz_serial_attachment *a, struct line **ret,
                     struct vz_error *err)
{
    *ret = &b->line[b->line_count++];
    return line_open(*ret, b->loop, b->config, a, err);
}

static int add_virtio_serial(struct backends *b, struct line *l, struct vz_error *err)
{
    struct {
        struct console_options console;
        struct console_port_options port;
    } *o = allocate(b, sizeof(*o));

    if (!o)
        return out_of_memory(err);
    o->port = (struct console_port_options){.console = true, .line = l->dev};
    o->console = (struct console_options){.port = &o->port, .port_count = 1};
    return add(b, &virtio_console_ops, &o->console, console_queues(&o->console), err);
}

/* All lines first, so that the indexes are those of the configuration. */
static int open_serial_ports(struct backends *b, struct vz_error *err)
{
    const struct vz_config *c = b->config;
    struct line *l;
    int r = 0;

    for (unsigned i = 0; !r && i < c->serial_ports.count; i++) {
        const struct vz_serial_port *p = config_serial_port(c, i);

        r = open_line(b, p->attachment, &l, err);
        if (r < 0)
            error_prefix(err, "serialPorts[%u]", i);
        else if (p->is_virtio)
            r = add_virtio_serial(b, l, err);
    }
    return r ? r : open_line(b, NULL, &l, err); /* for a COM1 that leads nowhere */
}

static void on_port(void *arg, unsigned port, bool open)
{
    struct backends_console *c = arg;

    c->backends->port_opened(c->backends->port_opened_arg, c->device, port, open);
}

static int open_console(struct backends *b, unsigned device, struct vz_error *err)
{
    const struct vz_console_device *d = config_console_device(b->config, device);
    struct {
        struct console_options console;
        struct console_port_options port[VZ_CONSOLE_PORTS_MAX];
    } *o = allocate(b, sizeof(*o));
    struct line *l;
    int r = 0;

    if (!o)
        return out_of_memory(err);
    for (unsigned i = 0; !r && i < d->port_count; i++) {
        r = open_line(b, d->port[i].attachment, &l, err);
        if (r < 0)
            error_prefix(err, "consoleDevices[%u].ports[%u]", device, i);
        o->port[i] = (struct console_port_options){
            .name = d->port[i].name, .console = d->port[i].is_console, .line = l->dev};
    }
    b->console[device] = (struct backends_console){b, device};
    o->console = (struct console_options){.port = o->port, .port_count = d->port_count,
                                          .multiport = true, .opened = on_port,
                                          .opened_arg = &b->console[device]};
    return r ? r : add(b, &virtio_console_ops, &o->console, console_queues(&o->console), err);
}

/* ---- Balloon and sockets -------------------------------------------------------------------- */

static struct board_virtio *last(struct backends *b)
{
    return &b->device[b->device_count - 1];
}

static int add_balloon(struct backends *b, struct vz_error *err)
{
    const struct vz_virtio_balloon_options *from = &config_balloon(b->config)->options;
    struct balloon_options *o = allocate(b, sizeof(*o));
    int r;

    if (!o)
        return out_of_memory(err);
    *o = (struct balloon_options){
        .ram_size = b->config->memory_size,
        .min_size = from->minimum_size ? from->minimum_size : vz_config_memory_min(),
        .no_deflate_on_oom = from->no_deflate_on_oom,
        .no_free_page_reporting = from->no_free_page_reporting};
    r = add(b, &virtio_balloon_ops, o, 0, err);
    if (!r)
        last(b)->ret = &b->balloon;
    return r;
}

static int add_socket(struct backends *b, struct vz_error *err)
{
    const struct vz_socket_device *d = config_socket(b->config);
    struct vsock_options *o = allocate(b, sizeof(*o));
    int r = o ? socket_forwards_open(d, b->loop, &b->forwards, err) : out_of_memory(err);

    if (r < 0) {
        error_prefix(err, "socketDevices[0]");
        return r;
    }
    o->guest_cid = d->guest_cid;
    r = add(b, &virtio_vsock_ops, o, 0, err);
    if (!r)
        last(b)->ret = &b->socket;
    return r;
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
    b->net = calloc(c->network_devices.count + 1, sizeof(struct net *));
    b->console = calloc(c->console_devices.count + 1, sizeof(*b->console));
    return b->line && b->blk && b->net && b->console;
}

int backends_open(struct backends *b, struct vz_error *err)
{
    const struct vz_config *c = b->config;
    int r = allocate_lists(b) ? 0 : out_of_memory(err);

    for (unsigned i = 0; !r && i < c->storage_devices.count; i++)
        r = open_disk(b, i, err);
    for (unsigned i = 0; !r && i < c->network_devices.count; i++)
        r = open_card(b, i, err);
    if (!r)
        r = open_serial_ports(b, err);
    for (unsigned i = 0; !r && i < c->console_devices.count; i++)
        r = open_console(b, i, err);
    for (unsigned i = 0; !r && i < c->entropy_devices.count; i++)
        r = add(b, &virtio_rng_ops, NULL, 0, err);
    if (!r && config_balloon(c))
        r = add_balloon(b, err);
    if (!r && config_socket(c))
        r = add_socket(b, err);
    return r;
}

int backends_start(struct backends *b, struct vz_error *err)
{
    return socket_forwards_start(b->forwards, b->socket, err);
}

void backends_close(struct backends *b)
{
    for (unsigned i = 0; i < b->line_count; i++)
        line_close(&b->line[i]);
    for (unsigned i = 0; b->blk && i < b->config->storage_devices.count; i++)
        blk_close(b->blk[i]);
    for (unsigned i = 0; b->net && i < b->config->network_devices.count; i++)
        net_destroy(b->net[i]);
    socket_forwards_close(b->forwards);
    for (unsigned i = 0; i < b->option_count; i++)
        free(b->options[i]);
    free(b->line);
    free(b->blk);
    free(b->net);
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
