/* SPDX-License-Identifier: MIT */
/* <vz/agent.h>: the connection, and requests that are answered at once. */
#include <vz/agent.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent_client.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "config/object.h"

#define FREEZE_MAX_MS 300000u

_Static_assert(VZ_AGENT_PORT == AGENT_PORT, "one port");

/* ---- The connection ------------------------------------------------------------------------- */

static int start_reader(struct vz_agent *a)
{
    int r = -thread_start(&a->thread, THREAD_TALK, "vz-agent", agent_reader_main, a);

    a->has_thread = !r;
    return r;
}

static int wait_hello(struct vz_agent *a, struct vz_error *err)
{
    struct timespec t;
    uint64_t at = clock_mono_ns() + a->timeout_ms * 1000000;
    bool good, dead;

    t = (struct timespec){(time_t)(at / 1000000000), (long)(at % 1000000000)};
    pthread_mutex_lock(&a->lock);
    while (!a->has_hello && !a->dead && pthread_cond_timedwait(&a->changed, &a->lock, &t) == 0)
        continue;
    good = a->has_hello;
    dead = a->dead;
    pthread_mutex_unlock(&a->lock);
    if (good)
        return 0;
    return error_set(err, EPROTO, VZ_ERROR_NETWORK, "agent: %s",
                     dead ? a->why : "it does not say hello");
}

static struct vz_agent *agent_new(int fd)
{
    struct vz_agent *a = calloc(1, sizeof(*a));
    pthread_condattr_t attr;

    if (!a)
        return NULL;
    a->fd = fd;
    a->window = AGENT_WINDOW;
    a->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_mutex_init(&a->send_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attr);
    pthread_condattr_destroy(&attr);
    return a;
}

struct vz_agent *vz_agent_new(int fd, const struct vz_agent_options *options, struct vz_error *err)
{
    struct vz_agent_options o = VZ_AGENT_OPTIONS_INIT;
    struct vz_agent *a = NULL;

    if (options && options_copy(&o, sizeof(o), options, err) < 0) {
        close(fd);
        return NULL;
    }
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        error_set(err, errno, VZ_ERROR_INVALID, "agent: the connection: %s", strerror(errno));
        close(fd);
        return NULL;
    }
    a = agent_new(fd);
    if (a)
        a->timeout_ms = MIN(o.timeout_ms, UINT64_C(1) << 40);
    if (!a || a->stop_fd < 0 || start_reader(a)) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "agent: out of memory, descriptors or threads");
        if (!a)
            close(fd);
    } else if (agent_say_hello(a, err) == 0 && wait_hello(a, err) == 0) {
        return a;
    }
    vz_agent_free(a);
    return NULL;
}

void vz_agent_free(struct vz_agent *a)
{
    uint64_t one = 1;

    if (!a)
        return;
    if (a->stop_fd >= 0)
        (void)!write(a->stop_fd, &one, sizeof(one));
    if (a->has_thread)
        pthread_join(a->thread, NULL);
    close(a->fd);
    if (a->stop_fd >= 0)
        close(a->stop_fd);
    agent_free_channels(a);
    free(a->version);
    free(a->features);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    pthread_mutex_destroy(&a->send_lock);
    free(a);
}

const char *vz_agent_version(const struct vz_agent *a)
{
    return a && a->version ? a->version : "";
}

bool vz_agent_has(const struct vz_agent *a, const char *feature)
{
    for (size_t i = 0; a && feature && a->features && i < a->feature_count; i++) {
        if (!strcmp(a->features[i], feature))
            return true;
    }
    return false;
}

/* ---- Requests ------------------------------------------------------------------------------- */

/* A request with nothing to say but its fields. -1 or 0. */
static int call(struct vz_agent *a, const char *what, struct agent_fields *f, uint64_t timeout_ms,
                struct agent_bytes *ret, struct vz_error *err)
{
    if (!options_given(a, "agent", err)) {
        agent_fields_fini(f);
        return -1;
    }
    return agent_call(a, what, f, timeout_ms ? timeout_ms : a->timeout_ms, ret, err) < 0 ? -1 : 0;
}

