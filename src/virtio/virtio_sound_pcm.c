/* SPDX-License-Identifier: MIT */
/* A stream of the sound device, from set-params to release. */
#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "virtio/virtio_sound_impl.h"

#define HEADER_LEN sizeof(struct virtio_snd_pcm_xfer)
#define STATUS_LEN sizeof(struct virtio_snd_pcm_status)
#define BUFFER_MAX (16u << 20) /* bytes of samples in a chain, whose descriptors may repeat the same memory */

static bool is_output(const struct pcm *p)
{
    return sound_direction(p->host) == SOUND_OUTPUT;
}

/* --- buffers --- */

/* Give a chain of a queue back: a status at the end of its in part, behind samples [5.14.6.8]. */
static void answer(struct virtq_chain *c, uint32_t status, uint32_t latency)
{
    struct virtio_snd_pcm_status s;

    store_le32(&s.status, status);
    store_le32(&s.latency_bytes, latency);
    if (c->in_len < STATUS_LEN) {
        virtq_push(c->queue, c, 0);
        return;
    }
    virtq_write(c, c->in_len - STATUS_LEN, &s, sizeof(s));
    virtq_push(c->queue, c, c->in_len);
}

static void finish(struct pcm *p, struct pcm_buffer *b, uint32_t status)
{
    struct virtq_chain *c = b->chain;

    /* What it was not filled with is not left as it was: the driver takes it all for samples. */
    if (!is_output(p) && b->copied < b->len)
        iov_zero(c->in, c->in_count, b->copied, b->len - b->copied);
    TAILQ_REMOVE(&p->buffers, b, link);
    answer(c, status, is_output(p) && p->state == PCM_STARTED ? sound_latency(p->host) : 0);
}

static void finish_all(struct pcm *p, uint32_t status)
{
    struct pcm_buffer *b;

    while ((b = TAILQ_FIRST(&p->buffers)))
        finish(p, b, status);
    virtq_notify(pcm_queue(p));
}

/* Copy ahead, as far as the host's ring takes it. */
static void feed(struct pcm *p)
{
    uint8_t piece[4096];
    struct pcm_buffer *b;

    TAILQ_FOREACH(b, &p->buffers, link) {
        while (b->copied < b->len) {
            size_t want = MIN(MIN(b->len - b->copied, sizeof(piece)), sound_ready(p->host));
            size_t n = virtq_read(b->chain, HEADER_LEN + b->copied, piece, want);

            if (!n)
                return;
            b->copied += (uint32_t)sound_write(p->host, piece, n);
        }
    }
}

/* The host has consumed bytes more. */
static void consumed(struct pcm *p, uint64_t bytes)
{
    struct pcm_buffer *b;

    while ((b = TAILQ_FIRST(&p->buffers))) {
        uint32_t n = (uint32_t)MIN(bytes, b->left);

        b->left -= n;
        bytes -= n;
        if (b->left)
            break;
        finish(p, b, VIRTIO_SND_S_OK);
    }
}

/* Samples for the guest. Where there are no buffers, the last period is kept, and no more: so what the
 * guest hears is never older. */
static void deliver(struct pcm *p)
{
    uint8_t piece[4096];
    struct pcm_buffer *b;
    size_t n, wait;

    while ((b = TAILQ_FIRST(&p->buffers))) {
        n = sound_read(p->host, piece, MIN(b->left, sizeof(piece)));
        virtq_write(b->chain, b->copied, piece, n);
        b->copied += (uint32_t)n;
        b->left -= (uint32_t)n;
        if (b->left)
            return;
        finish(p, b, VIRTIO_SND_S_OK);
    }
    wait = sound_ready(p->host);
    if (wait > p->period_bytes) {
        size_t frame = sound_format(p->format)->bytes * (size_t)p->channels;

        sound_read(p->host, NULL, (wait - p->period_bytes + frame - 1) / frame * frame);
    }
}

