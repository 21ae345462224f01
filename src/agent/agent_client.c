/* SPDX-License-Identifier: MIT */
#include "agent/agent_client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/le.h"

char *agent_printable(char *text)
{
    for (char *p = text; p && *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    return text;
}

/* ---- Under the lock ------------------------------------------------------------------------- */

static void wake_locked(struct agent_channel *c)
{
    uint64_t one = 1;

    if (c->wake_fd >= 0)
        (void)!write(c->wake_fd, &one, sizeof(one));
    pthread_cond_broadcast(&c->agent->changed);
}

static void die_locked(struct vz_agent *a, const char *why)
{
    if (a->dead)
        return;
    a->dead = true;
    snprintf(a->why, sizeof(a->why), "%s", why);
    for (struct agent_channel *c = a->channels; c; c = c->next) {
        c->ended = true;
        wake_locked(c);
    }
    pthread_cond_broadcast(&a->changed);
}

static void die(struct vz_agent *a, const char *why)
{
    pthread_mutex_lock(&a->lock);
    die_locked(a, why);
    pthread_mutex_unlock(&a->lock);
}

static void free_channel(struct agent_channel *c)
{
    for (unsigned i = 0; i < AGENT_STREAMS; i++)
        agent_bytes_fini(&c->in[i].bytes);
    agent_bytes_fini(&c->end);
    free(c);
}

static void unlink_locked(struct agent_channel *c)
{
    struct agent_channel **at = &c->agent->channels;

    while (*at && *at != c)
        at = &(*at)->next;
    if (*at)
        *at = c->next;
}

static struct agent_channel *find_locked(struct vz_agent *a, uint32_t id)
{
    struct agent_channel *c = a->channels;

    while (c && c->id != id)
        c = c->next;
    return c;
}

/* False with errno: not in time (abs_ns of CLOCK_MONOTONIC). */
static bool wait_locked(struct vz_agent *a, uint64_t until_ns)
{
    struct timespec t = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};

    if (until_ns == AGENT_FOREVER)
        return pthread_cond_wait(&a->changed, &a->lock) == 0;
    return pthread_cond_timedwait(&a->changed, &a->lock, &t) != ETIMEDOUT;
}

static uint64_t until(uint64_t timeout_ms)
{
    return timeout_ms == AGENT_FOREVER ? timeout_ms
                                       : clock_mono_ns() + MIN(timeout_ms, UINT64_C(1) << 40) * 1000000;
}

/* ---- What the agent sends ------------------------------------------------------------------- */

static const char *on_hello(struct vz_agent *a, const struct agent_frame *f)
{
    char *name = agent_get_text(f->data, f->len, AGENT_F_NAME);
    bool is_ours = name && !strcmp(name, AGENT_NAME) && agent_fields_sound(f->data, f->len);

    free(name);
    if (!is_ours || a->has_hello || f->channel)
        return "it is no agent that answers there";
    if (agent_get_number(f->data, f->len, AGENT_F_VERSION, 0) < 1)
        return "the agent speaks no version of the protocol that is known here";
    a->version = agent_printable(agent_get_text(f->data, f->len, AGENT_F_TEXT));
    a->features = agent_get_texts(f->data, f->len, AGENT_F_FEATURE, &a->feature_count);
    a->has_hello = true;
    pthread_cond_broadcast(&a->changed);
    return NULL;
}

static const char *on_data(struct agent_channel *c, const struct agent_frame *f)
{
    struct agent_stream *s = &c->in[f->stream];

    if (s->eof || c->ended)
        return "the agent sends behind a stream's end";
    if (f->len > c->agent->window - s->bytes.len - s->owed)
        return "the agent sends more than it may";
    if (c->abandoned || s->refused)
        return NULL;
    if (!agent_bytes_append(&s->bytes, f->data, f->len))
        return "out of memory";
    wake_locked(c);
    return NULL;
}

static const char *on_end(struct agent_channel *c, const struct agent_frame *f)
{
    if (!agent_fields_sound(f->data, f->len) || !agent_bytes_append(&c->end, f->data, f->len))
        return "the agent sends a damaged result";
    c->ended = c->answered = true;
    unlink_locked(c); /* its number is free; who opened it frees it */
    c->next = NULL;
    wake_locked(c);
    if (c->abandoned)
        free_channel(c);
    return NULL;
}