int vz_agent_ping(struct vz_agent *a, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    return call(a, "ping", &f, 0, NULL, err);
}

int vz_agent_sync(struct vz_agent *a, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    return call(a, "sync", &f, AGENT_FOREVER, NULL, err);
}

int vz_agent_mount(struct vz_agent *a, const char *tag, const char *path, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    if (!options_given(tag, "tag", err) || !options_given(path, "path", err))
        return -1;
    agent_put_text(&f, AGENT_F_ARG, tag);
    agent_put_text(&f, AGENT_F_PATH, path);
    return call(a, "mount", &f, 0, NULL, err);
}

int vz_agent_register_foreign_binaries(struct vz_agent *a, const char *path, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    if (!options_given(path, "path", err))
        return -1;
    agent_put_text(&f, AGENT_F_PATH, path);
    return call(a, "foreign", &f, 0, NULL, err);
}

int vz_agent_wait_booted(struct vz_agent *a, uint64_t timeout_ms, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    return call(a, "booted", &f, timeout_ms ? timeout_ms : AGENT_FOREVER, NULL, err);
}

/* Told as late as possible: what the guest is late by is the way there. */
int vz_agent_set_clock(struct vz_agent *a, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    agent_put_number(&f, AGENT_F_TIME_NS, clock_real_ns());
    return call(a, "clock", &f, 0, NULL, err);
}

int vz_agent_shut_down(struct vz_agent *a, bool reboot, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    agent_put_number(&f, AGENT_F_FLAGS, reboot ? AGENT_REBOOT : 0);
    return call(a, "power", &f, 0, NULL, err);
}

int vz_agent_new_identity(struct vz_agent *a, const struct vz_agent_identity_options *options,
                          struct vz_error *err)
{
    struct vz_agent_identity_options o = VZ_AGENT_IDENTITY_OPTIONS_INIT;
    struct agent_fields f = {.failed = false};
    uint8_t seed[64];

    if (options && options_copy(&o, sizeof(o), options, err) < 0)
        return -1;
    if (getrandom(seed, sizeof(seed), 0) == sizeof(seed))
        agent_put(&f, AGENT_F_SEED, seed, sizeof(seed));
    agent_put_text(&f, AGENT_F_HOSTNAME, o.hostname);
    agent_put_text(&f, AGENT_F_MACS, o.mac_addresses);
    agent_put_number(&f, AGENT_F_FLAGS, (o.machine_id ? AGENT_MACHINE_ID : 0u) |
                     (o.host_keys ? AGENT_HOST_KEYS : 0u) | (o.network ? AGENT_NETWORK : 0u));
    return call(a, "identity", &f, 120000, NULL, err);
}

/* ---- Status --------------------------------------------------------------------------------- */

static void copy_text(const struct agent_bytes *b, uint16_t key, char *to, size_t room)
{
    char *text = agent_printable(agent_get_text(agent_bytes_front(b), b->len, key));

    snprintf(to, room, "%s", text ? text : "");
    free(text);
}

static void tell_facts(const struct agent_bytes *b, uint16_t key, enum vz_agent_fact kind,
                       vz_agent_fact_fn *fn, void *arg)
{
    size_t count = 0;
    char **list = agent_get_texts(agent_bytes_front(b), b->len, key, &count);

    for (size_t i = 0; list && i < count; i++)
        fn(arg, kind, agent_printable(list[i]));
    free(list);
}

static uint64_t number(const struct agent_bytes *b, uint16_t key)
{
    return agent_get_number(agent_bytes_front(b), b->len, key, 0);
}

