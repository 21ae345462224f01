/* SPDX-License-Identifier: MIT */
/* Sound to and from the user's PipeWire. Its main loop is turned inside ours, so all of it runs on the loop
 * thread but the exchange of samples, which is done in its data thread: a busy machine is not heard.
 *
 * A server that goes away, or has nothing to play on, leaves the guest with the clock of sound_core.c. */
#include <errno.h>
#include <pthread.h>
#include <spa/param/audio/format-utils.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/loop.h"
#include "sound/pipewire_library.h"
#include "sound/pipewire_lock.h"
#include "sound/sound_backend.h"

#define QUANTUM_MIN 64u /* frames; what is asked for, the server decides */
#define QUANTUM_MAX 8192u

struct sound_server {
    struct loop *loop;
    struct loop_fd *watch; /* NULL: the server is gone */
    struct pw_loop *pw_loop;
    struct pw_context *context;
    struct pw_core *core;
    struct spa_hook listener;
    char name[128];
};

struct pipewire {
    struct sound s;
    struct sound_server *server;
    struct pw_stream *stream; /* NULL: none; made for these: */
    struct sound_params made_for;
    struct spa_hook listener;
};

static struct pipewire *to_pipewire(const struct sound *s)
{
    return (struct pipewire *)((const char *)s - offsetof(struct pipewire, s));
}

/* Formats that its converter takes. */
static const uint32_t spa_formats[SOUND_FORMATS] = {
    [VIRTIO_SND_PCM_FMT_MU_LAW] = SPA_AUDIO_FORMAT_ULAW,
    [VIRTIO_SND_PCM_FMT_A_LAW] = SPA_AUDIO_FORMAT_ALAW,
    [VIRTIO_SND_PCM_FMT_S8] = SPA_AUDIO_FORMAT_S8,
    [VIRTIO_SND_PCM_FMT_U8] = SPA_AUDIO_FORMAT_U8,
    [VIRTIO_SND_PCM_FMT_S16] = SPA_AUDIO_FORMAT_S16_LE,
    [VIRTIO_SND_PCM_FMT_U16] = SPA_AUDIO_FORMAT_U16_LE,
    [VIRTIO_SND_PCM_FMT_S24_3] = SPA_AUDIO_FORMAT_S24_LE,
    [VIRTIO_SND_PCM_FMT_U24_3] = SPA_AUDIO_FORMAT_U24_LE,
    [VIRTIO_SND_PCM_FMT_S24] = SPA_AUDIO_FORMAT_S24_32_LE,
    [VIRTIO_SND_PCM_FMT_U24] = SPA_AUDIO_FORMAT_U24_32_LE,
    [VIRTIO_SND_PCM_FMT_S32] = SPA_AUDIO_FORMAT_S32_LE,
    [VIRTIO_SND_PCM_FMT_U32] = SPA_AUDIO_FORMAT_U32_LE,
    [VIRTIO_SND_PCM_FMT_FLOAT] = SPA_AUDIO_FORMAT_F32_LE,
    [VIRTIO_SND_PCM_FMT_FLOAT64] = SPA_AUDIO_FORMAT_F64_LE,
};

/* The channels of so many, in the order of the device's channel maps (virtio_sound_control.c). */
static const uint32_t positions[SOUND_CHANNELS_MAX][SOUND_CHANNELS_MAX] = {
#define C(name) SPA_AUDIO_CHANNEL_##name
    {C(MONO)},
    {C(FL), C(FR)},
    {C(FL), C(FR), C(LFE)},
    {C(FL), C(FR), C(RL), C(RR)},
    {C(FL), C(FR), C(RL), C(RR), C(FC)},
    {C(FL), C(FR), C(RL), C(RR), C(FC), C(LFE)},
    {C(FL), C(FR), C(RL), C(RR), C(FC), C(LFE), C(RC)},
    {C(FL), C(FR), C(RL), C(RR), C(FC), C(LFE), C(SL), C(SR)},
#undef C
};

/* --- the server --- */

static void on_loop(void *arg, unsigned events)
{
    struct sound_server *v = arg;

    pw_loop_enter(v->pw_loop);
    pw_loop_iterate(v->pw_loop, 0);
    pw_loop_leave(v->pw_loop);
}

static void on_core_error(void *arg, uint32_t id, int seq, int res, const char *message)
{
    struct sound_server *v = arg;

    if (id != PW_ID_CORE || res != -EPIPE || !v->watch)
        return;
    log_warn("sound: the sound server has gone away; the guest goes on without");
    loop_fd_remove(v->watch);
    v->watch = NULL;
}

static const struct pw_core_events core_events = {PW_VERSION_CORE_EVENTS, .error = on_core_error};

