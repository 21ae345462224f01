/* SPDX-License-Identifier: MIT */
/* hostile [SEED [ROUNDS]]: a driver that means harm owns the queues of every device of a whole
 * board: bad addresses, loops, huge lengths, wrong indexes, bad indirect tables, resets and queue
 * resets in mid-flight, queues reconfigured while they run, random registers, configuration space,
 * MSI-X tables and BARs on top of each other, storms of notifications. Whatever it does, the
 * process lives; each round ends with a reset of every device, after which a well-behaved driver
 * must get its work done.
 *
 * Meant to be run in sanitizer builds too. */
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_net.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"
#include "virtio/balloon.h"
#include "virtio/virtio_console.h"
#include "virtio/vsock.h"

#define ATTACKS_PER_DEVICE 60
#define QUEUE_RESET        (VIRTIO_PCI_COMMON_Q_USEDHI + 6)

static uint64_t rnd(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random * UINT64_C(0x2545f4914f6cdd1d) >> 8;
}

static uint64_t below(struct world *w, uint64_t n)
{
    return rnd(w) % n;
}

static gpa_t data_of(const struct victim *d)
{
    return DATA_BASE + d->kind * MIB;
}

/* Numbers near edges are more telling than any. */
static uint64_t number(struct world *w, const struct victim *d)
{
    const uint64_t edge[] = {0, 1, 2, 15, 16, 17, 512, 4095, 4096, 65535, 65536, RAM_SIZE - 16,
                             RAM_SIZE - 1, RAM_SIZE, UINT32_MAX - 15, UINT32_MAX, INT64_MAX,
                             UINT64_MAX - 15, UINT64_MAX, ECAM_BASE, 0xfee00000, d->bar, d->msix,
                             data_of(d), data_of(d) + 64, d->ring[0].desc, d->ring[0].used};
    uint64_t r = rnd(w);

    return r & 3 ? edge[(r >> 8) % ARRAY_SIZE(edge)] : r >> (r >> 2 & 63);
}

/* --- requests that a device understands, more or less --- */

static void put_blk_header(struct world *w, gpa_t at)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
                                     VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_DISCARD,
                                     VIRTIO_BLK_T_WRITE_ZEROES, 77};
    struct virtio_blk_outhdr h = {.type = types[below(w, 7)], .sector = below(w, 2100)};

    ram_put(w, at, &h, sizeof(h));
}

static void put_vsock_header(struct world *w, gpa_t at)
{
    struct virtio_vsock_hdr h = {
        .src_cid = below(w, 8) ? 3 : 4, .dst_cid = below(w, 8) ? 2 : 9,
        .src_port = (uint32_t)below(w, 6), .dst_port = 5 + !below(w, 4), .type = 1,
        .op = (uint16_t)below(w, 9), .len = (uint32_t)below(w, 100),
        .flags = (uint32_t)below(w, 4), .buf_alloc = (uint32_t)below(w, 70000),
        .fwd_cnt = (uint32_t)below(w, 70000)};

    ram_put(w, at, &h, sizeof(h));
}

static void put_small_numbers(struct world *w, gpa_t at)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t v = rnd(w) & UINT64_C(0x0303070f03010701);

        ram_put(w, at + 8 * i, &v, 8);
    }
}

/* A chain of the right shape. */
static void plausible(struct world *w, struct victim *d)
{
    gpa_t at = data_of(d) + 4096 * below(w, 16);
    unsigned queue = (unsigned)below(w, d->queues), count = 1 + (unsigned)below(w, 4);
    unsigned outs = (unsigned)below(w, count + 1);
    struct buf buf[5];

    if (!d->ring[queue].size)
        return;
    put_small_numbers(w, at);
    if (d->kind == BLK)
        put_blk_header(w, at);
    if (d->kind == VSOCK)
        put_vsock_header(w, at);
    for (unsigned i = 0; i < count; i++)
        buf[i] = (struct buf){at + 1024 * i, (uint32_t)(below(w, 3) ? 512 : below(w, 3000)), i >= outs};
    if (d->kind == BLK) { /* header, data, status */
        buf[0] = (struct buf){at, 16, false};
        buf[count] = (struct buf){at + 16, 1, true};
        count++;
    } else if (d->kind == VSOCK && outs) {
        buf[0].len = 44;
    }
    ring_add(w, d, queue, buf, count);
}

