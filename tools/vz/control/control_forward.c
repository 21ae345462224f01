/* SPDX-License-Identifier: MIT */
/* forward, unforward, auto-forward, guest-ports: which ports of the host lead to the guest. The NAT
 * of the card stays, and so do connections. */
#include "control/control.h"

#include <stdlib.h>
#include <string.h>

#include <vz/runtime.h>

#include "control/guest_ports.h"
#include "failure.h"

#define FORWARDS_MAX 1024u
#define LOOPBACK     "127.0.0.1"
#define PORT_FIRST   1024 /* those below are for who administers the host */

/* ---- The forwards of a card ----------------------------------------------------------------- */

struct forwards {
    unsigned device;
    struct vz_network_attachment *attachment; /* what it has now; a reference */
    struct vz_port_forward list[FORWARDS_MAX + 1];
    unsigned count;
};

/* The first card behind NAT. NULL and err. */
static struct forwards *forwards_of(struct vz_machine *m, struct vz_error *err)
{
    struct forwards *f = calloc(1, sizeof(*f));
    struct vz_guest_address address = VZ_GUEST_ADDRESS_INIT;
    const struct vz_port_forward *p;
    struct vz_error why = {.code = VZ_ERROR_NONE};

    for (; f && vz_machine_guest_address(m, f->device, &address, &why) < 0; f->device++) {
        if (why.code == VZ_ERROR_UNSUPPORTED)
            continue;
        if (why.code == VZ_ERROR_DEVICE_NOT_FOUND)
            fail(&why, why.code, "the machine has no network card behind NAT");
        *err = why;
        free(f);
        return NULL;
    }
    if (!f) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    f->attachment = vz_machine_network_attachment(m, f->device);
    while (f->count < FORWARDS_MAX && (p = vz_nat_attachment_forward(f->attachment, f->count)))
        f->list[f->count++] = *p;
    return f;
}

static void free_forwards(struct forwards *f)
{
    if (f)
        vz_network_attachment_unref(f->attachment);
    free(f);
}

static const char *host_of(const struct vz_port_forward *f)
{
    return f->host ? f->host : LOOPBACK;
}

static bool listens_there(const struct vz_port_forward *a, const struct vz_port_forward *b)
{
    return a->udp == b->udp && a->host_port == b->host_port && !strcmp(host_of(a), host_of(b));
}

static struct vz_port_forward *find(struct forwards *f, const struct vz_port_forward *like)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (listens_there(&f->list[i], like))
            return &f->list[i];
    }
    return NULL;
}

/* Have the card forward what is in the list. False and err: all is as before. */
static bool apply(struct vz_machine *m, const struct forwards *f, struct vz_error *err)
{
    struct vz_network_attachment *a =
        vz_nat_attachment_with_forwards(f->attachment, f->list, f->count, err);
    bool ok = a && vz_machine_set_network_attachment(m, f->device, a, err) == 0;

    vz_network_attachment_unref(a);
    return ok;
}

static bool add(struct vz_machine *m, const struct vz_port_forward *new, struct vz_error *err)
{
    struct forwards *f = forwards_of(m, err);
    bool ok = f;

    if (f && find(f, new))
        ok = fail_false(err, VZ_ERROR_INVALID, "port %u of %s is forwarded already", new->host_port,
                        host_of(new));
    else if (f && f->count == FORWARDS_MAX)
        ok =
            fail_false(err, VZ_ERROR_LIMIT_EXCEEDED, "there are %u forwards already", FORWARDS_MAX);
    if (ok) {
        f->list[f->count++] = *new;
        ok = apply(m, f, err);
    }
    free_forwards(f);
    return ok;
}

static bool take_away(struct vz_machine *m, const struct vz_port_forward *old, struct vz_error *err)
{
    struct forwards *f = forwards_of(m, err);
    struct vz_port_forward *p = f ? find(f, old) : NULL;
    bool ok = p;

    if (f && !p)
        fail(err, VZ_ERROR_INVALID, "port %u of %s is not forwarded", old->host_port, host_of(old));
    if (p) {
        *p = f->list[--f->count];
        ok = apply(m, f, err);
    }
    free_forwards(f);
    return ok;
}

/* ---- What the guest opens ------------------------------------------------------------------- */