static int connect_server(struct sound_server *v, struct vz_error *err)
{
    int r;

    v->pw_loop = libpipewire.loop_new(NULL);
    v->context = v->pw_loop ? libpipewire.context_new(v->pw_loop, NULL, 0) : NULL;
    if (!v->context)
        return error_set(err, ENOMEM, VZ_ERROR_INTERNAL, "PipeWire: %s", strerror(errno));
    v->core = libpipewire.context_connect(v->context, NULL, 0);
    if (!v->core)
        return error_set(err, ECONNREFUSED, VZ_ERROR_IO, "there is no sound server (PipeWire): %s",
                         strerror(errno));
    pw_core_add_listener(v->core, &v->listener, &core_events, v);
    r = pipewire_lock(v->context, v->core, err);
    if (r < 0)
        return r;
    r = loop_fd_add(v->loop, pw_loop_get_fd(v->pw_loop), LOOP_READ, on_loop, v, &v->watch);
    return r < 0 ? error_set(err, -r, VZ_ERROR_INTERNAL, "PipeWire: %s", strerror(-r)) : 0;
}

int sound_server_connect(struct loop *loop, const char *name, struct sound_server **ret,
                         struct vz_error *err)
{
    struct sound_server *v;
    int r = pipewire_library_load(err);

    if (r < 0)
        return r;
    v = calloc(1, sizeof(*v));
    if (!v)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    v->loop = loop;
    snprintf(v->name, sizeof(v->name), "%s", name ? name : "vz");
    r = connect_server(v, err);
    if (r < 0) {
        sound_server_disconnect(v);
        return r;
    }
    *ret = v;
    return 0;
}

void sound_server_disconnect(struct sound_server *v)
{
    if (!v)
        return;
    loop_fd_remove(v->watch);
    if (v->core)
        libpipewire.core_disconnect(v->core);
    if (v->context)
        libpipewire.context_destroy(v->context);
    if (v->pw_loop)
        libpipewire.loop_destroy(v->pw_loop);
    free(v);
}

/* --- its buffers --- */

/* In the data thread. May it move samples now? Then unlock. The loop thread holds the lock for moments only. */
static bool enter(struct pipewire *p)
{
    atomic_store(&p->s.host_moved, true);
    if (pthread_mutex_trylock(&p->s.lock))
        return false;
    if (p->s.running && !p->s.clocked)
        return true;
    pthread_mutex_unlock(&p->s.lock);
    return false;
}

/* A buffer that is handed over is full always: what is in it from before would be heard again. */
static void fill(struct pipewire *p, struct pw_buffer *b)
{
    struct spa_data *d = &b->buffer->datas[0];
    unsigned frame = sound_frame_bytes(&p->made_for);
    uint64_t frames = d->data ? d->maxsize / frame : 0;

    if (b->requested)
        frames = MIN(frames, b->requested);
    if (d->data && enter(p)) {
        sound_take(&p->s, d->data, frames);
        pthread_mutex_unlock(&p->s.lock);
    } else if (d->data) {
        sound_silence(p->made_for.format, d->data, frames * frame);
    }
    d->chunk->offset = 0;
    d->chunk->stride = (int32_t)frame;
    d->chunk->size = (uint32_t)(frames * frame);
}

static void empty(struct pipewire *p, const struct pw_buffer *b)
{
    const struct spa_data *d = &b->buffer->datas[0];
    uint32_t offset = MIN(d->chunk->offset, d->maxsize);
    uint32_t len = MIN(d->chunk->size, d->maxsize - offset);

    if (!d->data || !enter(p))
        return;
    sound_give(&p->s, (const uint8_t *)d->data + offset, len / sound_frame_bytes(&p->made_for));
    pthread_mutex_unlock(&p->s.lock);
}

static void on_process(void *arg)
{
    struct pipewire *p = arg;
    struct pw_buffer *b = libpipewire.stream_dequeue_buffer(p->stream);

    if (!b)
        return;
    if (p->s.direction == SOUND_OUTPUT)
        fill(p, b);
    else
        empty(p, b);
    libpipewire.stream_queue_buffer(p->stream, b);
}

static const struct pw_stream_events stream_events = {PW_VERSION_STREAM_EVENTS, .process = on_process};

/* --- the stream --- */

static struct pw_properties *make_properties(const struct pipewire *p)
{
    bool output = p->s.direction == SOUND_OUTPUT;
    uint32_t frames = p->s.params.period_bytes / p->s.frame_bytes;
    struct pw_properties *props = libpipewire.properties_new(
        PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_MEDIA_CATEGORY, output ? "Playback" : "Capture",
        PW_KEY_APP_NAME, "vz", PW_KEY_NODE_NAME, p->server->name, PW_KEY_MEDIA_NAME,
        output ? "the guest's sound" : "sound for the guest", NULL);

