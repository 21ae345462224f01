/* SPDX-License-Identifier: MIT */
/* Sockets of a machine: listeners, which outlive its runs, and connections to the guest. */
#include <vz/runtime.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "config/socket_connection.h"
#include "device/device_kinds.h"
#include "machine/machine_impl.h"
#include "virtio/vsock.h"

/* NULL: the machine has none. */
static struct virtio_dev *device(const struct vz_machine *m)
{
    const struct device_slot *s = device_slots_find_kind(m->parts.slots, &vsock_kind);

    return s ? s->model : NULL;
}

static int no_device(struct vz_error *err)
{
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no socket device");
    return -1;
}

/* ---- Listeners ------------------------------------------------------------------------------ */

/* Under the machine's lock, but for what is constant. In the list until the machine's thread has
 * taken it out, since the device points to it. */
struct machine_listener {
    LIST_ENTRY(machine_listener) link;
    struct vz_machine *machine;
    uint32_t port;
    vz_socket_accept_fn *fn;
    void *arg;
    unsigned refs;   /* of the list, and of offers under way */
    bool removed;    /* by the program */
    bool registered; /* with the device; only the machine's thread changes it */
};

/* A guest's connection on its way to the program. */
struct offer {
    struct event event;
    struct machine_listener *listener;
    struct vz_socket_connection *connection;
    uint32_t host_port, guest_port;
    uint64_t id;
    bool accepted;
};

static void listener_unref(struct machine_listener *l)
{
    struct vz_machine *m = l->machine;
    bool last;

    pthread_mutex_lock(&m->lock);
    last = --l->refs == 0;
    pthread_mutex_unlock(&m->lock);
    if (last)
        free(l);
}

static int answer(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct offer *o = arg;

    vsock_answer(device(m), o->host_port, o->guest_port, o->id, o->accepted);
    return 0;
}

static void call_offer(struct event *e, void *machine)
{
    struct offer *o = container_of(e, struct offer, event);
    struct machine_listener *l = o->listener;
    struct vz_machine *m = machine;
    vz_socket_accept_fn *fn;
    void *arg;

    pthread_mutex_lock(&m->lock);
    fn = l->removed ? NULL : l->fn;
    arg = l->arg;
    pthread_mutex_unlock(&m->lock);
    o->accepted = fn && fn(arg, m, o->connection);
    machine_call(m, answer, o, NULL); /* not live: the connection is gone already */
    vz_socket_connection_unref(o->connection);
    listener_unref(l);
    free(o);
}

static void refuse_offer(struct vz_machine *m, struct vz_socket_connection *c, uint32_t host_port,
                         uint32_t guest_port, uint64_t id)
{
    vz_socket_connection_unref(c);
    vsock_answer(device(m), host_port, guest_port, id, false);
}

/* The device has a connection for a listener. */
static void on_offered(void *arg, int fd, uint32_t host_port, uint32_t guest_port, uint64_t id)
{
    struct machine_listener *l = arg;
    struct vz_machine *m = l->machine;
    struct vz_socket_connection *c = socket_connection_new(fd, guest_port, host_port);
    struct offer *o = c ? malloc(sizeof(*o)) : NULL;

    if (!o) {
        refuse_offer(m, c, host_port, guest_port, id);
        return;
    }
    *o = (struct offer){.event.fn = call_offer, .listener = l, .connection = c,
                        .host_port = host_port, .guest_port = guest_port, .id = id};
    pthread_mutex_lock(&m->lock);
    l->refs++;
    pthread_mutex_unlock(&m->lock);
    if (events_push_guest(&m->events, &o->event)) {
        machine_wake(m);
        return;
    }
    listener_unref(l);
    free(o);
    refuse_offer(m, c, host_port, guest_port, id);
}

static struct machine_listener *find_locked(struct vz_machine *m, uint32_t port)
{
    struct machine_listener *l;

    LIST_FOREACH(l, &m->listeners, link) {
        if (l->port == port)
            return l;
    }
    return NULL;
}

/* What the device does not know of yet: taken out of the list, or noted as registered. */
static struct machine_listener *next_change(struct vz_machine *m, bool *ret_removed)
{
    struct machine_listener *l;

    pthread_mutex_lock(&m->lock);
    LIST_FOREACH(l, &m->listeners, link) {
        if (l->removed || !l->registered)
            break;
    }
    *ret_removed = l && l->removed;
    if (*ret_removed)
        LIST_REMOVE(l, link);
    else if (l)
        l->registered = true;
    pthread_mutex_unlock(&m->lock);
    return l;
}

void machine_apply_listeners(struct vz_machine *m)
{
    struct machine_listener *l;
    bool removed;

    while (device(m) && (l = next_change(m, &removed))) {
        int r = 0;

        if (!removed)
            r = vsock_listen_deferred(device(m), l->port, on_offered, l);
        else if (l->registered)
            vsock_unlisten(device(m), l->port);
        if (r < 0)
            log_warn("port %u: %s", l->port, strerror(-r));
        if (removed)
            listener_unref(l);
    }
}

void machine_forget_listeners(struct vz_machine *m)
{
    struct machine_listener *l;

    pthread_mutex_lock(&m->lock);
    LIST_FOREACH(l, &m->listeners, link)
        l->registered = false;
    pthread_mutex_unlock(&m->lock);
}

static int apply(struct vz_machine *m, void *arg, struct vz_error *err)
{
    machine_apply_listeners(m);
    return 0;
}