/* NULL: all is well. */
static const char *on_frame_locked(struct vz_agent *a, const struct agent_frame *f)
{
    struct agent_channel *c;

    if (f->type == AGENT_HELLO)
        return on_hello(a, f);
    if (!a->has_hello)
        return "it is no agent that answers there";
    c = find_locked(a, f->channel);
    if (f->type == AGENT_END && !f->channel)
        return "the agent ended the connection";
    if (!c)
        return f->type > AGENT_CLOSE ? NULL : "the agent sends on a channel that is not open";
    switch (f->type) {
    case AGENT_DATA: return on_data(c, f);
    case AGENT_END: return on_end(c, f);
    case AGENT_EOF:
        if (f->stream)
            c->in[f->stream].eof = true;
        else
            c->refused = true;
        break;
    case AGENT_CREDIT:
        if (f->len != 4 || f->stream || c->credit + load_le32(f->data) > a->window)
            return "the agent gives credit that there cannot be";
        c->credit += load_le32(f->data);
        break;
    default: break; /* of a later version, and so of no meaning to what we asked for */
    }
    wake_locked(c);
    return NULL;
}

bool agent_client_input(struct vz_agent *a, struct agent_bytes *in)
{
    struct agent_frame f;
    const char *why = NULL;
    int r;

    pthread_mutex_lock(&a->lock);
    while (!why && (r = agent_frame_next(in, &f)) != 0) {
        why = r < 0 ? "it is no agent that answers there" : on_frame_locked(a, &f);
        if (r > 0)
            agent_frame_drop(in, &f);
    }
    if (why)
        die_locked(a, why);
    pthread_mutex_unlock(&a->lock);
    return !why;
}

static ssize_t read_some(struct vz_agent *a, struct agent_bytes *in)
{
    struct pollfd p[2] = {{.fd = a->fd, .events = POLLIN}, {.fd = a->stop_fd, .events = POLLIN}};
    uint8_t *to = agent_bytes_reserve(in, 65536);
    ssize_t n;

    if (!to)
        return -ENOMEM;
    if (poll(p, 2, -1) < 0)
        return -errno;
    if (p[1].revents)
        return 0;
    n = read(a->fd, to, 65536);
    if (n > 0)
        agent_bytes_added(in, (size_t)n);
    return n < 0 ? -errno : n;
}

void *agent_reader_main(void *arg)
{
    struct vz_agent *a = arg;
    struct agent_bytes in = {NULL};
    bool good = true;

    while (good) {
        ssize_t n = read_some(a, &in);

        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n <= 0)
            break;
        good = agent_client_input(a, &in);
    }
    if (good)
        die(a, "the connection is closed: the agent, its guest or its machine ended");
    agent_bytes_fini(&in);
    return NULL;
}

/* ---- What we send --------------------------------------------------------------------------- */

