/* SPDX-License-Identifier: MIT */
#include "machine/events.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

int events_init(struct events *e, bool with_fd)
{
    *e = (struct events){.fd = -1};
    if (with_fd) {
        e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (e->fd < 0)
            return -errno;
    }
    e->last = &e->first;
    pthread_mutex_init(&e->lock, NULL);
    return 0;
}

void events_fini(struct events *e)
{
    if (e->fd >= 0)
        close(e->fd);
    pthread_mutex_destroy(&e->lock);
}

static bool push(struct events *e, struct event *event, unsigned max)
{
    bool room;

    pthread_mutex_lock(&e->lock);
    room = e->waiting < max;
    if (room) {
        event->next = NULL;
        *e->last = event;
        e->last = &event->next;
        e->waiting++;
        if (e->fd >= 0)
            eventfd_write(e->fd, 1);
    }
    pthread_mutex_unlock(&e->lock);
    return room;
}

void events_push(struct events *e, struct event *event)
{
    (void)push(e, event, UINT_MAX);
}

bool events_push_guest(struct events *e, struct event *event)
{
    return push(e, event, EVENTS_GUEST_MAX);
}

static struct event *pop(struct events *e)
{
    struct event *event;
    eventfd_t ignored;

    pthread_mutex_lock(&e->lock);
    event = e->first;
    if (event) {
        e->first = event->next;
        e->waiting--;
        if (!e->first)
            e->last = &e->first;
    }
    if (!e->first && e->fd >= 0)
        eventfd_read(e->fd, &ignored);
    pthread_mutex_unlock(&e->lock);
    return event;
}

unsigned events_deliver(struct events *e, void *machine, unsigned max)
{
    struct event *event;
    unsigned count = 0;

    while (count < max && (event = pop(e))) {
        event->fn(event, machine);
        count++;
    }
    return count;
}
