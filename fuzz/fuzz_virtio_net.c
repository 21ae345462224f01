/* SPDX-License-Identifier: MIT */
/* A hostile driver of the network card: the input is a program of writes to rings, buffers and
 * registers. The card works on a pair of sockets, so that offloads are done here. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "no_check.h"

#include "fake_virtio_driver.h"
#include "fuzz.h"
#include "net/net.h"
#include "virtio/virtio_net.h"

struct rig {
    struct fv v;
    struct loop *loop;
    struct net *net;
    int fd[2];
};

static void set_up(struct rig *r)
{
    struct virtio_net_options o = {0};

    memset(r, 0, sizeof(*r));
    if (loop_create(&r->loop) < 0 || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, r->fd) < 0 ||
        net_dgram_create(r->loop, r->fd[0], 1500, &r->net, NULL) < 0)
        abort();
    o.net = r->net;
    fv_create(&r->v, &virtio_net_ops, &o);
}

static void tear_down(struct rig *r)
{
    fv_destroy(&r->v);
    net_destroy(r->net);
    loop_destroy(r->loop);
    close(r->fd[0]);
    close(r->fd[1]);
}

/* One step takes its bytes from data; returns how many. */
static size_t step(struct rig *r, const uint8_t *data, size_t size)
{
    unsigned queue = data[0] % 3;
    uint64_t at = FV_DATA + (data[1] & 7u) * 8192u;
    size_t len = MIN(size - 4, (size_t)data[3]);
    struct fv_buf buf[2] = {{at, data[2] + 1u, (data[0] & 0x40) != 0},
                            {at + 4096, (uint32_t)data[3] * 16, (data[0] & 0x20) != 0}};
    char sink[2048];

    switch (data[0] >> 2 & 7) {
    case 0:
        fv_kick(&r->v, queue);
        break;
    case 1: /* bytes in memory */
        memcpy(fv_at(&r->v, at), data + 4, len);
        return 4 + len;
    case 2: /* a frame from outside */
        (void)!send(r->fd[1], data + 4, len, MSG_DONTWAIT);
        fake_loop_turn(r->loop);
        fake_loop_turn(r->loop);
        return 4 + len;
    case 3: /* any descriptor */
        r->v.q[queue].desc[data[1] % 16] =
            (struct vring_desc){.addr = at + data[2], .len = (uint32_t)data[3] << (data[2] & 15),
                                .flags = data[1] & 7, .next = data[2] & 31};
        fv_offer(&r->v, queue, data[1] & 31);
        break;
    case 4:
        fv_wr(&r->v, data[1] & 63, 1u << (data[2] & 3), data[3]);
        fv_turn(&r->v);
        break;
    case 5:
        if (data[1] == 7)
            fv_start(&r->v, virtio_net_ops.features & ~(UINT64_C(1) << (data[2] & 63)), 16);
        break;
    default:
        (void)fv_add(&r->v, queue, buf, buf[1].len ? 2 : 1);
        fv_kick(&r->v, queue);
        break;
    }
    while (recv(r->fd[1], sink, sizeof(sink), MSG_DONTWAIT) >= 0)
        ;
    return 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig r; /* large; made anew each time */
    size_t at = 0;

    set_up(&r);
    fv_start(&r.v, UINT64_MAX & fv_offered(&r.v), 16);
    for (unsigned i = 0; i < 200 && at + 4 <= size; i++)
        at += step(&r, data + at, size - at);
    tear_down(&r);
    return 0;
}

/* Transmit a TCP packet with offloads; a command; receive a frame. */
size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const uint8_t tx[] = {
        0x04, 0, 0, 66, 1, 1, 0, 0, 40, 0, 34, 0, 16, 0, 0, 0, /* header: NEEDS_CSUM, TSO4, 40 */
        2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0, 0x45, 0, 1, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2,
        15, 10, 0, 2, 2, 0, 80, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 9, 9, 0, 0, 0, 0,
        0x19, 0, 65, 20, 0x19, 0, 200, 2};
    static const uint8_t rx[] = {0x58, 1, 250, 0, 0x58, 2, 250, 9, 0x08, 0, 0, 20, 1, 2, 3, 4, 5, 6,
                                 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 0, 0, 0, 0};
    static const uint8_t ctrl[] = {0x04, 0, 0, 3, 0, 0, 1, 0x3a, 0, 2, 1, 0x04, 0, 0, 12,
                                   1, 0, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0x3a, 0, 11, 1};
    static const struct { const uint8_t *data; size_t len; } seeds[] = {
        {tx, sizeof(tx)}, {rx, sizeof(rx)}, {ctrl, sizeof(ctrl)}};

    if (index >= 3 || seeds[index].len > room)
        return 0;
    memcpy(ret, seeds[index].data, seeds[index].len);
    return seeds[index].len;
}