static int send_bytes(struct vz_agent *a, const uint8_t *p, size_t len)
{
    while (len) {
        struct pollfd w[2] = {{.fd = a->fd, .events = POLLOUT}, {.fd = a->stop_fd, .events = POLLIN}};
        ssize_t n = write(a->fd, p, len);

        if (n < 0 && errno == EAGAIN) {
            (void)!poll(w, 2, -1);
            if (w[1].revents)
                return -EPIPE;
        } else if (n < 0 && errno != EINTR) {
            return -EPIPE;
        } else if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* SIGPIPE must not end a program whose guest went away: write(2) to a closed socket sends it to the
 * thread, which blocks it and takes it back. */
static int send_quietly(struct vz_agent *a, const struct agent_bytes *b)
{
    static const struct timespec now = {0};
    sigset_t pipe, old, pending;
    int r;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &old);
    r = send_bytes(a, agent_bytes_front(b), b->len);
    if (r && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

/* A whole frame. 0, or -EPIPE, -ENOMEM. */
static int send_frame(struct vz_agent *a, uint8_t type, uint8_t stream, uint32_t channel,
                      const void *data, size_t len)
{
    struct agent_bytes b = {NULL};
    int r = -ENOMEM;

    if (agent_frame_append(&b, type, stream, channel, data, len)) {
        pthread_mutex_lock(&a->send_lock);
        r = send_quietly(a, &b);
        pthread_mutex_unlock(&a->send_lock);
    }
    agent_bytes_fini(&b);
    return r;
}

int agent_say_hello(struct vz_agent *a, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};
    int r = -ENOMEM;

    agent_put_text(&f, AGENT_F_NAME, AGENT_NAME);
    agent_put_number(&f, AGENT_F_VERSION, AGENT_VERSION);
    agent_put_text(&f, AGENT_F_TEXT, VZ_VERSION);
    if (!f.failed)
        r = send_frame(a, AGENT_HELLO, 0, 0, agent_bytes_front(&f.b), f.b.len);
    agent_fields_fini(&f);
    return r ? error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_NETWORK,
                         "agent: %s", r == -ENOMEM ? "out of memory" : "the connection is closed") : 0;
}

void agent_free_channels(struct vz_agent *a)
{
    while (a->channels) {
        struct agent_channel *c = a->channels;

        a->channels = c->next;
        free_channel(c);
    }
}

/* ---- Channels ------------------------------------------------------------------------------- */

static int lost(struct vz_agent *a, struct vz_error *err)
{
    return error_set(err, EPIPE, VZ_ERROR_NETWORK, "agent: %s", a->why);
}

static struct agent_channel *add_channel(struct vz_agent *a, int wake_fd)
{
    struct agent_channel *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->agent = a;
    c->wake_fd = wake_fd;
    pthread_mutex_lock(&a->lock);
    do {
        c->id = ++a->next_id;
    } while (!c->id || find_locked(a, c->id));
    c->credit = a->window;
    c->ended = a->dead;
    c->next = a->channels;
    a->channels = c;
    pthread_mutex_unlock(&a->lock);
    return c;
}

int agent_open(struct vz_agent *a, struct agent_fields *f, int wake_fd, struct agent_channel **ret,
               struct vz_error *err)
{
    struct agent_channel *c = f->failed || f->b.len > AGENT_FRAME_MAX ? NULL : add_channel(a, wake_fd);
    bool dead = c && c->ended;
    int r = 0;

    if (f->b.len > AGENT_FRAME_MAX)
        r = error_set(err, E2BIG, VZ_ERROR_INVALID, "agent: the request is longer than 1 MiB");
    else if (!c)
        r = error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    else if (dead || send_frame(a, AGENT_REQUEST, 0, c->id, agent_bytes_front(&f->b), f->b.len)) {
        die(a, "the connection is closed: the agent, its guest or its machine ended");
        r = lost(a, err);
        agent_close(c);
    }
    agent_fields_fini(f);
    if (!r)
        *ret = c;
    return r;
}

void agent_close(struct agent_channel *c)
{
    struct vz_agent *a = c ? c->agent : NULL;
    uint32_t id;
    bool ended;

    if (!c)
        return;
    pthread_mutex_lock(&a->lock);
    ended = c->ended;
    id = c->id;
    c->wake_fd = -1;
    c->abandoned = true;
    if (ended) {
        unlink_locked(c);
        free_channel(c);
    }
    pthread_mutex_unlock(&a->lock);
    if (!ended)
        (void)!send_frame(a, AGENT_CLOSE, 0, id, NULL, 0);
}

ssize_t agent_receive(struct agent_channel *c, unsigned stream, void *to, size_t len, bool wait)
{
    struct agent_stream *s = &c->in[stream];
    struct vz_agent *a = c->agent;
    uint32_t owed = 0;
    size_t n;
    bool over;

    pthread_mutex_lock(&a->lock);
    while (wait && !s->bytes.len && !s->eof && !c->ended)
        wait_locked(a, AGENT_FOREVER);
    n = agent_bytes_take(&s->bytes, to, len);
    s->owed += (uint32_t)n;
    if (s->owed >= a->window / 2 && !s->eof && !c->ended) {
        owed = s->owed;
        s->owed = 0;
    }
    over = s->eof || c->ended;
    pthread_mutex_unlock(&a->lock);
    if (owed) {
        uint8_t data[4];

        store_le32(data, owed);
        (void)!send_frame(a, AGENT_CREDIT, (uint8_t)stream, c->id, data, sizeof(data));
    }
    return n ? (ssize_t)n : over ? 0 : -EAGAIN;
}

void agent_refuse(struct agent_channel *c, unsigned stream)
{
    bool tell;

    pthread_mutex_lock(&c->agent->lock);
    tell = !c->ended && !c->in[stream].eof && !c->in[stream].refused;
    c->in[stream].refused = true;
    agent_bytes_fini(&c->in[stream].bytes);
    c->in[stream].owed = 0;
    pthread_mutex_unlock(&c->agent->lock);
    if (tell)
        (void)!send_frame(c->agent, AGENT_EOF, (uint8_t)stream, c->id, NULL, 0);
}

ssize_t agent_credit(struct agent_channel *c)
{
    ssize_t r;

    pthread_mutex_lock(&c->agent->lock);
    r = c->ended || c->refused ? -EPIPE : (ssize_t)c->credit;
    pthread_mutex_unlock(&c->agent->lock);
    return r;
}

/* How many bytes may go now, taken from the credit; -EPIPE. */
static ssize_t take_credit(struct agent_channel *c, size_t len)
{
    ssize_t n = -EPIPE;

    pthread_mutex_lock(&c->agent->lock);
    while (!c->credit && !c->ended && !c->refused)
        wait_locked(c->agent, AGENT_FOREVER);
    if (!c->ended && !c->refused) {
        n = (ssize_t)MIN(MIN((uint64_t)len, c->credit), (uint64_t)AGENT_DATA_MAX);
        c->credit -= (uint64_t)n;
    }
    pthread_mutex_unlock(&c->agent->lock);
    return n;
}

int agent_send(struct agent_channel *c, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len) {
        ssize_t n = take_credit(c, len);
        int r = n < 0 ? (int)n : send_frame(c->agent, AGENT_DATA, 0, c->id, p, (size_t)n);

        if (r)
            return r;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

void agent_refuse_input(struct agent_channel *c)
{
    pthread_mutex_lock(&c->agent->lock);
    c->refused = true;
    wake_locked(c);
    pthread_mutex_unlock(&c->agent->lock);
}

void agent_send_eof(struct agent_channel *c)
{
    if (!agent_has_ended(c))
        (void)!send_frame(c->agent, AGENT_EOF, 0, c->id, NULL, 0);
}

int agent_control(struct agent_channel *c, struct agent_fields *f, struct vz_error *err)
{
    int r = f->failed ? -ENOMEM : 0;

    if (!r && !agent_has_ended(c))
        r = send_frame(c->agent, AGENT_CONTROL, 0, c->id, agent_bytes_front(&f->b), f->b.len);
    agent_fields_fini(f);
    return r < 0 ? lost(c->agent, err) : 0;
}

bool agent_has_ended(struct agent_channel *c)
{
    bool ended;

    pthread_mutex_lock(&c->agent->lock);
    ended = c->ended;
    pthread_mutex_unlock(&c->agent->lock);
    return ended;
}

int agent_wait_end(struct agent_channel *c, uint64_t timeout_ms, struct vz_error *err)
{
    struct vz_agent *a = c->agent;
    uint64_t at = until(timeout_ms);
    int r = 0;

    pthread_mutex_lock(&a->lock);
    while (!c->ended && wait_locked(a, at))
        continue;
    if (!c->ended)
        r = error_set(err, ETIMEDOUT, VZ_ERROR_NETWORK, "agent: no answer within %llu s",
                      (unsigned long long)(timeout_ms + 999) / 1000);
    else if (!c->answered)
        r = lost(a, err);
    pthread_mutex_unlock(&a->lock);
    return r;
}

int agent_end_result(const struct agent_channel *c, const char *what, struct vz_error *err)
{
    const uint8_t *data = agent_bytes_front(&c->end);
    uint64_t e = agent_get_number(data, c->end.len, AGENT_F_ERROR, 0);
    char *text;

    if (!e)
        return 0;
    e = e < 4096 ? e : EIO;
    text = agent_printable(agent_get_text(data, c->end.len, AGENT_F_TEXT));
    error_set(err, (int)e, e == ENOSYS ? VZ_ERROR_UNSUPPORTED : VZ_ERROR_GUEST, "%s: %.200s", what,
              text && *text ? text : strerror((int)e));
    free(text);
    return -(int)e;
}

int agent_call(struct vz_agent *a, const char *what, struct agent_fields *f, uint64_t timeout_ms,
               struct agent_bytes *ret, struct vz_error *err)
{
    struct agent_channel *c;
    int r;

    agent_put_text(f, AGENT_F_NAME, what);
    r = agent_open(a, f, -1, &c, err);
    if (r)
        return r;
    r = agent_wait_end(c, timeout_ms, err);
    if (!r)
        r = agent_end_result(c, what, err);
    if (!r && ret) {
        *ret = c->end;
        c->end = (struct agent_bytes){NULL};
    }
    agent_close(c);
    return r;
}
