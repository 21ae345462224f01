/* SPDX-License-Identifier: MIT */
/* What all hosts' ends of sound have in common: the ring and the clock. See sound.h.
 *
 * The clock is a timer on the loop. When the loop itself is late, the clock is late with it: time is
 * lost, but not sound, since the guest could not have brought more in a moment in which nobody asked. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "loop/loop.h"
#include "sound/sound_backend.h"

#define LATE_MAX_NS (4 * SOUND_TICK_MAX_MS * NS_PER_MS)
#define STILL_NS    (200 * NS_PER_MS) /* a host that has not moved for so long stands still */
#define PIECE       4096u

const struct sound_caps *sound_caps(const struct sound *s)
{
    return &s->caps;
}

enum sound_direction sound_direction(const struct sound *s)
{
    return s->direction;
}

void sound_attach(struct sound *s, void (*moved)(void *arg), void *arg)
{
    s->moved = moved;
    s->moved_arg = arg;
}

/* --- the ring --- */

size_t sound_write(struct sound *s, const void *data, size_t len)
{
    return sound_ring_put(&s->ring, data, len);
}

size_t sound_read(struct sound *s, void *data, size_t len)
{
    return sound_ring_take(&s->ring, data, len);
}

size_t sound_ready(const struct sound *s)
{
    size_t used = sound_ring_used(&s->ring);

    return s->direction == SOUND_OUTPUT ? s->ring.size - used : used;
}

uint64_t sound_position(const struct sound *s)
{
    return s->direction == SOUND_OUTPUT ? s->ring.tail : s->ring.head;
}

uint32_t sound_latency(const struct sound *s)
{
    return s->ops->latency ? s->ops->latency(s) : 0;
}

void sound_take(struct sound *s, void *to, uint64_t frames)
{
    size_t len = frames * s->frame_bytes;
    size_t there = sound_ring_used(&s->ring) / s->frame_bytes * s->frame_bytes;
    size_t n = sound_ring_take(&s->ring, to, MIN(len, there));

    if (to)
        sound_silence(s->params.format, (uint8_t *)to + n, len - n);
}

void sound_give(struct sound *s, const void *data, uint64_t frames)
{
    uint8_t silence[PIECE];
    size_t room = (s->ring.size - sound_ring_used(&s->ring)) / s->frame_bytes;
    size_t len = MIN(frames, room) * s->frame_bytes;

    if (data) {
        sound_ring_put(&s->ring, data, len);
        return;
    }
    sound_silence(s->params.format, silence, sizeof(silence) / s->frame_bytes * s->frame_bytes);
    while (len)
        len -= sound_ring_put(&s->ring, silence,
                              MIN(len, sizeof(silence) / s->frame_bytes * s->frame_bytes));
}

/* --- the clock --- */

static uint64_t tick_ns(const struct sound *s)
{
    uint64_t bytes_per_s = (uint64_t)s->frame_bytes * sound_rate_hz(s->params.rate);
    uint64_t period = mul_div_u64(s->params.period_bytes, NS_PER_SEC, bytes_per_s);

    return MAX(MIN(period / 4, SOUND_TICK_MAX_MS * NS_PER_MS), NS_PER_MS);
}

static void restart_clock(struct sound *s, uint64_t now)
{
    s->since_ns = now;
    s->passed = 0;
}

static void set_clocked(struct sound *s, bool clocked)
{
    pthread_mutex_lock(&s->lock);
    s->clocked = clocked;
    pthread_mutex_unlock(&s->lock);
}

static void pass_time(struct sound *s, uint64_t now)
{
    uint32_t hz = sound_rate_hz(s->params.rate);
    uint64_t due = mul_div_u64(now - s->since_ns, hz, NS_PER_SEC) - s->passed;
    uint64_t most = mul_div_u64(LATE_MAX_NS, hz, NS_PER_SEC);

    s->ops->pass(s, MIN(due, most));
    s->passed += due;
}

/* Does the host move, or must the clock? */
static void look_after(struct sound *s, uint64_t now)
{
    bool moved = atomic_exchange(&s->host_moved, false);

    if (moved && s->clocked)
        set_clocked(s, false);
    else if (!moved && !s->clocked && now - s->since_ns >= STILL_NS)
        set_clocked(s, true);
    else if (!moved)
        return;
    restart_clock(s, now);
}

static void on_tick(void *arg)
{
    struct sound *s = arg;
    uint64_t now = clock_mono_ns();

    if (!s->running)
        return;
    look_after(s, now);
    if (s->clocked)
        pass_time(s, now);
    if (s->moved)
        s->moved(s->moved_arg);
    if (s->running)
        loop_timer_arm(s->timer, now + tick_ns(s));
}

/* --- from prepare to destroy --- */

void *sound_backend_new(const struct sound_ops *ops, size_t size, struct loop *loop,
                        enum sound_direction direction, struct vz_error *err)
{
    struct sound *s = calloc(1, size);

    if (!s || pthread_mutex_init(&s->lock, NULL) || loop_timer_create(loop, on_tick, s, &s->timer) < 0) {
        free(s);
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    s->ops = ops;
    s->loop = loop;
    s->direction = direction;
    s->clocked = true;
    s->caps = (struct sound_caps){.formats = sound_all_formats(), .rates = SOUND_ALL_RATES,
                                  .channels_min = 1, .channels_max = SOUND_CHANNELS_MAX};
    return s;
}

static int set_params(struct sound *s, const struct sound_params *params)
{
    uint64_t bytes_per_s = (uint64_t)sound_frame_bytes(params) * sound_rate_hz(params->rate);
    int r;

    pthread_mutex_lock(&s->lock);
    r = sound_ring_resize(&s->ring, bytes_per_s * SOUND_AHEAD_MS / 1000);
    if (!r) {
        s->params = *params;
        s->frame_bytes = sound_frame_bytes(params);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

int sound_prepare(struct sound *s, const struct sound_params *params)
{
    int r = set_params(s, params);

    return !r && s->ops->prepare ? s->ops->prepare(s) : r;
}

static void set_running(struct sound *s, bool running)
{
    pthread_mutex_lock(&s->lock);
    s->running = running;
    pthread_mutex_unlock(&s->lock);
}

int sound_start(struct sound *s)
{
    int r = s->ops->start ? s->ops->start(s) : 0;

    if (r < 0)
        return r;
    set_running(s, true);
    atomic_store(&s->host_moved, false);
    restart_clock(s, clock_mono_ns());
    loop_timer_arm(s->timer, s->since_ns + tick_ns(s));
    return 0;
}

void sound_stop(struct sound *s)
{
    if (!s->running)
        return;
    set_running(s, false);
    loop_timer_disarm(s->timer);
    if (s->ops->stop)
        s->ops->stop(s);
}

void sound_flush(struct sound *s)
{
    pthread_mutex_lock(&s->lock);
    sound_ring_empty(&s->ring);
    pthread_mutex_unlock(&s->lock);
}

void sound_destroy(struct sound *s)
{
    if (!s)
        return;
    sound_stop(s);
    if (s->ops->close)
        s->ops->close(s);
    loop_timer_destroy(s->timer);
    sound_ring_fini(&s->ring);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
