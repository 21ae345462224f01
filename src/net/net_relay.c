/* SPDX-License-Identifier: MIT */
#include "net/net_relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"

/* One socket, and what was read from it and not yet written to the other. */
struct end {
    struct net_relay *relay;
    int fd;
    struct loop_fd *watch;
    uint8_t *buffer; /* NET_RELAY_BUFFER; taken from head on until all is gone */
    size_t head, used;
    bool eof;        /* it has no more bytes */
    bool passed_on;  /* and the other was told */
};

struct net_relay {
    struct net_relays *set;
    LIST_ENTRY(net_relay) link;
    struct end end[2];
};

static struct end *other(struct end *e)
{
    return &e->relay->end[e == &e->relay->end[0]];
}

static void relay_free(struct net_relay *r)
{
    for (unsigned i = 0; i < 2; i++) {
        loop_fd_remove(r->end[i].watch);
        close(r->end[i].fd);
        free(r->end[i].buffer);
    }
    LIST_REMOVE(r, link);
    r->set->count--;
    free(r);
}

static bool is_for_now(int err)
{
    return err == EAGAIN || err == EINTR || err == ENOTCONN; /* the last: still connecting */
}

/* false: an error. */
static bool read_some(struct end *e)
{
    ssize_t n;

    if (e->eof || e->used)
        return true;
    n = recv(e->fd, e->buffer, NET_RELAY_BUFFER, MSG_DONTWAIT);
    if (n < 0)
        return is_for_now(errno);
    e->head = 0;
    e->used = (size_t)n;
    e->eof = !n;
    return true;
}

/* What e has for the other. false: an error. */
static bool write_some(struct end *e)
{
    ssize_t n = 0;

    if (e->used) {
        n = send(other(e)->fd, e->buffer + e->head, e->used, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return is_for_now(errno);
        e->head += (size_t)n;
        e->used -= (size_t)n;
    }
    if (e->eof && !e->used && !e->passed_on) {
        e->passed_on = true;
        shutdown(other(e)->fd, SHUT_WR);
    }
    return true;
}

static void watch_end(struct end *e)
{
    loop_fd_set(e->watch, (!e->eof && !e->used ? LOOP_READ : 0u) |
                              (other(e)->used ? LOOP_WRITE : 0u));
}

static void on_event(void *arg, unsigned events)
{
    struct end *e = arg;
    struct net_relay *r = e->relay;
    bool good = true;

    if (events & LOOP_READ)
        good = read_some(e) && write_some(e);
    if (good && (events & LOOP_WRITE))
        good = write_some(other(e));
    if (!good || (r->end[0].passed_on && r->end[1].passed_on)) {
        relay_free(r);
        return;
    }
    watch_end(&r->end[0]);
    watch_end(&r->end[1]);
}

static int end_init(struct net_relay *r, struct end *e)
{
    e->relay = r;
    e->buffer = malloc(NET_RELAY_BUFFER);
    if (!e->buffer)
        return -ENOMEM;
    return loop_fd_add(r->set->loop, e->fd, LOOP_READ, on_event, e, &e->watch);
}

int net_relays_join(struct net_relays *set, int a, int b)
{
    struct net_relay *r = set->count < NET_RELAYS_MAX ? calloc(1, sizeof(*r)) : NULL;
    int err;

    if (!r) {
        close(a);
        close(b);
        return set->count < NET_RELAYS_MAX ? -ENOMEM : -EMFILE;
    }
    r->set = set;
    r->end[0].fd = a;
    r->end[1].fd = b;
    LIST_INSERT_HEAD(&set->list, r, link);
    set->count++;
    err = end_init(r, &r->end[0]);
    if (!err)
        err = end_init(r, &r->end[1]);
    if (err < 0)
        relay_free(r);
    return err;
}

void net_relays_close(struct net_relays *set)
{
    while (!LIST_EMPTY(&set->list))
        relay_free(LIST_FIRST(&set->list));
}
