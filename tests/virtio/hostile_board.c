/* SPDX-License-Identifier: MIT */
/* The board, the hosts' ends of its devices, and the ways to them; see hostile.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vz/error.h>

#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "char/char.h"
#include "given_slot.h"
#include "hostile.h"
#include "hv/hv.h"
#include "loop/loop.h"
#include "net/net.h"
#include "virtio/balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_net.h"
#include "virtio/vsock.h"

#define PATIENCE_S 300 /* only against hanging */

void fail(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("hostile: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void must(int r, const struct vz_error *err)
{
    if (r < 0)
        fail("%s: %s", strerror(-r), err ? err->text : "");
}

static void on_request(void *arg, enum chipset_request kind, uint32_t value) {}

/* Every other connection of the guest is kept for a while, the rest is closed at once. */
static bool on_accept(void *arg, int fd, uint32_t host_port, uint32_t guest_port)
{
    if (write(fd, "welcome", 7) != 7)
        return false;
    close(fd);
    return true;
}

static void make_hosts(struct world *w)
{
    static const uint32_t delay[BLK_OP_COUNT] = {1, 1, 1, 0, 0};
    const struct blk_mem_options disk = {.size = MIB};
    struct vz_error err = {0};
    int pair[2];

    must(blk_mem_create(&disk, w->loop, &w->blk), NULL);
    must(blk_delay_create(w->blk, delay, &w->blk), NULL); /* so that resets meet requests */
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), NULL);
    w->line_peer = pair[1];
    must(char_fd_create(w->loop, pair[0], pair[0], &w->line, &err), &err);
    must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), NULL);
    w->net_peer = pair[1];
    must(net_dgram_create(w->loop, pair[0], 1500, &w->net, &err), &err);
}

static void find_device(struct world *w, enum kind kind, const char *name, struct virtio_dev *dev)
{
    struct victim *d = &w->device[kind];

    d->name = name;
    d->kind = kind;
    d->dev = dev;
    d->queues = MIN(dev->queue_count, QUEUES_MAX);
    for (unsigned i = 0; i < 64; i++)
        d->config[i] = cfg_rd(w, d, 4 * i, 4);
    d->bar = d->config[4] & ~15u;
    d->bar |= (uint64_t)d->config[5] << 32;
    d->msix = d->config[6] & ~15u;
    for (unsigned at = d->config[13] & 0xff; at; at = cfg_rd(w, d, at + 1, 1)) {
        if (cfg_rd(w, d, at, 1) == 0x11)
            d->msix_cap = at;
        if (cfg_rd(w, d, at, 1) == 9 && cfg_rd(w, d, at + 3, 1) == VIRTIO_PCI_CAP_PCI_CFG)
            d->window_cap = at;
    }
    if (!d->bar || !d->msix || !d->msix_cap || !d->window_cap)
        fail("%s: no BAR or capability", name);
}

void world_create(struct world *w)
{
    static const char *const names[] = {"blk", "net", "console", "rng", "balloon", "vsock"};
    static const struct vsock_options vsock = {.guest_cid = 3};
    static const struct balloon_options balloon = {.ram_size = RAM_SIZE};
    struct virtio_blk_options blk = {.identifier = "hostile"};
    struct virtio_net_options net = {.mac = {2, 0, 0, 0, 0, 1}};
    struct console_port_options port[2] = {{.console = true}, {.name = "second"}};
    struct console_options console = {.port = port, .port_count = 2, .multiport = true};
    struct virtio_dev *dev[KINDS];
    const struct given list[KINDS] = {
        {&virtio_blk_ops, &blk, 2, &dev[0]}, {&virtio_net_ops, &net, 0, &dev[1]},
        {&virtio_console_ops, &console, console_queues(&console), &dev[2]},
        {&virtio_rng_ops, NULL, 0, &dev[3]}, {&virtio_balloon_ops, &balloon, 0, &dev[4]},
        {&virtio_vsock_ops, &vsock, 0, &dev[5]}};
    struct board_options o = {.ram_size = RAM_SIZE, .vcpu_count = 1, .hv = &hv_soft_ops,
                              .memory_strict = true, .requests = {.request = on_request}};
    struct vz_error err = {0};

    must(loop_create(&w->loop), NULL);
    make_hosts(w);
    blk.blk = w->blk;
    net.net = w->net;
    port[0].line = w->line;
    o.loop = w->loop;
    must(given_slots(w->loop, -1, list, KINDS, &w->slots, &err), &err);
    o.slots = w->slots;
    must(board_create(&o, &w->board, &err), &err);
    must(board_populate(w->board, &err), &err);
    must(hv_soft_ops.vcpu_create(w->board->vm, 0, &w->cpu), NULL); /* interrupts go there */
    must(vsock_listen(dev[VSOCK], 5, on_accept, w), NULL);
    for (unsigned i = 0; i < KINDS; i++)
        find_device(w, i, names[i], dev[i]);
}