static void on_moved(void *arg)
{
    struct pcm *p = arg;
    uint64_t position = sound_position(p->host), was = p->position;

    if (!virtio_is_live(&p->snd->dev)) { /* broken: its buffers wait for the reset */
        sound_stop(p->host);
        return;
    }
    p->position = position;
    if (is_output(p)) {
        consumed(p, position - was);
        feed(p);
    } else {
        deliver(p);
    }
    virtq_notify(pcm_queue(p));
}

/* --- from the driver --- */

/* How many bytes of samples a chain has; false: it cannot be one. */
static bool measure(enum sound_direction direction, const struct virtq_chain *c, uint32_t *ret)
{
    size_t rest = direction == SOUND_OUTPUT ? HEADER_LEN : STATUS_LEN;
    size_t len = direction == SOUND_OUTPUT ? c->out_len : c->in_len;

    if (c->out_len < HEADER_LEN || c->in_len < STATUS_LEN || len - rest > BUFFER_MAX)
        return false;
    *ret = (uint32_t)(len - rest);
    return true;
}

static uint32_t append(struct snd *snd, enum sound_direction direction, struct virtq_chain *c)
{
    struct pcm_buffer *b = c->priv;
    struct virtio_snd_pcm_xfer h;
    struct pcm *p;
    uint32_t len, id;

    if (!measure(direction, c, &len) || virtq_read(c, 0, &h, sizeof(h)) != sizeof(h))
        return VIRTIO_SND_S_BAD_MSG;
    id = load_le32(&h.stream_id);
    if (id >= snd->stream_count || sound_direction(snd->stream[id].host) != direction)
        return VIRTIO_SND_S_BAD_MSG;
    p = &snd->stream[id];
    if (p->state != PCM_PREPARED && p->state != PCM_STARTED && p->state != PCM_STOPPED)
        return VIRTIO_SND_S_IO_ERR;
    *b = (struct pcm_buffer){.chain = c, .len = len, .left = len};
    if (p->skip && TAILQ_EMPTY(&p->buffers)) { /* it was the first, and partly done */
        b->copied = MIN(p->skip, len);
        b->left = len - b->copied;
    }
    p->skip = 0;
    TAILQ_INSERT_TAIL(&p->buffers, b, link);
    if (direction == SOUND_OUTPUT && !snd->resting)
        feed(p);
    return VIRTIO_SND_S_OK;
}

void pcm_receive(struct snd *snd, enum sound_direction direction, struct virtq_chain *c)
{
    uint32_t status = append(snd, direction, c);

    if (status != VIRTIO_SND_S_OK)
        answer(c, status, 0);
}

/* --- requests --- */

#define IN(state) (1u << PCM_##state)

/* The states in which a request may come, and the one it leads to [5.14.6.6.1]. Linux also prepares, or
 * sets, a stream that it stopped and that had no buffers left, without releasing it. */
static const struct {
    unsigned from;
    enum pcm_state to;
} moves[] = {
    [PCM_DO_SET] = {IN(NEW) | IN(SET) | IN(PREPARED) | IN(RELEASED) | IN(STOPPED), PCM_SET},
    [PCM_DO_PREPARE] = {IN(SET) | IN(PREPARED) | IN(RELEASED) | IN(STOPPED), PCM_PREPARED},
    [PCM_DO_START] = {IN(PREPARED) | IN(STOPPED), PCM_STARTED},
    [PCM_DO_STOP] = {IN(STARTED), PCM_STOPPED},
    [PCM_DO_RELEASE] = {IN(PREPARED) | IN(STOPPED), PCM_RELEASED},
};

static bool caps_allow(const struct sound_caps *caps, unsigned format, unsigned rate, unsigned channels)
{
    return format < SOUND_FORMATS && (caps->formats & BIT(format)) && rate < SOUND_RATES &&
           (caps->rates & BIT(rate)) && channels >= caps->channels_min &&
           channels <= caps->channels_max;
}

