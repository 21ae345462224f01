/* SPDX-License-Identifier: MIT */
/* The sound device: see virtio_sound.h. Here are its queues, and how it comes to rest. */
#include "virtio/virtio_sound.h"

#include <errno.h>

#include "base/error.h"
#include "base/le.h"
#include "virtio/virtio_sound_impl.h"

/* --- buffers --- */

static void receive(struct snd *snd, struct virtq *q, enum sound_direction direction)
{
    struct virtq_chain *c;

    while ((c = virtq_pop(q)))
        pcm_receive(snd, direction, c);
    virtq_notify(q);
}

/* Buffers that were kept come before new ones. */
static void take_kept(struct snd *snd, struct virtq *q, struct kept *k, enum sound_direction direction)
{
    for (unsigned i = 0; i < k->count; i++) {
        struct virtq_chain *c = virtq_take(q, k->head[i]);

        if (!c)
            break;
        pcm_receive(snd, direction, c);
    }
    k->count = 0;
    virtq_notify(q);
}

static void go_on(struct snd *snd)
{
    if (!snd->resting)
        return;
    take_kept(snd, &snd->dev.queue[VIRTIO_SND_VQ_TX], &snd->tx, SOUND_OUTPUT);
    take_kept(snd, &snd->dev.queue[VIRTIO_SND_VQ_RX], &snd->rx, SOUND_INPUT);
    snd->resting = false;
    for (unsigned i = 0; i < snd->stream_count; i++)
        pcm_go_on(&snd->stream[i]);
}

static void snd_start(struct virtio_dev *dev)
{
    go_on(to_snd(dev));
}

/* Nothing is sent by the event queue: its buffers stay there. */
static void snd_kick(struct virtio_dev *dev, unsigned index)
{
    struct snd *snd = to_snd(dev);

    go_on(snd);
    if (index == VIRTIO_SND_VQ_CONTROL)
        snd_control(snd);
    else if (index == VIRTIO_SND_VQ_TX)
        receive(snd, &dev->queue[index], SOUND_OUTPUT);
    else if (index == VIRTIO_SND_VQ_RX)
        receive(snd, &dev->queue[index], SOUND_INPUT);
}

/* --- rest --- */

/* Those of one stream; of a queue that is being reset they are of no use any more. */
static void keep(struct pcm *p, struct kept *k)
{
    struct virtq *q = pcm_queue(p);
    struct pcm_buffer *b;

    TAILQ_FOREACH(b, &p->buffers, link) {
        if (q->running && k->count < SND_QUEUE_MAX)
            k->head[k->count++] = b->chain->head;
        virtq_keep(q, b->chain);
    }
}

/* The order among streams does not matter: a buffer says whose it is. */
static void snd_drain(struct virtio_dev *dev)
{
    struct snd *snd = to_snd(dev);

    for (unsigned i = 0; i < snd->stream_count; i++) {
        struct pcm *p = &snd->stream[i];

        keep(p, sound_direction(p->host) == SOUND_OUTPUT ? &snd->tx : &snd->rx);
        pcm_rest(p);
    }
    snd->resting = true;
    if (!dev->stopping) /* one queue is reset only: no start follows for the other */
        virtio_kick(dev, VIRTIO_SND_VQ_CONTROL);
}

static void snd_reset(struct virtio_dev *dev)
{
    struct snd *snd = to_snd(dev);

    for (unsigned i = 0; i < snd->stream_count; i++)
        pcm_reset(&snd->stream[i]);
    snd->tx.count = snd->rx.count = 0;
    snd->resting = false;
}

/* --- the device --- */

static void set_config(struct virtio_dev *dev, size_t at, uint32_t value)
{
    store_le32(dev->config + at, value);
}

static int snd_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    struct snd *snd = to_snd(dev);
    const struct virtio_sound_options *o = options;

    if (o->stream_count > VIRTIO_SOUND_STREAMS_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "a sound device has at most %u streams",
                         VIRTIO_SOUND_STREAMS_MAX);
    for (; snd->stream_count < o->stream_count; snd->stream_count++) {
        unsigned i = snd->stream_count;

        pcm_init(&snd->stream[i], snd, i, o->stream[i]);
    }
    set_config(dev, offsetof(struct virtio_snd_config, jacks), o->stream_count);
    set_config(dev, offsetof(struct virtio_snd_config, streams), o->stream_count);
    set_config(dev, offsetof(struct virtio_snd_config, chmaps), o->stream_count * SOUND_CHANNELS_MAX);
    return 0;
}

static void snd_fini(struct virtio_dev *dev)
{
    struct snd *snd = to_snd(dev);

    for (unsigned i = 0; i < snd->stream_count; i++) {
        sound_stop(snd->stream[i].host);
        sound_attach(snd->stream[i].host, NULL, NULL);
    }
}

static int snd_loaded(struct virtio_dev *dev, struct vz_error *err)
{
    struct snd *snd = to_snd(dev);

    for (unsigned i = 0; i < snd->stream_count; i++) {
        if (!pcm_is_valid(&snd->stream[i]))
            return error_set(err, EINVAL, VZ_ERROR_INVALID,
                             "the host's sound cannot do what the guest's stream %u plays", i);
    }
    snd->resting = true; /* a start follows */
    return 0;
}

static const struct state_field pcm_fields[] = {
    STATE_UINT_MAX(struct pcm, state, PCM_RELEASED),
    STATE_UINT(struct pcm, format),
    STATE_UINT(struct pcm, rate),
    STATE_UINT(struct pcm, channels),
    STATE_UINT(struct pcm, buffer_bytes),
    STATE_UINT(struct pcm, period_bytes),
    STATE_UINT(struct pcm, skip),
    STATE_END,
};

static const struct state_field kept_fields[] = {
    STATE_UINT_MAX(struct kept, count, SND_QUEUE_MAX),
    STATE_ARRAY(struct kept, head),
    STATE_END,
};

static const struct state_field snd_fields[] = {
    STATE_STRUCT_ARRAY(struct snd, stream, pcm_fields),
    STATE_STRUCT(struct snd, tx, kept_fields),
    STATE_STRUCT(struct snd, rx, kept_fields),
    STATE_END,
};

const struct virtio_ops virtio_sound_ops = { /* its kind is device/sound_kind.c */
    .name = "virtio-sound", .id = VIRTIO_ID_SOUND, .class_code = 0x040100,
    .queues = VIRTIO_SND_VQ_MAX, .queue_max = SND_QUEUE_MAX,
    .request_size = sizeof(struct pcm_buffer), .config_len = sizeof(struct virtio_snd_config),
    .size = sizeof(struct snd), .init = snd_init, .fini = snd_fini, .start = snd_start,
    .kick = snd_kick, .drain = snd_drain, .reset = snd_reset,
    .state = snd_fields, .state_version = 1, .loaded = snd_loaded,
};