void world_destroy(struct world *w)
{
    hv_soft_ops.vcpu_destroy(w->cpu);
    board_destroy(w->board);
    if (w->blk->inflight)
        fail("requests of the disk are left");
    blk_close(w->blk);
    net_destroy(w->net);
    char_destroy(w->line);
    device_slots_free(w->slots);
    loop_destroy(w->loop);
}

static void *loop_main(void *arg)
{
    loop_run(((struct world *)arg)->loop);
    return NULL;
}

void world_begin(struct world *w)
{
    must(-pthread_create(&w->loop_thread, NULL, loop_main, w), NULL);
}

void world_end(struct world *w)
{
    loop_stop(w->loop);
    pthread_join(w->loop_thread, NULL);
}

void world_restore(struct world *w)
{
    /* First nobody decodes, then all are where they were: no order of BARs is a good one. */
    for (unsigned i = 0; i < KINDS; i++)
        cfg_wr(w, &w->device[i], PCI_CFG_COMMAND, 2, 0);
    for (unsigned i = 0; i < KINDS; i++) {
        struct victim *d = &w->device[i];

        cfg_wr(w, d, d->msix_cap + 2, 2, 0);
        for (unsigned reg = PCI_CFG_BAR0; reg < PCI_CFG_BAR0 + 24; reg += 4)
            cfg_wr(w, d, reg, 4, d->config[reg / 4]);
    }
    for (unsigned i = 0; i < KINDS; i++)
        cfg_wr(w, &w->device[i], PCI_CFG_COMMAND, 2, w->device[i].config[1] & 0xffff);
}

/* --- accesses --- */

uint64_t bus_rd(struct world *w, gpa_t gpa, unsigned size)
{
    return bus_io_ops.mmio_read(w->board->bus, gpa, size);
}

void bus_wr(struct world *w, gpa_t gpa, unsigned size, uint64_t value)
{
    bus_io_ops.mmio_write(w->board->bus, gpa, size, value);
}

static gpa_t cfg_at(const struct victim *d, unsigned reg)
{
    return ECAM_BASE + ((gpa_t)PCI_DEVFN(d->kind + 1, 0) << 12) + reg;
}

uint32_t cfg_rd(struct world *w, const struct victim *d, unsigned reg, unsigned size)
{
    return (uint32_t)bus_rd(w, cfg_at(d, reg), size);
}

void cfg_wr(struct world *w, const struct victim *d, unsigned reg, unsigned size, uint32_t value)
{
    bus_wr(w, cfg_at(d, reg), size, value);
}

uint64_t dev_rd(struct world *w, const struct victim *d, unsigned reg, unsigned size)
{
    return bus_rd(w, d->bar + reg, size);
}

void dev_wr(struct world *w, const struct victim *d, unsigned reg, unsigned size, uint64_t value)
{
    bus_wr(w, d->bar + reg, size, value);
}

unwatched void ram_put(struct world *w, gpa_t gpa, const void *data, size_t len)
{
    volatile uint8_t *to = mem_ptr(w->board->mem, gpa, len, MEM_WRITE);
    const uint8_t *from = data;

    for (size_t i = 0; i < len; i++)
        to[i] = from[i];
}

unwatched void ram_get(struct world *w, gpa_t gpa, void *data, size_t len)
{
    const volatile uint8_t *from = mem_ptr(w->board->mem, gpa, len, MEM_READ);
    uint8_t *to = data;

    for (size_t i = 0; i < len; i++)
        to[i] = from[i];
}