/* --- attacks --- */

static void on_rings(struct world *w, struct victim *d)
{
    unsigned queue = (unsigned)below(w, d->queues);
    struct ring *r = &d->ring[queue];
    uint16_t idx = (uint16_t)(below(w, 8) ? r->made += (uint16_t)below(w, 4) : rnd(w));

    if (!r->size)
        return;
    for (unsigned i = 1 + (unsigned)below(w, 8); i; i--) {
        uint16_t head = (uint16_t)below(w, 20);
        struct vring_desc desc = {.addr = number(w, d), .len = (uint32_t)number(w, d),
                                  .flags = (uint16_t)(below(w, 8) ? rnd(w) & 7 : rnd(w)),
                                  .next = (uint16_t)below(w, 20)};

        ram_put(w, r->desc + 16 * below(w, RING_SIZE), &desc, sizeof(desc));
        ram_put(w, r->avail + 4 + 2 * below(w, RING_SIZE + 1), &head, 2);
    }
    ram_put(w, r->avail + 2, &idx, 2);
    ring_kick(w, d, queue);
}

/* Indirect tables: of odd lengths, one in another, and around themselves. */
static void on_indirect(struct world *w, struct victim *d)
{
    static const uint32_t lengths[] = {0, 1, 15, 16, 24, 32, 160, 16 * 1024, 16 * 1025, 1u << 31,
                                       UINT32_MAX};
    gpa_t table = data_of(d) + 0x40000 + 16 * below(w, 4);
    unsigned queue = (unsigned)below(w, d->queues);
    struct ring *r = &d->ring[queue];
    struct vring_desc desc;
    struct buf whole = {table, lengths[below(w, ARRAY_SIZE(lengths))], false};
    uint16_t flags = VRING_DESC_F_INDIRECT | (below(w, 4) ? 0 : VRING_DESC_F_NEXT);

    if (!r->size)
        return;
    for (unsigned i = 0; i < 10; i++) {
        desc = (struct vring_desc){.addr = below(w, 3) ? data_of(d) + 4096 * i : table,
                                   .len = (uint32_t)(below(w, 4) ? 512 : number(w, d)),
                                   .flags = (uint16_t)(below(w, 6) ? i < 9 : rnd(w) & 7),
                                   .next = (uint16_t)(below(w, 6) ? i + 1 : rnd(w) % 1100)};
        ram_put(w, table + 16 * i, &desc, sizeof(desc));
    }
    ring_add(w, d, queue, &whole, 1);
    ram_put(w, r->desc + 16u * ((r->free + r->size - 1u) % r->size) + 12, &flags, 2);
    ring_kick(w, d, queue);
}

static void on_registers(struct world *w, struct victim *d)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned size = 1u << below(w, 4);
        unsigned reg = (unsigned)(below(w, 2) ? below(w, 0x40) : below(w, 0x4000));

        if (below(w, 2))
            dev_wr(w, d, reg & ~(size - 1), size, number(w, d));
        else
            (void)dev_rd(w, d, reg & ~(size - 1), size);
    }
}

static void on_queue_setup(struct world *w, struct victim *d)
{
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_SELECT, 2, below(w, d->queues + 1));
    if (below(w, 2))
        dev_wr(w, d, QUEUE_RESET, 2, 1);
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_SIZE, 2, number(w, d));
    for (unsigned reg = VIRTIO_PCI_COMMON_Q_DESCLO; reg <= VIRTIO_PCI_COMMON_Q_USEDHI; reg += 4) {
        if (!below(w, 3))
            dev_wr(w, d, reg, 4, number(w, d));
    }
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    ring_kick(w, d, (unsigned)below(w, d->queues));
}