bool pcm_is_valid(const struct pcm *p)
{
    return p->state == PCM_NEW ||
           (p->period_bytes && p->buffer_bytes >= p->period_bytes &&
            caps_allow(sound_caps(p->host), p->format, p->rate, p->channels));
}

/* [5.14.6.6.3] */
static uint32_t set_params(struct pcm *p, const struct virtio_snd_pcm_set_params *set)
{
    uint32_t buffer = load_le32(&set->buffer_bytes), period = load_le32(&set->period_bytes);

    if (!period || buffer < period || buffer % period)
        return VIRTIO_SND_S_BAD_MSG;
    if (load_le32(&set->features) ||
        !caps_allow(sound_caps(p->host), set->format, set->rate, set->channels))
        return VIRTIO_SND_S_NOT_SUPP;
    p->buffer_bytes = buffer;
    p->period_bytes = period;
    p->format = set->format;
    p->rate = set->rate;
    p->channels = set->channels;
    return VIRTIO_SND_S_OK;
}

static uint32_t prepare(struct pcm *p)
{
    const struct sound_params params = {.format = p->format, .rate = p->rate,
                                        .channels = p->channels, .period_bytes = p->period_bytes};
    int r = sound_prepare(p->host, &params);

    p->position = 0;
    return !r ? VIRTIO_SND_S_OK : r == -EINVAL ? VIRTIO_SND_S_NOT_SUPP : VIRTIO_SND_S_IO_ERR;
}

/* Buffers of another life are not played in the next one; and the answer to a release comes after all of
 * them [5.14.6.6.5.1]. */
uint32_t pcm_do(struct pcm *p, enum pcm_command command, const struct virtio_snd_pcm_set_params *set)
{
    uint32_t status = VIRTIO_SND_S_OK;

    if (!(moves[command].from & (1u << p->state)))
        return VIRTIO_SND_S_BAD_MSG;
    if (command == PCM_DO_STOP)
        sound_stop(p->host);
    else if (command != PCM_DO_START)
        finish_all(p, VIRTIO_SND_S_OK);
    if (command == PCM_DO_SET)
        status = set_params(p, set);
    else if (command == PCM_DO_PREPARE)
        status = prepare(p);
    else if (command == PCM_DO_START)
        status = sound_start(p->host) < 0 ? VIRTIO_SND_S_IO_ERR : VIRTIO_SND_S_OK;
    else if (command == PCM_DO_RELEASE)
        sound_flush(p->host);
    if (status == VIRTIO_SND_S_OK)
        p->state = (uint8_t)moves[command].to;
    return status;
}

/* --- rest --- */

void pcm_rest(struct pcm *p)
{
    struct pcm_buffer *b = TAILQ_FIRST(&p->buffers);

    sound_stop(p->host);
    if (b) /* of a queue that is being reset no buffer comes again */
        p->skip = pcm_queue(p)->running ? b->len - b->left : 0;
    TAILQ_INIT(&p->buffers);
}

/* Buffers are there again, and the host's end may be another one. */
void pcm_go_on(struct pcm *p)
{
    if (p->state < PCM_PREPARED || p->state == PCM_RELEASED)
        return;
    if (prepare(p) != VIRTIO_SND_S_OK)
        return; /* its buffers wait until the driver releases them */
    if (p->state == PCM_STARTED && sound_start(p->host) < 0)
        return;
    if (is_output(p))
        feed(p);
}

void pcm_reset(struct pcm *p)
{
    sound_stop(p->host);
    p->state = PCM_NEW;
    p->skip = 0;
    p->position = 0;
    p->format = p->rate = p->channels = 0;
    p->buffer_bytes = p->period_bytes = 0;
}

void pcm_init(struct pcm *p, struct snd *snd, unsigned index, struct sound *host)
{
    p->snd = snd;
    p->index = index;
    p->host = host;
    TAILQ_INIT(&p->buffers);
    for (unsigned i = 0; i < index; i++)
        p->number += sound_direction(snd->stream[i].host) == sound_direction(host);
    sound_attach(host, on_moved, p);
}