static uint16_t ram_u16(struct world *w, gpa_t gpa)
{
    uint16_t v;

    ram_get(w, gpa, &v, 2);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return v;
}

static void ram_put_u16(struct world *w, gpa_t gpa, uint16_t v)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ram_put(w, gpa, &v, 2);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* --- a driver as it should be --- */

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

uint8_t dev_status(struct world *w, const struct victim *d)
{
    return (uint8_t)dev_rd(w, d, VIRTIO_PCI_COMMON_STATUS, 1);
}

uint64_t dev_offered(struct world *w, const struct victim *d)
{
    uint64_t f;

    dev_wr(w, d, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
    f = dev_rd(w, d, VIRTIO_PCI_COMMON_DF, 4) << 32;
    dev_wr(w, d, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
    return f | dev_rd(w, d, VIRTIO_PCI_COMMON_DF, 4);
}

void dev_reset(struct world *w, struct victim *d)
{
    double end = now_s() + PATIENCE_S;

    dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    while (dev_status(w, d)) {
        if (now_s() > end)
            fail("%s: a reset does not end, status %#x", d->name, dev_status(w, d));
        if (dev_status(w, d) == 0xff) { /* its BAR is somewhere else */
            world_restore(w);
            dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
        } else if (!w->alone) { /* the other thread has set it again, perhaps */
            dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
        }
        nap();
    }
}

static void ring_setup(struct world *w, struct victim *d, unsigned queue)
{
    gpa_t at = RINGS_BASE + d->kind * MIB + queue * 32 * KIB;
    struct ring *r = &d->ring[queue];
    static const uint8_t zero[0x3000];

    *r = (struct ring){.desc = at, .avail = at + 0x1000, .used = at + 0x2000, .size = RING_SIZE};
    ram_put(w, at, zero, sizeof(zero));
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_SIZE, 2, RING_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        gpa_t part = i == 0 ? r->desc : i == 1 ? r->avail : r->used;

        dev_wr(w, d, VIRTIO_PCI_COMMON_Q_DESCLO + 8 * i, 4, part);
        dev_wr(w, d, VIRTIO_PCI_COMMON_Q_DESCHI + 8 * i, 4, part >> 32);
    }
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void dev_start(struct world *w, struct victim *d, uint64_t features)
{
    features |= BIT(VIRTIO_F_VERSION_1);
    dev_reset(w, d);
    dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        dev_wr(w, d, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
        dev_wr(w, d, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> (32 * i)));
    }
    dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 11);
    for (unsigned i = 0; i < d->queues; i++)
        ring_setup(w, d, i);
    dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

void ring_kick(struct world *w, const struct victim *d, unsigned queue)
{
    dev_wr(w, d, 0x3000 + 4 * queue, 2, queue);
}

void ring_add(struct world *w, struct victim *d, unsigned queue, const struct buf *buf,
              unsigned count)
{
    struct ring *r = &d->ring[queue];
    uint16_t head = r->free;

    for (unsigned i = 0; i < count; i++) {
        uint16_t at = r->free;
        struct vring_desc desc;

        r->free = (uint16_t)((at + 1) % r->size);
        desc = (struct vring_desc){.addr = buf[i].gpa, .len = buf[i].len, .next = r->free,
                                   .flags = (uint16_t)((buf[i].in ? VRING_DESC_F_WRITE : 0) |
                                                       (i + 1 < count ? VRING_DESC_F_NEXT : 0))};
        ram_put(w, r->desc + 16u * at, &desc, sizeof(desc));
    }
    ram_put_u16(w, r->avail + 4 + 2u * (r->made % r->size), head);
    ram_put_u16(w, r->avail + 2, ++r->made);
    ring_kick(w, d, queue);
}

uint32_t ring_wait(struct world *w, struct victim *d, unsigned queue)
{
    double end = now_s() + PATIENCE_S;
    struct ring *r = &d->ring[queue];
    struct vring_used_elem e;

    while (ram_u16(w, r->used + 2) == r->seen) {
        if (now_s() > end)
            fail("%s: no answer on queue %u, status %#x", d->name, queue, dev_status(w, d));
        nap();
    }
    ram_get(w, r->used + 4 + 8u * (r->seen++ % r->size), &e, sizeof(e));
    return e.len;
}