static void on_resets(struct world *w, struct victim *d)
{
    for (unsigned i = 0; i < 6; i++)
        plausible(w, d);
    if (below(w, 2)) { /* do not wait for its end */
        dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
        dev_wr(w, d, VIRTIO_PCI_COMMON_STATUS, 1, 15);
        plausible(w, d);
    } else {
        dev_start(w, d, dev_offered(w, d) & rnd(w));
    }
}

static void on_config(struct world *w, struct victim *d)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned size = 1u << below(w, 4);

        dev_wr(w, d, 0x2000 + ((unsigned)below(w, 0x110) & ~(size - 1)), size, number(w, d));
        (void)dev_rd(w, d, 0x2000 + ((unsigned)below(w, 0x110) & ~(size - 1)), size);
    }
}

static void on_msix(struct world *w, struct victim *d)
{
    static const uint32_t data[] = {0x20, 0xff, 0x4020, 0x200, 0x400, 0x500, 0x600, 0x700, 0xffffffff};
    static const uint32_t address[] = {0xfee00000, 0xfee01000, 0xfeeff00c, 0xfee00008, 0, 0xb0000000};

    cfg_wr(w, d, d->msix_cap + 2, 2, below(w, 4) ? 0x8000 : (uint32_t)rnd(w));
    for (unsigned i = 0; i < 8; i++) {
        gpa_t entry = d->msix + 16 * below(w, d->queues + 2);

        bus_wr(w, entry, 4, address[below(w, ARRAY_SIZE(address))]);
        bus_wr(w, entry + 4, 4, below(w, 4) ? 0 : rnd(w));
        bus_wr(w, entry + 8, 4, data[below(w, ARRAY_SIZE(data))]);
        bus_wr(w, entry + 12, 4, below(w, 3) ? 0 : rnd(w));
        bus_wr(w, d->msix + (below(w, 0x1000) & ~UINT64_C(7)), below(w, 2) ? 4 : 8, rnd(w));
        (void)bus_rd(w, d->msix + (below(w, 0x1000) & ~UINT64_C(7)), 8);
    }
    dev_wr(w, d, VIRTIO_PCI_COMMON_MSIX, 2, below(w, 12));
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_SELECT, 2, below(w, d->queues));
    dev_wr(w, d, VIRTIO_PCI_COMMON_Q_MSIX, 2, below(w, 12));
    plausible(w, d);
}

static void on_pci(struct world *w, struct victim *d)
{
    const struct victim *other = &w->device[below(w, KINDS)];
    const uint64_t places[] = {other->bar, other->bar + 0x1000, other->msix, d->msix, 0, 0x100000,
                               RAM_SIZE, ECAM_BASE, 0xfec00000, 0xfee00000, 0xfffff000,
                               UINT64_MAX & ~UINT64_C(0xfff), rnd(w)};

    for (unsigned i = 0; i < 6; i++) {
        uint64_t to = places[below(w, ARRAY_SIZE(places))];

        switch (below(w, 4)) {
        case 0:
            cfg_wr(w, d, PCI_CFG_BAR0, 4, (uint32_t)to);
            cfg_wr(w, d, PCI_CFG_BAR0 + 4, 4, (uint32_t)(to >> 32));
            break;
        case 1: cfg_wr(w, d, PCI_CFG_BAR0 + 8, 4, (uint32_t)to); break;
        case 2: cfg_wr(w, d, PCI_CFG_COMMAND, 2, (uint32_t)(below(w, 2) ? 0x406 : rnd(w))); break;
        default:
            cfg_wr(w, d, (unsigned)below(w, 256) & ~3u, 4, (uint32_t)rnd(w));
            (void)cfg_rd(w, d, (unsigned)below(w, 4096) & ~3u, 4);
        }
        plausible(w, d);
        on_registers(w, d);
    }
    if (below(w, 2))
        world_restore(w);
}

