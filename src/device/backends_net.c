/* SPDX-License-Identifier: MIT */
/* Networks behind a machine's cards: opened, replaced, lost. */
#include <vz/machine.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "device/backends_impl.h"
#include "net/net.h"
#include "virtio/virtio_net.h"

/* ---- Opening -------------------------------------------------------------------------------- */

static int open_nat(const struct vz_network_attachment *a, struct loop *loop, struct net **ret,
                    struct vz_error *err)
{
    struct net_forward *forwards = calloc(a->forward_count + 1, sizeof(*forwards));
    struct net_nat_options o = {.forwards = forwards, .forward_count = a->forward_count,
                                .no_host_loopback = !a->host_loopback};
    int r;

    if (!forwards)
        return backends_out_of_memory(err);
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

static bool is_nat(const struct backends_card *card)
{
    return card->net && card->attachment->kind == NETWORK_NAT;
}

bool backends_guest_address(const struct backends_card *card, struct vz_guest_address *ret)
{
    struct net_nat_address a;

    if (!is_nat(card))
        return false;
    net_nat_guest_address(card->net, &a);
    *ret = (struct vz_guest_address)VZ_GUEST_ADDRESS_INIT;
    if (a.has_ipv4)
        inet_ntop(AF_INET, &a.ipv4, ret->ipv4, sizeof(ret->ipv4));
    if (a.has_ipv6)
        inet_ntop(AF_INET6, &a.ipv6, ret->ipv6, sizeof(ret->ipv6));
    return true;
}

static void on_address(void *arg)
{
    struct backends_card *card = arg;
    struct vz_guest_address address;

    if (backends_guest_address(card, &address))
        card->backends->events.guest_address(card->backends->events.arg, card->index, &address);
}

/* Open a, and make it the card's; the card has none now. */
static int attach(struct backends_card *card, struct vz_network_attachment *a, struct vz_error *err)
{
    int r = open_network(a, card->backends->loop, &card->net, err);

    if (r < 0)
        return r;
    card->attachment = vz_network_attachment_ref(a);
    if (is_nat(card))
        net_nat_on_address(card->net, on_address, card);
    return 0;
}

static void detach(struct backends_card *card)
{
    net_destroy(card->net);
    vz_network_attachment_unref(card->attachment);
    card->net = NULL;
    card->attachment = NULL;
    card->lost = 0;
}

int backends_open_card(struct backends *b, unsigned i, struct vz_error *err)
{
    const struct vz_network_device *d = config_network_device(b->config, i);
    struct virtio_net_options *o = backends_allocate(b, sizeof(*o));
    struct backends_card *card = &b->card[i];
    int r = 0;

    if (!o)
        return backends_out_of_memory(err);
    *card = (struct backends_card){.backends = b, .index = i};
    if (d->attachment)
        r = attach(card, d->attachment, err);
    if (r < 0) {
        error_prefix(err, "networkDevices[%u]", i);
        return r;
    }
    o->net = card->net;
    memcpy(o->mac, d->mac.bytes, sizeof(o->mac));
    return backends_add(b, &virtio_net_ops, o, 0, &card->dev, err);
}

void backends_close_cards(struct backends *b)
{
    for (unsigned i = 0; b->card && i < b->config->network_devices.count; i++)
        detach(&b->card[i]);
}

/* ---- While it runs -------------------------------------------------------------------------- */

static void on_lost(void *arg, int err)
{
    struct backends_card *card = arg;
    struct vz_error e;

    card->lost = err;
    error_set(&e, 0, VZ_ERROR_NETWORK, "networkDevices[%u]: the network is gone: %s", card->index,
              strerror(err < 0 ? -err : err));
    card->backends->events.network_lost(card->backends->events.arg, card->index, &e);
}

void backends_watch_cards(struct backends *b)
{
    for (unsigned i = 0; i < b->config->network_devices.count; i++)
        virtio_net_on_lost(b->card[i].dev, on_lost, &b->card[i]);
}

void backends_reap(struct backends *b)
{
    for (unsigned i = 0; i < b->config->network_devices.count; i++) {
        struct backends_card *card = &b->card[i];

        if (card->lost) {
            virtio_net_set_net(card->dev, NULL);
            detach(card);
        }
    }
}

/* Both may want the same port or interface, so the old one goes first; and comes back if it must. */
static int exchange(struct backends_card *card, struct vz_network_attachment *a,
                    struct vz_error *err)
{
    struct vz_network_attachment *old = vz_network_attachment_ref(card->attachment);
    int r;

    detach(card);
    r = attach(card, a, err);
    if (r < 0 && old && attach(card, old, NULL) < 0)
        error_prefix(err, "the network before it is gone too");
    vz_network_attachment_unref(old);
    return r;
}

int backends_set_network(struct backends *b, unsigned i, struct vz_network_attachment *a,
                         struct vz_error *err)
{
    struct backends_card *card = &b->card[i];
    int r = 0;

    virtio_net_set_net(card->dev, NULL);
    if (a)
        r = exchange(card, a, err);
    else
        detach(card);
    if (card->net)
        virtio_net_set_net(card->dev, card->net);
    if (r < 0)
        error_prefix(err, "networkDevices[%u]", i);
    return r;
}