int vz_agent_status(struct vz_agent *a, struct vz_agent_status *ret, vz_agent_fact_fn *fn,
                    void *arg, struct vz_error *err)
{
    struct vz_agent_status s = VZ_AGENT_STATUS_INIT;
    struct agent_fields f = {.failed = false};
    struct agent_bytes b = {NULL};

    if (!options_given(ret, "result", err) || call(a, "status", &f, 0, &b, err) < 0)
        return -1;
    copy_text(&b, AGENT_F_HOSTNAME, s.hostname, sizeof(s.hostname));
    copy_text(&b, AGENT_F_SYSTEM, s.system, sizeof(s.system));
    copy_text(&b, AGENT_F_KERNEL, s.kernel, sizeof(s.kernel));
    s.uptime_ms = number(&b, AGENT_F_UPTIME_NS) / 1000000;
    s.memory = number(&b, AGENT_F_MEMORY);
    s.available = number(&b, AGENT_F_AVAILABLE);
    s.load = (double)number(&b, AGENT_F_LOAD) / 100;
    if (fn) {
        tell_facts(&b, AGENT_F_ADDRESS, VZ_AGENT_ADDRESS, fn, arg);
        tell_facts(&b, AGENT_F_LISTENS, VZ_AGENT_LISTENS, fn, arg);
    }
    agent_bytes_fini(&b);
    return options_return(ret, ret->size, &s, sizeof(s), err) < 0 ? -1 : 0;
}

/* ---- Freeze --------------------------------------------------------------------------------- */

/* The agent says on stream 1 how many there are when all stand still; it goes on when stream 0 ends. */
static int wait_frozen(struct vz_agent *a, struct agent_channel *c, unsigned *ret_count,
                       struct vz_error *err)
{
    uint8_t data[64];
    size_t len = 0;
    ssize_t n;

    while (len < 16 && (n = agent_receive(c, 1, data + len, sizeof(data) - len, true)) > 0)
        len += (size_t)n;
    if (len >= 16) {
        if (ret_count)
            *ret_count = (unsigned)agent_get_number(data, len, AGENT_F_COUNT, 0);
        return 0;
    }
    n = agent_wait_end(c, a->timeout_ms, err);
    if (!n)
        n = agent_end_result(c, "freeze", err);
    return n ? (int)n : error_set(err, EIO, VZ_ERROR_GUEST, "freeze: it ended at once");
}

int vz_agent_freeze(struct vz_agent *a, uint64_t timeout_ms, unsigned *ret_count,
                    struct vz_error *err)
{
    struct agent_fields f = {.failed = false};
    struct agent_channel *c = NULL;
    int r;

    if (!options_given(a, "agent", err))
        return -1;
    if (a->frozen || !timeout_ms || timeout_ms > FREEZE_MAX_MS) {
        error_set(err, EINVAL, a->frozen ? VZ_ERROR_INVALID_STATE : VZ_ERROR_INVALID,
                  a->frozen ? "freeze: the guest is frozen already" : "freeze: 1 to 300000 ms");
        return -1;
    }
    agent_put_text(&f, AGENT_F_NAME, "freeze");
    agent_put_number(&f, AGENT_F_TIMEOUT_MS, timeout_ms);
    r = agent_open(a, &f, -1, &c, err);
    if (r)
        return -1;
    r = wait_frozen(a, c, ret_count, err);
    if (!r)
        a->frozen = c;
    else
        agent_close(c);
    return r < 0 ? -1 : 0;
}

int vz_agent_thaw(struct vz_agent *a, struct vz_error *err)
{
    struct agent_channel *c;
    int r;

    if (!options_given(a, "agent", err))
        return -1;
    c = a->frozen;
    a->frozen = NULL;
    if (!c) {
        error_set(err, EINVAL, VZ_ERROR_INVALID_STATE, "thaw: the guest is not frozen");
        return -1;
    }
    agent_send_eof(c);
    r = agent_wait_end(c, a->timeout_ms, err);
    if (!r)
        r = agent_end_result(c, "thaw", err);
    agent_close(c);
    return r < 0 ? -1 : 0;
}