/* The way to a BAR through configuration space. */
static void on_window(struct world *w, struct victim *d)
{
    for (unsigned i = 0; i < 8; i++) {
        cfg_wr(w, d, d->window_cap + 4, 1, (uint32_t)(below(w, 4) ? 0 : rnd(w)));
        cfg_wr(w, d, d->window_cap + 8, 4, (uint32_t)(below(w, 2) ? below(w, 0x4010) : number(w, d)));
        cfg_wr(w, d, d->window_cap + 12, 4, (uint32_t)(below(w, 4) ? 1u << below(w, 4) : rnd(w)));
        cfg_wr(w, d, d->window_cap + 16, 1u << below(w, 3), (uint32_t)number(w, d));
        (void)cfg_rd(w, d, d->window_cap + 16, 4);
    }
}

static void on_notify(struct world *w, struct victim *d)
{
    for (unsigned i = 0; i < 1000; i++) {
        dev_wr(w, d, 0x3000 + 4 * (i % (d->queues + 2)), 2, i);
        if (i % 100 == 0) {
            plausible(w, d);
            dev_wr(w, d, 0x3000 + ((unsigned)below(w, 0x1000) & ~7u), 8, rnd(w));
        }
    }
}

static void start_again(struct world *w, struct victim *d)
{
    dev_start(w, d, dev_offered(w, d) & (below(w, 2) ? UINT64_MAX : rnd(w)));
    plausible(w, d);
}

static void not_kept(void *arg, int err, int fd)
{
    if (fd >= 0)
        close(fd);
}

/* What the host does at the same time; on the loop thread. */
static void on_host(void *arg)
{
    struct world *w = arg;
    static unsigned turn;

    turn++;
    balloon_set_target(w->device[BALLOON].dev, turn % 3 * 8 * MIB + 8 * MIB);
    console_resize(w->device[CONSOLE].dev, 0, (uint16_t)turn, 25);
    (void)!vsock_connect(w->device[VSOCK].dev, turn % 8, not_kept, NULL);
}

static void host_attacks(struct world *w, struct victim *d)
{
    char frame[300] = "to whom it may concern";

    (void)!write(w->net_peer, frame, 14 + below(w, sizeof(frame) - 14));
    (void)!write(w->line_peer, frame, below(w, sizeof(frame)));
    loop_work_queue(w->loop, &w->host_work);
}

static void (*const attacks[])(struct world *w, struct victim *d) = {
    plausible, plausible, on_rings, on_rings, on_indirect, on_registers, on_queue_setup, on_resets,
    on_config, on_msix, on_pci, on_window, on_notify, start_again, start_again, start_again,
    host_attacks};

static void attack(struct world *w)
{
    for (unsigned i = 0; i < ATTACKS_PER_DEVICE * KINDS; i++) {
        struct victim *d = &w->device[below(w, KINDS)];

        attacks[below(w, ARRAY_SIZE(attacks))](w, d);
        d->broken += dev_status(w, d) != 0xff && dev_status(w, d) & VIRTIO_S_NEEDS_RESET;
    }
}

/* A second CPU, which does the same at the same time; it has its own idea of where the rings are. */
static void *second_cpu(void *arg)
{
    attack(arg);
    return NULL;
}

static void attack_from_two(struct world *w)
{
    static struct world second;
    pthread_t thread;

    second = *w;
    second.random ^= UINT64_C(0x5555555555555555);
    w->alone = second.alone = false;
    if (pthread_create(&thread, NULL, second_cpu, &second))
        fail("no thread");
    attack(w);
    pthread_join(thread, NULL);
    w->alone = true;
}

/* --- and then all is well --- */

