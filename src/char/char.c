/* SPDX-License-Identifier: MIT */
/* The buffer between a UART and the host, the same for every backend: see char.h. */
#include "char/char.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "char/char_backend.h"
#include "loop/loop.h"

static void flush_work(void *arg);
static void input_work(void *arg);

int char_backend_init(struct char_dev *c, const struct char_ops *ops, struct loop *loop)
{
    c->ops = ops;
    c->loop = loop;
    c->trace = trace_mask();
    c->flush_work = (struct loop_work){.fn = flush_work, .arg = c};
    c->input_work = (struct loop_work){.fn = input_work, .arg = c};
    return -pthread_mutex_init(&c->lock, NULL);
}

void char_attach(struct char_dev *c, const struct char_client *client, void *arg)
{
    c->client = client;
    c->client_arg = arg;
    if (client)
        char_accept_input(c);
    else if (c->ops->want_input)
        c->ops->want_input(c, false);
}

void char_account(struct char_dev *c, const char *name, _Atomic unsigned *lost)
{
    if (name) {
        free(c->name);
        c->name = strdup(name); /* without memory the kind of it will do */
    }
    c->lost = lost;
}

void char_count(struct char_dev *c, struct char_stats *sum)
{
    c->sum = sum;
}

void char_stats_tell(const struct char_stats *s, stats_fn *fn, void *arg)
{
#define TELL_(name) STATS_TELL_IN("char", name)
    CHAR_COUNTERS(TELL_)
#undef TELL_
}

static void count_lost(struct char_dev *c)
{
    if (c->lost)
        atomic_fetch_add(c->lost, 1);
}

/* Write one contiguous piece of the buffer. Only this side removes bytes, so they stay where they
 * are while the lock is not held. Returns whether there may be more to do at once. */
static bool flush_some(struct char_dev *c)
{
    size_t head, len;
    ssize_t n;

    pthread_mutex_lock(&c->lock);
    head = c->head;
    len = MIN(c->used, CHAR_BUFFER_SIZE - head);
    pthread_mutex_unlock(&c->lock);
    if (!len)
        return false;
    n = c->ops->write(c, c->buffer + head, len);
    if (n == -EAGAIN)
        return false;
    if (n < 0) {
        log_error("serial output to %s failed, further output is dropped: %s",
                  c->name ? c->name : c->ops->name, strerror((int)-n));
        count_lost(c);
    }
    pthread_mutex_lock(&c->lock);
    if (n < 0) {
        c->dead = true;
        c->used = 0;
    } else {
        c->head = (c->head + (size_t)n) % CHAR_BUFFER_SIZE;
        c->used -= (size_t)n;
    }
    pthread_mutex_unlock(&c->lock);
    return true;
}

static void flush(struct char_dev *c)
{
    bool call = false;

    while (flush_some(c))
        ;
    pthread_mutex_lock(&c->lock);
    if (c->starved && c->used <= CHAR_BUFFER_SIZE / 2) {
        c->starved = false;
        call = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (call && c->client)
        c->client->writable(c->client_arg);
}

static void flush_work(void *arg)
{
    flush(arg);
}

void char_backend_writable(struct char_dev *c)
{
    flush(c);
}

/* Into the ring; the lock is held. */
static size_t put_locked(struct char_dev *c, const uint8_t *data, size_t len)
{
    size_t tail = (c->head + c->used) % CHAR_BUFFER_SIZE, first;

    len = MIN(len, CHAR_BUFFER_SIZE - c->used);
    first = MIN(len, CHAR_BUFFER_SIZE - tail);
    memcpy(c->buffer + tail, data, first);
    memcpy(c->buffer, data + first, len - first);
    c->used += len;
    return len;
}

size_t char_write(struct char_dev *c, const void *data, size_t len)
{
    size_t taken = len;

    pthread_mutex_lock(&c->lock);
    if (!c->dead) {
        taken = put_locked(c, data, len);
        if (taken < len)
            c->starved = true;
        if (c->used)
            loop_work_queue(c->loop, &c->flush_work);
    }
    pthread_mutex_unlock(&c->lock);
    STATS_ADD(c->sum, bytes_from_guest, taken);
    TRACE(c->trace, char, c->ops->name, c, "from the guest %zu of %zu", taken, len);
    return taken;
}

static void input_work(void *arg)
{
    struct char_dev *c = arg;

    c->ops->want_input(c, char_backend_room(c) > 0);
}

void char_accept_input(struct char_dev *c)
{
    if (c->ops->want_input)
        loop_work_queue(c->loop, &c->input_work);
}

size_t char_backend_room(struct char_dev *c)
{
    return c->client ? c->client->room(c->client_arg) : 0;
}

void char_backend_receive(struct char_dev *c, const uint8_t *data, size_t len)
{
    STATS_ADD(c->sum, bytes_to_guest, len);
    TRACE(c->trace, char, c->ops->name, c, "to the guest %zu", len);
    if (c->client)
        c->client->receive(c->client_arg, data, len);
}

void char_backend_opened(struct char_dev *c, bool open)
{
    TRACE(c->trace, char, c->ops->name, c, "peer %s", open ? "came" : "went");
    c->no_peer = !open;
    if (c->client && c->client->opened)
        c->client->opened(c->client_arg, open);
}

const char *char_path(const struct char_dev *c)
{
    return c->path;
}

bool char_is_open(const struct char_dev *c)
{
    return !c->no_peer;
}

void char_guest_opened(struct char_dev *c, bool open)
{
    if (!c->ops->guest_opened)
        return;
    flush(c);
    c->ops->guest_opened(c, open);
}

int char_drain(struct char_dev *c, int timeout_ms)
{
    for (;;) {
        while (flush_some(c))
            ;
        if (!c->used)
            return 0;
        if (c->ops->wait(c, timeout_ms) < 0) {
            count_lost(c);
            return -ETIMEDOUT;
        }
    }
}

void char_destroy(struct char_dev *c)
{
    if (!c)
        return;
    if (c->ops->close)
        c->ops->close(c);
    loop_work_cancel(c->loop, &c->flush_work);
    loop_work_cancel(c->loop, &c->input_work);
    pthread_mutex_destroy(&c->lock);
    free(c->name);
    free(c);
}
