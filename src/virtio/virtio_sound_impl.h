/* SPDX-License-Identifier: MIT */
/* The parts of the sound device: virtio_sound.c (queues, state), virtio_sound_control.c (requests),
 * virtio_sound_pcm.c (a stream). Sections of VIRTIO 1.2 in brackets. */
#ifndef VZ_VIRTIO_VIRTIO_SOUND_IMPL_H
#define VZ_VIRTIO_VIRTIO_SOUND_IMPL_H

#include <linux/virtio_snd.h>
#include <sys/queue.h>

#include "sound/sound.h"
#include "virtio/virtio_sound.h"

#define SND_QUEUE_MAX 128u

/* A stream's life [5.14.6.6.1]. */
enum pcm_state { PCM_NEW, PCM_SET, PCM_PREPARED, PCM_STARTED, PCM_STOPPED, PCM_RELEASED };
enum pcm_command { PCM_DO_SET, PCM_DO_PREPARE, PCM_DO_START, PCM_DO_STOP, PCM_DO_RELEASE };

/* virtq_chain.priv of a buffer that a stream holds. */
struct pcm_buffer {
    struct virtq_chain *chain;
    TAILQ_ENTRY(pcm_buffer) link;
    uint32_t len;    /* bytes of samples */
    uint32_t copied; /* of them, those in the host's ring (output), or filled in (input) */
    uint32_t left;   /* of them, those that the host has not consumed; input: not filled in */
};

struct pcm {
    struct snd *snd;
    unsigned index;  /* the stream's number */
    unsigned number; /* among those of its direction: the function group [5.14.6.1] */
    struct sound *host;
    TAILQ_HEAD(, pcm_buffer) buffers; /* in the driver's order */
    uint64_t position;                /* of the host, when last seen */

    /* Saved. */
    uint8_t state; /* enum pcm_state */
    uint8_t format, rate, channels;
    uint32_t buffer_bytes, period_bytes;
    uint32_t skip; /* while resting: bytes of the first buffer that are done */
};

/* A queue's chains that are kept while resting, in the order in which they came. */
struct kept {
    uint16_t count;
    uint16_t head[SND_QUEUE_MAX];
};

struct snd {
    struct virtio_dev dev;
    unsigned stream_count;
    bool resting; /* buffers are kept, streams stand still */
    struct pcm stream[VIRTIO_SOUND_STREAMS_MAX];
    struct kept tx, rx;
};

static inline struct snd *to_snd(struct virtio_dev *dev)
{
    return container_of(dev, struct snd, dev);
}

static inline struct virtq *pcm_queue(struct pcm *p)
{
    bool output = sound_direction(p->host) == SOUND_OUTPUT;

    return &p->snd->dev.queue[output ? VIRTIO_SND_VQ_TX : VIRTIO_SND_VQ_RX];
}

/* --- virtio_sound_control.c --- */

void snd_control(struct snd *snd);

/* --- virtio_sound_pcm.c --- */

void pcm_init(struct pcm *p, struct snd *snd, unsigned index, struct sound *host);
/* Answer a request [5.14.6.6]: VIRTIO_SND_S_*. set: of PCM_DO_SET. */
uint32_t pcm_do(struct pcm *p, enum pcm_command command, const struct virtio_snd_pcm_set_params *set);
/* A buffer from the driver, of the queue of direction, taken over. */
void pcm_receive(struct snd *snd, enum sound_direction direction, struct virtq_chain *c);
/* The machine comes to rest: stop, and keep all buffers. Then go on. */
void pcm_rest(struct pcm *p);
void pcm_go_on(struct pcm *p);
/* Back to the start; there are no buffers. */
void pcm_reset(struct pcm *p);
/* Do saved params make sense for the host's end? */
bool pcm_is_valid(const struct pcm *p);

#endif