static void check_blk(struct world *w, struct victim *d)
{
    gpa_t at = data_of(d);
    struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_OUT, .sector = below(w, 2000)};
    uint8_t text[512], back[512];

    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)rnd(w);
    ram_put(w, at, &h, sizeof(h));
    ram_put(w, at + 512, text, sizeof(text));
    ring_add(w, d, 0, (struct buf[]){{at, 16, false}, {at + 512, 512, false}, {at + 16, 1, true}}, 3);
    if (ring_wait(w, d, 0) != 1)
        fail("blk: a write was not answered as it should be");
    h.type = VIRTIO_BLK_T_IN;
    ram_put(w, at, &h, sizeof(h));
    ring_add(w, d, 1, (struct buf[]){{at, 16, false}, {at + 1024, 512, true}, {at + 16, 1, true}}, 3);
    if (ring_wait(w, d, 1) != 513)
        fail("blk: a read was not answered as it should be");
    ram_get(w, at + 1024, back, sizeof(back));
    if (memcmp(text, back, sizeof(text)))
        fail("blk: what was read is not what was written");
}

/* Read from fd until the mark comes. datagrams: it is at their start plus off. */
static void expect(int fd, const char *mark, const char *who)
{
    static char got[70000];
    size_t have = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, 300000) <= 0)
            fail("%s: nothing reaches the host", who);
        n = read(fd, got + have, sizeof(got) - have);
        if (n <= 0)
            fail("%s: the host's end is closed", who);
        have += (size_t)n;
        if (memmem(got, have, mark, MARK_LEN))
            return;
        if (have > MARK_LEN) { /* keep what may be its beginning */
            memmove(got, got + have - MARK_LEN, MARK_LEN);
            have = MARK_LEN;
        }
    }
}

static void make_mark(struct world *w, char mark[MARK_LEN + 1])
{
    for (unsigned i = 0; i < MARK_LEN; i++)
        mark[i] = (char)('a' + below(w, 26));
    mark[MARK_LEN] = 0;
}

static void check_net(struct world *w, struct victim *d)
{
    static const uint8_t header[12 + 14] = {[12] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1,
                                            0x88, 0xb5};
    gpa_t at = data_of(d);
    char mark[MARK_LEN + 1], frame[64] = {0}, back[200];

    make_mark(w, mark);
    ram_put(w, at, header, sizeof(header));
    ram_put(w, at + sizeof(header), mark, MARK_LEN);
    ring_add(w, d, 1, (struct buf[]){{at, sizeof(header) + MARK_LEN, false}}, 1);
    expect(w->net_peer, mark, "net"); /* first: the socket may be full of what the attacks sent */
    ring_wait(w, d, 1);
    memcpy(frame, header + 12, 14);
    memcpy(frame + 14, mark, MARK_LEN);
    while (write(w->net_peer, frame, sizeof(frame)) < 0) /* full of what the attacks left there */
        poll(&(struct pollfd){.fd = w->net_peer, .events = POLLOUT}, 1, 100);
    do { /* until it is ours */
        ring_add(w, d, 0, (struct buf[]){{at + 4096, 3000, true}}, 1);
        ring_wait(w, d, 0);
        ram_get(w, at + 4096 + 12, back, sizeof(back));
    } while (memcmp(back, frame, sizeof(frame)));
}

static void check_console(struct world *w, struct victim *d)
{
    struct virtio_console_control c = {.event = VIRTIO_CONSOLE_DEVICE_READY, .value = 1};
    gpa_t at = data_of(d);
    char mark[MARK_LEN + 1];

    ram_put(w, at, &c, sizeof(c));
    ring_add(w, d, 2, (struct buf[]){{at + 1024, 512, true}}, 1);
    ring_add(w, d, 3, (struct buf[]){{at, sizeof(c), false}}, 1);
    ring_wait(w, d, 3);
    ring_wait(w, d, 2);
    ram_get(w, at + 1024, &c, sizeof(c));
    if (c.event != VIRTIO_CONSOLE_PORT_ADD)
        fail("console: event %u instead of a new port", c.event);
    make_mark(w, mark);
    ram_put(w, at + 64, mark, MARK_LEN);
    ring_add(w, d, 1, (struct buf[]){{at + 64, MARK_LEN, false}}, 1);
    expect(w->line_peer, mark, "console"); /* first, likewise */
    ring_wait(w, d, 1);
}

