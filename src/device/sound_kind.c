/* SPDX-License-Identifier: MIT */
/* Sound devices: the host's end of each stream is opened, and where the host has no sound, silence is put in
 * its place. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "config/objects.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "sound/sound.h"
#include "virtio/virtio_sound.h"

/* slot->host */
struct streams {
    struct sound_server *server; /* NULL: not asked yet, or there is none */
    bool asked;
    unsigned count;
    struct sound *stream[VZ_SOUND_STREAMS_MAX];
};

/* No server is no failure, and is said once for all streams. */
static int open_host(struct device_slot *s, enum sound_direction direction, struct sound **ret,
                     struct vz_error *err)
{
    struct streams *all = s->host;
    struct vz_error why = {0};

    if (!all->asked && sound_server_connect(s->env->loop, s->env->label, &all->server, &why) < 0)
        log_warn("%s; the guest plays to nobody and records silence", why.text);
    all->asked = true;
    return all->server ? sound_server_stream(all->server, direction, ret, err)
                       : sound_null_create(s->env->loop, direction, ret, err);
}

static int open_stream(struct device_slot *s, const struct sound_stream *is, struct sound **ret,
                       struct vz_error *err)
{
    enum sound_direction direction = is->direction == VZ_SOUND_OUTPUT ? SOUND_OUTPUT : SOUND_INPUT;

    if (!is->attachment)
        return sound_null_create(s->env->loop, direction, ret, err);
    if (is->attachment->kind == SOUND_WAV)
        return sound_wav_create(s->env->loop, direction, is->attachment->path, ret, err);
    return open_host(s, direction, ret, err);
}

static int sound_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_sound_device *d = s->config;
    struct streams *all = calloc(1, sizeof(*all));

    if (!all)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    s->host = all;
    for (; all->count < d->stream_count; all->count++) {
        int r = open_stream(s, &d->stream[all->count], &all->stream[all->count], err);

        if (r < 0) {
            error_prefix(err, ".streams[%u]", all->count);
            return r;
        }
    }
    return 0;
}

static int sound_create(struct device_slot *s, struct vz_error *err)
{
    const struct streams *all = s->host;
    const struct virtio_sound_options o = {.stream = all->stream, .stream_count = all->count};

    return virtio_slot_create(s, &virtio_sound_ops, &o, 0, err);
}

static void sound_close(struct device_slot *s)
{
    struct streams *all = s->host;

    for (unsigned i = 0; all && i < all->count; i++)
        sound_destroy(all->stream[i]);
    if (all)
        sound_server_disconnect(all->server);
    free(all);
}

const struct device_kind sound_kind = {
    .type = &config_virtio_sound_type, VIRTIO_SLOT, .model = "virtio/virtio_sound",
    .open = sound_open, .create = sound_create, .close = sound_close};
