/* SPDX-License-Identifier: MIT */
/* A card for tests of net/: keeps what it receives, has room for as much as the test says. */
#ifndef VZ_NET_NET_FIXTURE_H
#define VZ_NET_NET_FIXTURE_H

#include <string.h>

#include "fake_loop.h"
#include <vz/error.h>

#include "net/net.h"
#include "unit.h"

struct card {
    uint8_t frame[16][NET_FRAME_MAX];
    struct virtio_net_hdr hdr[16];
    size_t len[16];
    unsigned count, room, writable, received, link_changes;
    int err;
};

static bool card_receive(void *arg, const struct virtio_net_hdr *hdr, const uint8_t *frame,
                         size_t len)
{
    struct card *c = arg;

    if (c->count >= c->room)
        return false;
    c->hdr[c->count] = *hdr;
    memcpy(c->frame[c->count], frame, len);
    c->len[c->count++] = len;
    return true;
}

static void card_received(void *arg)
{
    ((struct card *)arg)->received++;
}

static void card_writable(void *arg)
{
    ((struct card *)arg)->writable++;
}

static void card_link_changed(void *arg, int err)
{
    ((struct card *)arg)->link_changes++;
    ((struct card *)arg)->err = err;
}

static const struct net_client card_client = {
    .receive = card_receive, .received = card_received, .writable = card_writable,
    .link_changed = card_link_changed};

static inline bool card_send(struct net *n, const void *frame, size_t len)
{
    static const struct virtio_net_hdr plain = {0};
    struct iovec iov = {(void *)frame, len};

    return net_send(n, &plain, &iov, 1);
}

static inline void turns(struct loop *loop, unsigned count)
{
    while (count--)
        fake_loop_turn(loop);
}

#endif