static void check_rng(struct world *w, struct victim *d)
{
    ring_add(w, d, 0, (struct buf[]){{data_of(d), 64, true}}, 1);
    if (!ring_wait(w, d, 0))
        fail("rng: no entropy");
}

static void check_balloon(struct world *w, struct victim *d)
{
    gpa_t at = data_of(d), page = data_of(d) + 0x80000;
    uint32_t pfn = (uint32_t)(page / 4096);
    uint64_t v = UINT64_MAX;

    ram_put(w, page, &v, 8);
    ram_put(w, at, &pfn, sizeof(pfn));
    ring_add(w, d, 0, (struct buf[]){{at, sizeof(pfn), false}}, 1);
    ring_wait(w, d, 0);
    ring_add(w, d, 1, (struct buf[]){{at, sizeof(pfn), false}}, 1);
    ring_wait(w, d, 1);
    ram_get(w, page, &v, 8);
    if (v)
        fail("balloon: the page was not given up");
}

static void check_vsock(struct world *w, struct victim *d)
{
    struct virtio_vsock_hdr h = {.src_cid = 3, .dst_cid = 2, .src_port = 99, .dst_port = 5, .type = 1,
                                 .op = VIRTIO_VSOCK_OP_REQUEST, .buf_alloc = 4096};
    gpa_t at = data_of(d);

    ram_put(w, at, &h, sizeof(h));
    ring_add(w, d, 1, (struct buf[]){{at, sizeof(h), false}}, 1);
    ring_wait(w, d, 1);
    do { /* others may come first: the host connects too */
        ring_add(w, d, 0, (struct buf[]){{at + 1024, 3000, true}}, 1);
        ring_wait(w, d, 0);
        ram_get(w, at + 1024, &h, sizeof(h));
    } while (h.dst_port != 99);
    if (h.op != VIRTIO_VSOCK_OP_RESPONSE)
        fail("vsock: op %u instead of a response", h.op);
}

static void check_all(struct world *w)
{
    static void (*const checks[KINDS])(struct world *w, struct victim *d) = {
        [BLK] = check_blk, [NET] = check_net, [CONSOLE] = check_console, [RNG] = check_rng,
        [BALLOON] = check_balloon, [VSOCK] = check_vsock};

    world_restore(w);
    for (unsigned i = 0; i < KINDS; i++)
        dev_reset(w, &w->device[i]); /* all, since they may have each other's memory */
    for (unsigned i = 0; i < KINDS; i++) {
        struct victim *d = &w->device[i];

        dev_start(w, d, below(w, 2) ? 0 : BIT(VIRTIO_RING_F_INDIRECT_DESC));
        if (dev_status(w, d) != 15)
            fail("%s does not start again: status %#x", d->name, dev_status(w, d));
        checks[i](w, d);
    }
}

int main(int argc, char **argv)
{
    static struct world w;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 20;
    int status = 0;

    setenv("VZ_LOG", "error", 0); /* each device tells that it needs a reset, again and again */
    signal(SIGPIPE, SIG_IGN);
    w.alone = true;
    w.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    world_create(&w);
    w.host_work = (struct loop_work){.fn = on_host, .arg = &w};
    world_begin(&w);
    check_all(&w);
    for (unsigned i = 0; i < rounds; i++) {
        if (i % 2)
            attack(&w);
        else
            attack_from_two(&w);
        check_all(&w);
    }
    world_end(&w);
    for (unsigned i = 0; i < KINDS; i++) {
        printf("%s needed a reset %u times\n", w.device[i].name, w.device[i].broken);
        status |= !w.device[i].broken; /* the attacks have to reach it */
    }
    world_destroy(&w);
    return status;
}
