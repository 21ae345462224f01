/* SPDX-License-Identifier: MIT */
/* A machine's completions and events: how each reaches the program. */
#include <stdlib.h>

#include "base/log.h"
#include "device/agent_line.h"
#include "machine/machine_impl.h"

#define EVENTS_TURN 256u

void machine_deliver(struct vz_machine *m)
{
    if (!m->use_events_fd && events_deliver(&m->events, m, EVENTS_TURN) == EVENTS_TURN)
        machine_wake(m); /* again, but others first: a guest can make events without end */
}

/* ---- Completions ---------------------------------------------------------------------------- */

void machine_complete(struct vz_machine *m, struct event *e, bool direct)
{
    if (direct) {
        e->fn(e, m);
        return;
    }
    events_push(&m->events, e);
    machine_wake(m);
}

static void call_done(struct event *e, void *machine)
{
    struct machine_op *op = container_of(e, struct machine_op, event);

    if (op->fn)
        op->fn(op->arg, machine, op->failed ? &op->err : NULL);
    machine_file_free(op->file);
    free(op);
}

void machine_op_complete(struct vz_machine *m, struct machine_op *op, const struct vz_error *err)
{
    if (!op)
        return;
    op->failed = err != NULL;
    if (err)
        op->err = *err;
    if (op->direct) {
        call_done(&op->event, m);
        return;
    }
    op->event.fn = call_done;
    events_push(&m->events, &op->event);
}

/* ---- Events --------------------------------------------------------------------------------- */

struct notice {
    struct event event;
    enum vz_machine_state state;
    struct vz_machine_end end;
    unsigned device, port;
    bool open, crash_kernel;
    struct vz_error err;
    struct vz_guest_address address;
    char uuid[VZ_USB_UUID_TEXT_MAX];
};

static void push_notice(struct vz_machine *m, const struct notice *what, bool by_guest)
{
    struct notice *n = malloc(sizeof(*n));

    if (!n) {
        log_warn("an event of the machine is lost: out of memory");
        return;
    }
    *n = *what;
    if (!by_guest) {
        events_push(&m->events, &n->event);
    } else if (!events_push_guest(&m->events, &n->event)) {
        log_once(LOG_WARN, "events of a machine are lost: its program does not take them");
        free(n);
    }
}

static void call_state(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    m->delegate.state_changed(m->delegate_arg, m, n->state);
    free(n);
}

void machine_tell_state(struct vz_machine *m, enum vz_machine_state state)
{
    if (m->delegate.state_changed)
        push_notice(m, &(struct notice){.event.fn = call_state, .state = state}, false);
}

static void call_end(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    if (machine_end_is_error(n->end.reason))
        m->delegate.did_stop_with_error(m->delegate_arg, m, &n->end);
    else
        m->delegate.guest_did_stop(m->delegate_arg, m, &n->end);
    free(n);
}

void machine_tell_end(struct vz_machine *m, const struct vz_machine_end *end)
{
    bool wanted = machine_end_is_error(end->reason) ? m->delegate.did_stop_with_error != NULL
                                                    : m->delegate.guest_did_stop != NULL;

    if (wanted && end->reason != VZ_END_STOPPED)
        push_notice(m, &(struct notice){.event.fn = call_end, .end = *end}, false);
}

static void call_panic(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    m->delegate.guest_panicked(m->delegate_arg, m, n->crash_kernel);
    free(n);
}

void machine_tell_panic(struct vz_machine *m, bool crash_kernel)
{
    if (m->delegate.guest_panicked)
        push_notice(m, &(struct notice){.event.fn = call_panic, .crash_kernel = crash_kernel},
                    true);
}

static void call_port(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    (n->open ? m->delegate.console_port_opened
             : m->delegate.console_port_closed)(m->delegate_arg, m, n->device, n->port);
    free(n);
}

static void call_lost(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    m->delegate.network_disconnected(m->delegate_arg, m, n->device, &n->err);
    free(n);
}

static void call_address(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    m->delegate.guest_address_changed(m->delegate_arg, m, n->device, &n->address);
    free(n);
}

static void call_disk_connected(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    m->delegate.disk_connected(m->delegate_arg, m, n->device);
    free(n);
}

static void call_disk_error(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    m->delegate.disk_error(m->delegate_arg, m, n->device, &n->err);
    free(n);
}

static void call_display(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    (n->open ? m->delegate.display_reconfiguration_ended
             : m->delegate.display_reconfiguration_began)(m->delegate_arg, m, n->device, n->port);
    free(n);
}

static void call_usb(struct event *e, void *machine)
{
    struct notice *n = container_of(e, struct notice, event);
    struct vz_machine *m = machine;

    m->delegate.usb_device_disconnected(m->delegate_arg, m, n->uuid);
    free(n);
}

void machine_tell_device(void *arg, const struct device_slot *s, const struct device_event *e)
{
    struct vz_machine *m = arg;
    const struct vz_machine_delegate *d = &m->delegate;
    struct notice n = {.device = s->index, .port = e->part, .open = e->open};
    bool wanted = false;

    switch (e->what) {
    case DEVICE_PORT_OPENED:
        n.event.fn = call_port;
        wanted = e->open ? d->console_port_opened : d->console_port_closed;
        break;
    case DEVICE_NETWORK_LOST:
        n.event.fn = call_lost;
        n.err = *e->err;
        wanted = d->network_disconnected;
        break;
    case DEVICE_DISK_CONNECTED:
        n.event.fn = call_disk_connected;
        wanted = d->disk_connected;
        break;
    case DEVICE_DISK_ERROR:
        n.event.fn = call_disk_error;
        n.err = *e->err;
        wanted = d->disk_error;
        break;
    case DEVICE_DISPLAY_CHANGING:
        n.event.fn = call_display;
        wanted = e->open ? d->display_reconfiguration_ended : d->display_reconfiguration_began;
        break;
    case DEVICE_USB_LOST:
        n.event.fn = call_usb;
        machine_lose_usb(m, s, n.uuid);
        wanted = d->usb_device_disconnected;
        break;
    case DEVICE_AGENT:
        machine_tell_clipboard(m, e->agent);
        break;
    case DEVICE_GUEST_ADDRESS:
        n.event.fn = call_address;
        n.address = *e->address;
        wanted = d->guest_address_changed;
        break;
    }
    if (wanted)
        push_notice(m, &n, true);
    machine_wake(m);
}