    if (props)
        libpipewire.properties_setf(props, PW_KEY_NODE_LATENCY, "%u/%u",
                                    MAX(MIN(frames, QUANTUM_MAX), QUANTUM_MIN),
                                    sound_rate_hz(p->s.params.rate));
    return props;
}

static int connect_stream(struct pipewire *p)
{
    const struct sound_params *is = &p->s.params;
    uint8_t buffer[1024];
    struct spa_pod_builder b = SPA_POD_BUILDER_INIT(buffer, sizeof(buffer));
    struct spa_audio_info_raw info = {.format = spa_formats[is->format], .channels = is->channels,
                                      .rate = sound_rate_hz(is->rate)};
    const struct spa_pod *param;

    memcpy(info.position, positions[is->channels - 1], sizeof(positions[0]));
    param = spa_format_audio_raw_build(&b, SPA_PARAM_EnumFormat, &info);
    return libpipewire.stream_connect(
        p->stream, p->s.direction == SOUND_OUTPUT ? PW_DIRECTION_OUTPUT : PW_DIRECTION_INPUT, PW_ID_ANY,
        PW_STREAM_FLAG_AUTOCONNECT | PW_STREAM_FLAG_MAP_BUFFERS | PW_STREAM_FLAG_INACTIVE |
            PW_STREAM_FLAG_RT_PROCESS,
        &param, 1);
}

static void drop_stream(struct pipewire *p)
{
    if (p->stream)
        libpipewire.stream_destroy(p->stream);
    p->stream = NULL;
}

/* A stream has one format for its life. Without a server there is none, and the clock drives. */
static int pipewire_prepare(struct sound *s)
{
    struct pipewire *p = to_pipewire(s);

    if (p->stream && !memcmp(&p->made_for, &s->params, sizeof(s->params)))
        return 0;
    drop_stream(p);
    if (!p->server->watch)
        return 0;
    p->stream = libpipewire.stream_new(p->server->core, p->server->name, make_properties(p));
    if (!p->stream)
        return -EIO;
    memset(&p->listener, 0, sizeof(p->listener));
    libpipewire.stream_add_listener(p->stream, &p->listener, &stream_events, p);
    p->made_for = s->params;
    if (connect_stream(p) < 0) {
        drop_stream(p);
        return -EIO;
    }
    return 0;
}

static int pipewire_start(struct sound *s)
{
    struct pipewire *p = to_pipewire(s);

    s->clocked = !p->stream || !p->server->watch; /* nothing runs yet */
    if (p->stream)
        libpipewire.stream_set_active(p->stream, true);
    return 0;
}

static void pipewire_stop(struct sound *s)
{
    struct pipewire *p = to_pipewire(s);

    if (!p->stream)
        return;
    libpipewire.stream_set_active(p->stream, false);
    libpipewire.stream_flush(p->stream, false);
}

static void pipewire_pass(struct sound *s, uint64_t frames)
{
    if (s->direction == SOUND_OUTPUT)
        sound_take(s, NULL, frames);
    else
        sound_give(s, NULL, frames);
}

static uint32_t pipewire_latency(const struct sound *s)
{
    const struct pipewire *p = to_pipewire(s);
    uint32_t hz = sound_rate_hz(s->params.rate);
    struct pw_time t = {0};
    uint64_t frames;

    if (s->clocked || !p->stream || libpipewire.stream_get_time_n(p->stream, &t, sizeof(t)) < 0 ||
        !t.rate.denom || t.delay <= 0)
        return 0;
    frames = mul_div_u64((uint64_t)t.delay * t.rate.num, hz, t.rate.denom);
    return (uint32_t)MIN(frames, hz) * s->frame_bytes; /* more than a second is a mistake */
}

static void pipewire_close(struct sound *s)
{
    drop_stream(to_pipewire(s));
}

static const struct sound_ops pipewire_ops = {
    .name = "pipewire", .prepare = pipewire_prepare, .start = pipewire_start,
    .stop = pipewire_stop, .pass = pipewire_pass, .latency = pipewire_latency,
    .close = pipewire_close};

int sound_server_stream(struct sound_server *server, enum sound_direction direction,
                        struct sound **ret, struct vz_error *err)
{
    struct pipewire *p = sound_backend_new(&pipewire_ops, sizeof(*p), server->loop, direction, err);

    if (!p)
        return -ENOMEM;
    p->server = server;
    p->s.caps.formats = 0;
    for (unsigned i = 0; i < SOUND_FORMATS; i++)
        p->s.caps.formats |= spa_formats[i] ? BIT(i) : 0;
    *ret = &p->s;
    return 0;
}