static bool is_forwarded(const struct vz_config *c, uint32_t port)
{
    const struct vz_socket_device *d = config_socket(c);

    for (unsigned i = 0; i < d->forward_count; i++) {
        if (!d->forward[i].to_guest && d->forward[i].port == port)
            return true;
    }
    return false;
}

static void add_listener(struct vz_machine *m, struct machine_listener *new)
{
    struct machine_listener *l;

    pthread_mutex_lock(&m->lock);
    l = find_locked(m, new->port);
    if (l) {
        l->fn = new->fn;
        l->arg = new->arg;
        l->removed = false;
        free(new);
    } else {
        LIST_INSERT_HEAD(&m->listeners, new, link);
    }
    pthread_mutex_unlock(&m->lock);
    machine_call(m, apply, NULL, NULL); /* not live: at the next start */
}

int vz_machine_socket_listen(struct vz_machine *m, uint32_t port, vz_socket_accept_fn *fn,
                             void *arg, struct vz_error *err)
{
    struct machine_listener *l;

    if (!options_given(m, "machine", err) || !options_given(fn, "function", err))
        return -1;
    if (!config_socket(m->config))
        return no_device(err);
    if (port == UINT32_MAX || is_forwarded(m->config, port)) {
        error_set(err, 0, VZ_ERROR_INVALID, "port %u %s", port,
                  port == UINT32_MAX ? "is none" : "is forwarded already");
        return -1;
    }
    l = calloc(1, sizeof(*l));
    if (!l) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return -1;
    }
    *l = (struct machine_listener){.machine = m, .port = port, .fn = fn, .arg = arg, .refs = 1};
    add_listener(m, l);
    return 0;
}

void vz_machine_socket_unlisten(struct vz_machine *m, uint32_t port)
{
    struct machine_listener *l;

    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    l = find_locked(m, port);
    if (l)
        l->removed = true;
    pthread_mutex_unlock(&m->lock);
    machine_call(m, apply, NULL, NULL); /* not live: at the next start */
}

void machine_free_listeners(struct vz_machine *m)
{
    while (!LIST_EMPTY(&m->listeners)) {
        struct machine_listener *l = LIST_FIRST(&m->listeners);

        LIST_REMOVE(l, link);
        free(l);
    }
}

/* ---- Connections to the guest --------------------------------------------------------------- */

struct connect_op {
    struct event event;
    struct vz_machine *machine;
    uint32_t host_port, guest_port;
    vz_socket_connected_fn *fn;
    void *arg;
    bool direct; /* of the waiting form: completed by the machine's thread itself */
    struct vz_socket_connection *connection; /* NULL: failed */
    struct vz_error err;
};

static void call_connected(struct event *e, void *machine)
{
    struct connect_op *op = container_of(e, struct connect_op, event);

    op->fn(op->arg, machine, op->connection, op->connection ? NULL : &op->err);
    vz_socket_connection_unref(op->connection);
    free(op);
}

static void complete(struct connect_op *op)
{
    op->event.fn = call_connected;
    machine_complete(op->machine, &op->event, op->direct);
}

static void on_connected(void *arg, int err, int fd)
{
    struct connect_op *op = arg;

    if (!err)
        op->connection = socket_connection_new(fd, op->host_port, op->guest_port);
    if (err == -ECONNREFUSED)
        error_set(&op->err, 0, VZ_ERROR_NETWORK, "the guest refuses a connection to port %u",
                  op->guest_port);
    else if (err)
        error_set(&op->err, 0, VZ_ERROR_NETWORK, "the guest went away");
    else if (!op->connection)
        error_set(&op->err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
    complete(op);
}

static int begin_connect(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct connect_op *op = arg;
    int r = vsock_connect(device(m), op->guest_port, on_connected, op);

    if (r == -ENOTCONN)
        error_set(err, 0, VZ_ERROR_INVALID_STATE, "the guest has no socket driver running");
    else if (r < 0)
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "no connection to the guest: %s", strerror(-r));
    else
        op->host_port = vsock_last_port(device(m));
    return r;
}

static int connect_guest(struct vz_machine *m, const struct connect_op *what)
{
    struct connect_op *op = m && what->fn ? malloc(sizeof(*op)) : NULL;
    int r = -1;

    if (!op)
        return -1;
    *op = *what;
    op->machine = m;
    if (!config_socket(m->config))
        no_device(&op->err);
    else
        r = machine_call(m, begin_connect, op, &op->err);
    if (r < 0)
        complete(op);
    return 0;
}

int vz_machine_socket_connect(struct vz_machine *m, uint32_t port, vz_socket_connected_fn *fn,
                              void *arg)
{
    return connect_guest(m, &(struct connect_op){.guest_port = port, .fn = fn, .arg = arg});
}

struct connect_wait {
    struct waiter waiter;
    struct vz_socket_connection *connection;
};

static void connect_done(void *arg, struct vz_machine *m, struct vz_socket_connection *connection,
                         const struct vz_error *err)
{
    struct connect_wait *w = arg;

    w->connection = vz_socket_connection_ref(connection);
    waiter_done(&w->waiter, err);
}

struct vz_socket_connection *
vz_machine_socket_connect_wait(struct vz_machine *m, uint32_t port, struct vz_error *err)
{
    struct connect_wait w = {.waiter = WAITER_INIT};
    const struct connect_op op = {.guest_port = port, .fn = connect_done, .arg = &w, .direct = true};

    if (!options_given(m, "machine", err) || !machine_can_wait(m, err))
        return NULL;
    if (connect_guest(m, &op) < 0) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    return waiter_wait(&w.waiter, err) < 0 ? NULL : w.connection;
}
