/* SPDX-License-Identifier: MIT */
/* Network cards: the network behind each is opened, replaced, lost. */
#include "device/net_kind.h"

#include <vz/machine.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/thread.h"
#include "config/objects.h"
#include "device/device_counters.h"
#include "device/virtio_slot.h"
#include "loop/loop.h"
#include "net/net.h"
#include "virtio/virtio.h"
#include "virtio/virtio_net.h"

/* slot->host */
struct card {
    struct net *net;                          /* NULL: no link */
    struct vz_network_attachment *attachment; /* what net is; a reference */
    struct loop_work reap;                    /* the network is lost: let go of it */
};

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int open_nat(const struct vz_network_attachment *a, const struct device_env *env, struct net **ret,
                    struct vz_error *err)
{
    struct net_forward *forwards = calloc(a->forward_count + 1, sizeof(*forwards));
    struct net_nat_options o = {.forwards = forwards, .forward_count = a->forward_count,
                                .no_host_loopback = !a->host_loopback, .child = env->nat};
    int r;

    if (!forwards)
        return out_of_memory(err);
    for (unsigned i = 0; i < a->forward_count; i++) {
        const struct vz_port_forward *f = &a->forward[i];

        forwards[i] = (struct net_forward){.udp = f->udp, .host = f->host,
                                           .host_port = f->host_port,
                                           .guest_port = f->guest_port};
    }
    r = net_nat_create(env->loop, &o, ret, err);
    free(forwards);
    return r;
}

static int open_network(const struct vz_network_attachment *a, const struct device_env *env, struct net **ret,
                        struct vz_error *err)
{
    const struct net_tap_options tap = {.name = a->kind == NETWORK_TAP ? a->interface : NULL,
                                        .bridge = a->kind == NETWORK_BRIDGED ? a->interface : NULL};

    if (a->kind == NETWORK_NAT)
        return open_nat(a, env, ret, err);
    if (a->kind == NETWORK_FD)
        return net_dgram_create(env->loop, a->fd, a->mtu, ret, err);
    return net_tap_create(env->loop, &tap, ret, err);
}

static bool is_nat(const struct card *card)
{
    return card->net && card->attachment->kind == NETWORK_NAT;
}

static void on_address(void *arg)
{
    struct vz_guest_address address;

    if (net_slot_guest_address(arg, &address))
        device_slot_tell(arg, &(struct device_event){.what = DEVICE_GUEST_ADDRESS,
                                                     .address = &address});
}

/* Open a, and make it the card's, which has none now. */
static int attach(struct device_slot *s, struct vz_network_attachment *a, struct vz_error *err)
{
    struct card *card = s->host;
    int r = open_network(a, s->env, &card->net, err);

    if (r < 0)
        return r;
    net_account(card->net, &s->env->counters->net);
    card->attachment = vz_network_attachment_ref(a);
    if (is_nat(card))
        net_nat_on_address(card->net, on_address, s);
    return 0;
}

static void detach(struct device_slot *s)
{
    struct card *card = s->host;

    loop_work_cancel(s->env->loop, &card->reap);
    net_destroy(card->net);
    vz_network_attachment_unref(card->attachment);
    card->net = NULL;
    card->attachment = NULL;
}

/* ---- Lost ----------------------------------------------------------------------------------- */

static void reap(void *arg)
{
    struct device_slot *s = arg;

    virtio_net_set_net(s->model, NULL);
    detach(s);
}

/* In the middle of what the network does, so it goes a little later. */
static void on_lost(void *arg, int err)
{
    struct device_slot *s = arg;
    struct card *card = s->host;
    struct vz_error e;

    error_set(&e, 0, VZ_ERROR_NETWORK, "the network is gone: %s", strerror(err < 0 ? -err : err));
    device_slot_prefix(s, &e);
    device_slot_tell(s, &(struct device_event){.what = DEVICE_NETWORK_LOST, .err = &e});
    loop_work_queue(s->env->loop, &card->reap);
}

/* ---- The kind ------------------------------------------------------------------------------- */

static int net_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_network_device *d = s->config;
    struct card *card = calloc(1, sizeof(*card));

    if (!card)
        return out_of_memory(err);
    card->reap = (struct loop_work){.fn = reap, .arg = s};
    s->host = card;
    if (thread_has_policy() && !s->env->nat)
        net_nat_prepare(); /* for an attachment that comes when it may not be loaded any more */
    return d->attachment ? attach(s, d->attachment, err) : 0;
}

static int net_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_network_device *d = s->config;
    const struct card *card = s->host;
    struct virtio_net_options o = {.net = card->net};
    int r;

    memcpy(o.mac, d->mac.bytes, sizeof(o.mac));
    r = virtio_slot_create(s, &virtio_net_ops, &o, 0, err);
    if (!r)
        virtio_net_on_lost(s->model, on_lost, s);
    return r;
}

