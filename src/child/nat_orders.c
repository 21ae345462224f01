/* SPDX-License-Identifier: MIT */
/* What the machine's process asks. It may be the guest's by then: nothing that it says does more than a guest behind a
 * NAT may have anyway, but for ports of the host that lead to it. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/error.h"
#include "child/nat_child.h"

/* Its NATs are numbered from 1. */
static struct nat_guest **place_of(struct nat_child *c, uint32_t number)
{
    return number && number <= NAT_CHILD_NETS_MAX ? &c->guest[number - 1] : NULL;
}

static struct net *net_of(struct nat_child *c, uint32_t number, struct vz_error *err)
{
    struct nat_guest **place = place_of(c, number);

    if (place && *place)
        return nat_guest_net(*place);
    error_set(err, ENOENT, VZ_ERROR_INTERNAL, "there is no NAT number %u", number);
    return NULL;
}

static bool is_for_frames(int fd)
{
    int type = 0, family = 0;
    socklen_t len = sizeof(int);

    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && family == AF_UNIX;
}

static int create(struct nat_child *c, struct nat_wire_options *w, int fd, struct vz_error *err)
{
    const struct net_nat_options o = {.network = w->network,
                                      .mask = w->mask,
                                      .mtu = w->mtu,
                                      .no_ipv6 = w->no_ipv6,
                                      .isolated = w->isolated,
                                      .no_host_loopback = w->no_host_loopback,
                                      .dns_port = w->dns_port,
                                      .hostname = nat_wire_get(w->hostname, sizeof(w->hostname)),
                                      .open_resolv_conf = nat_names_open,
                                      .open_arg = c};
    unsigned i = 0;
    int r;

    while (i < NAT_CHILD_NETS_MAX && c->guest[i])
        i++;
    if (i == NAT_CHILD_NETS_MAX || !is_for_frames(fd)) {
        if (fd >= 0)
            close(fd);
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "there are %u NATs, and can be %u, each with a socket for frames", i, NAT_CHILD_NETS_MAX);
    }
    r = nat_guest_new(c->loop, &o, fd, &c->guest[i], err);
    return r < 0 ? r : (int)i + 1;
}

static int destroy(struct nat_child *c, uint32_t number)
{
    struct nat_guest **place = place_of(c, number);

    if (!place)
        return 0;
    nat_guest_free(*place);
    *place = NULL;
    return 0;
}

static int forward(struct net *n, bool add, struct nat_wire_forward *w, struct vz_error *err)
{
    const struct net_forward f = {.udp = w->udp,
                                  .host = nat_wire_get(w->host, sizeof(w->host)),
                                  .host_port = w->host_port,
                                  .guest = nat_wire_get(w->guest, sizeof(w->guest)),
                                  .guest_port = w->guest_port};

    if (!n)
        return -ENOENT;
    return add ? net_nat_forward_add(n, &f, err) : net_nat_forward_remove(n, &f, err);
}

static int get_flows(struct net *n, struct nat_flows *ret, struct vz_error *err)
{
    const struct state_desc *desc;

    if (!n)
        return -ENOENT;
    *ret = *(const struct nat_flows *)net_state(n, &desc);
    return 0;
}

static int set_flows(struct net *n, struct nat_flows *flows, struct vz_error *err)
{
    const struct state_desc *desc;
    struct nat_flows *own;

    if (!n)
        return -ENOENT;
    nat_flows_tidy(flows);
    own = net_state(n, &desc);
    *own = *flows;
    return desc->loaded(own, err);
}

static bool is_whole(const struct nat_question *q, size_t len)
{
    static const size_t want[] = {[NAT_OP_START] = 0,
                                  [NAT_OP_LOCK] = offsetof(struct nat_question, u),
                                  [NAT_OP_CREATE] = NAT_QUESTION_LEN(options),
                                  [NAT_OP_DESTROY] = offsetof(struct nat_question, u),
                                  [NAT_OP_FORWARD_ADD] = NAT_QUESTION_LEN(forward),
                                  [NAT_OP_FORWARD_REMOVE] = NAT_QUESTION_LEN(forward),
                                  [NAT_OP_FLOWS_GET] = offsetof(struct nat_question, u),
                                  [NAT_OP_FLOWS_SET] = NAT_QUESTION_LEN(flows)};

    return len >= offsetof(struct nat_question, u) && q->op < ARRAY_SIZE(want) && len == want[q->op];
}

static int carry_out(struct nat_child *c, struct nat_question *q, int fd, struct vz_error *err)
{
    switch (q->op) {
    case NAT_OP_LOCK: return nat_child_lock(c);
    case NAT_OP_CREATE: return create(c, &q->u.options, fd, err);
    case NAT_OP_DESTROY: return destroy(c, q->number);
    case NAT_OP_FORWARD_ADD: return forward(net_of(c, q->number, err), true, &q->u.forward, err);
    case NAT_OP_FORWARD_REMOVE: return forward(net_of(c, q->number, err), false, &q->u.forward, err);
    case NAT_OP_FLOWS_GET: return get_flows(net_of(c, q->number, err), &q->u.flows, err);
    case NAT_OP_FLOWS_SET: return set_flows(net_of(c, q->number, err), &q->u.flows, err);
    default: return -EINVAL;
    }
}

size_t nat_orders_carry_out(struct nat_child *c, struct nat_question *q, size_t len, int fd, struct child_answer *ret)
{
    struct vz_error err = {.code = VZ_ERROR_INTERNAL,
                           .text = "the process of the NAT does not understand, or was refused"};
    uint32_t op = len >= sizeof(q->op) ? q->op : 0;
    bool whole = is_whole(q, len);

    if (fd >= 0 && (!whole || op != NAT_OP_CREATE)) {
        close(fd);
        fd = -1;
    }
    *ret = (struct child_answer){.result = whole ? carry_out(c, q, fd, &err) : -EINVAL, .code = (uint32_t)err.code};
    memcpy(ret->text, err.text, sizeof(ret->text));
    return ret->result >= 0 && op == NAT_OP_FLOWS_GET ? sizeof(q->u.flows) : 0;
}