static struct vz_port_forward automatic(uint16_t port)
{
    struct vz_port_forward f = VZ_PORT_FORWARD_INIT;

    f.host_port = f.guest_port = port;
    return f;
}

static bool is_in(json_t *ports, uint16_t port)
{
    json_t *item;
    size_t i;

    json_array_foreach(ports, i, item)
    {
        if (json_integer_value(item) == port)
            return true;
    }
    return false;
}

bool guest_ports_has(const struct guest_ports *g, uint16_t port)
{
    for (unsigned i = 0; i < g->count; i++) {
        if (g->port[i] == port)
            return true;
    }
    return false;
}

/* Have exactly these. A port that is the host's already, or somebody else's, is left alone. */
static void follow(struct vz_machine *m, struct guest_ports *g, json_t *ports)
{
    struct vz_port_forward f;
    struct vz_error err;
    json_t *item;
    size_t i;

    for (unsigned k = g->count; k-- > 0;) {
        f = automatic(g->port[k]);
        if (is_in(ports, f.host_port))
            continue;
        (void)take_away(m, &f, &err); /* gone by hand */
        g->port[k] = g->port[--g->count];
    }
    json_array_foreach(ports, i, item)
    {
        json_int_t port = json_integer_value(item);

        if (port < PORT_FIRST || port > UINT16_MAX || g->count == GUEST_PORTS_MAX ||
            guest_ports_has(g, (uint16_t)port))
            continue;
        f = automatic((uint16_t)port);
        if (add(m, &f, &err))
            g->port[g->count++] = (uint16_t)port;
    }
}

/* ---- Methods -------------------------------------------------------------------------------- */

/* False after an answer. */
static bool read_forward(struct control_call *call, json_t *params, bool has_guest,
                         struct vz_port_forward *ret)
{
    const char *protocol = "tcp";
    uint64_t host_port = 0, guest_port = 0;

    *ret = (struct vz_port_forward)VZ_PORT_FORWARD_INIT;
    if (!call_param_string(call, params, "protocol", &protocol) ||
        !call_param_string(call, params, "host", &ret->host) ||
        !call_param_number(call, params, "hostPort", 1, UINT16_MAX, &host_port) ||
        !call_param_number(call, params, "guestPort", 1, UINT16_MAX, &guest_port))
        return false;
    ret->udp = !strcmp(protocol, "udp");
    ret->host_port = (uint16_t)host_port;
    ret->guest_port = (uint16_t)guest_port;
    if (!ret->udp && strcmp(protocol, "tcp"))
        call_fail_text(call, VZ_ERROR_INVALID, "protocol: expected tcp or udp");
    else if (!host_port || (has_guest && !guest_port))
        call_fail_text(call, VZ_ERROR_INVALID, "%s: which?", host_port ? "guestPort" : "hostPort");
    else
        return true;
    return false;
}

static void finish(struct control_call *call, bool ok, const struct vz_error *err)
{
    if (ok)
        call_reply(call, NULL);
    else
        call_fail(call, err);
}

void method_forward(struct control_call *call, json_t *params)
{
    struct vz_port_forward f;
    struct vz_error err = {.code = VZ_ERROR_NONE};

    if (read_forward(call, params, true, &f))
        finish(call, add(call_machine(call), &f, &err), &err);
}

void method_unforward(struct control_call *call, json_t *params)
{
    struct vz_port_forward f;
    struct vz_error err = {.code = VZ_ERROR_NONE};

    if (read_forward(call, params, false, &f))
        finish(call, take_away(call_machine(call), &f, &err), &err);
}

void method_auto_forward(struct control_call *call, json_t *params)
{
    struct guest_ports *g = control_guest_ports(call_control(call));
    bool on = true;

    if (!call_param_bool(call, params, "on", &on))
        return;
    control_watch_ports(call_control(call), on);
    g->on = on;
    if (!on)
        follow(call_machine(call), g, NULL);
    call_reply(call, NULL);
}

void method_guest_ports(struct control_call *call, json_t *params)
{
    struct guest_ports *g = control_guest_ports(call_control(call));

    if (g->on) /* not switched off since it was asked */
        follow(call_machine(call), g, json_object_get(params, "ports"));
    call_reply(call, NULL);
}