/* Both may want the same port or interface: the old one goes first, and comes back if it must. */
static int exchange(struct device_slot *s, struct vz_network_attachment *a, struct vz_error *err)
{
    struct card *card = s->host;
    struct vz_network_attachment *old = vz_network_attachment_ref(card->attachment);
    int r;

    detach(s);
    r = attach(s, a, err);
    if (r < 0 && old && attach(s, old, NULL) < 0)
        error_prefix(err, "the network before it is gone too");
    vz_network_attachment_unref(old);
    return r;
}

/* ---- Forwards of a NAT that stays ----------------------------------------------------------- */

static struct net_forward forward_of(const struct vz_port_forward *f)
{
    return (struct net_forward){.udp = f->udp, .host = f->host, .host_port = f->host_port,
                                .guest_port = f->guest_port};
}

static bool has_forward(const struct vz_network_attachment *a, const struct vz_port_forward *f)
{
    for (unsigned i = 0; i < a->forward_count; i++) {
        const struct vz_port_forward *g = &a->forward[i];

        if (g->udp == f->udp && g->host_port == f->host_port && g->guest_port == f->guest_port &&
            !strcmp(g->host ? g->host : "127.0.0.1", f->host ? f->host : "127.0.0.1"))
            return true;
    }
    return false;
}

/* End those of from that to has not. */
static void end_forwards(struct card *card, const struct vz_network_attachment *from,
                         const struct vz_network_attachment *to)
{
    for (unsigned i = 0; i < from->forward_count; i++) {
        const struct net_forward f = forward_of(&from->forward[i]);

        if (!has_forward(to, &from->forward[i]))
            (void)net_nat_forward_remove(card->net, &f, NULL); /* one that failed to come back */
    }
}

/* Begin those of to that from has not, until one fails; *ret_begun: how many it has got to. */
static int begin_forwards(struct card *card, const struct vz_network_attachment *from,
                          const struct vz_network_attachment *to, unsigned *ret_begun, struct vz_error *err)
{
    for (*ret_begun = 0; *ret_begun < to->forward_count; ++*ret_begun) {
        const struct net_forward f = forward_of(&to->forward[*ret_begun]);
        int r = has_forward(from, &to->forward[*ret_begun]) ? 0 : net_nat_forward_add(card->net, &f, err);

        if (r < 0)
            return r;
    }
    return 0;
}

/* The guest and all its connections do not notice. On failure it is as before. */
static int change_forwards(struct card *card, struct vz_network_attachment *a, struct vz_error *err)
{
    struct vz_network_attachment *old = card->attachment;
    unsigned begun, again;
    int r;

    end_forwards(card, old, a);
    r = begin_forwards(card, old, a, &begun, err);
    if (r < 0) {
        struct vz_network_attachment part = *a;

        part.forward_count = begun;
        end_forwards(card, &part, old);
        (void)begin_forwards(card, a, old, &again, NULL);
        return r;
    }
    card->attachment = vz_network_attachment_ref(a);
    vz_network_attachment_unref(old);
    return 0;
}

static bool differs_in_forwards_only(const struct card *card, const struct vz_network_attachment *a)
{
    return a && is_nat(card) && a->kind == NETWORK_NAT &&
           a->host_loopback == card->attachment->host_loopback;
}

static int net_change(struct device_slot *s, unsigned part, void *attachment, struct vz_error *err)
{
    struct card *card = s->host;
    int r = 0;

    if (differs_in_forwards_only(card, attachment)) {
        r = change_forwards(card, attachment, err);
        if (r < 0)
            device_slot_prefix(s, err);
        return r;
    }
    virtio_net_set_net(s->model, NULL);
    if (attachment)
        r = exchange(s, attachment, err);
    else
        detach(s);
    if (card->net)
        virtio_net_set_net(s->model, card->net);
    if (r < 0)
        device_slot_prefix(s, err);
    return r;
}

static void net_close(struct device_slot *s)
{
    if (s->host)
        detach(s);
    free(s->host);
}

struct vz_network_attachment *net_slot_attachment(const struct device_slot *s)
{
    return ((const struct card *)s->host)->attachment;
}

bool net_slot_guest_address(const struct device_slot *s, struct vz_guest_address *ret)
{
    const struct card *card = s->host;
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

static void *net_host_state(const struct device_slot *s, const struct state_desc **ret)
{
    const struct card *card = s->host;

    return card->net ? net_state(card->net, ret) : NULL;
}

const struct device_kind net_kind = {
    .host_state = net_host_state,
    .type = &config_virtio_net_type, VIRTIO_SLOT, .model = "virtio/net",
    .open = net_open, .create = net_create, .change = net_change, .close = net_close};
