/* SPDX-License-Identifier: MIT */
/* The control queue of the sound device: what there is, and requests to streams [5.14.6]. */
#include <string.h>

#include "base/le.h"
#include "virtio/virtio_sound_impl.h"

#define MAPS_PER_STREAM SOUND_CHANNELS_MAX

/* --- what there is --- */

/* A jack for each stream, of the same number, always plugged in [5.14.6.4]: its pins as HD Audio has them
 * (7.3.3.31 and 7.3.4.9): a jack at the rear, line out or microphone; capable of output or input. */
static void jack_info(const struct snd *snd, unsigned i, void *to)
{
    bool output = sound_direction(snd->stream[i].host) == SOUND_OUTPUT;
    struct virtio_snd_jack_info *info = to;

    store_le32(&info->hdr.hda_fn_nid, snd->stream[i].number);
    store_le32(&info->hda_reg_defconf, 0x01000010u | (output ? 0u : 0xau) << 20);
    store_le32(&info->hda_reg_caps, (output ? BIT(4) : BIT(5)) | BIT(2));
    info->connected = 1;
}

static void pcm_info(const struct snd *snd, unsigned i, void *to)
{
    const struct sound_caps *caps = sound_caps(snd->stream[i].host);
    struct virtio_snd_pcm_info *info = to;

    store_le32(&info->hdr.hda_fn_nid, snd->stream[i].number);
    store_le64(&info->formats, caps->formats);
    store_le64(&info->rates, caps->rates);
    info->direction = (uint8_t)sound_direction(snd->stream[i].host);
    info->channels_min = caps->channels_min;
    info->channels_max = caps->channels_max;
}

/* Of so many channels, in the order in which ALSA has them, and sound_pipewire.c too. */
static const uint8_t positions[MAPS_PER_STREAM][MAPS_PER_STREAM] = {
#define C(name) VIRTIO_SND_CHMAP_##name
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

static void chmap_info(const struct snd *snd, unsigned i, void *to)
{
    const struct pcm *p = &snd->stream[i / MAPS_PER_STREAM];
    unsigned channels = i % MAPS_PER_STREAM + 1;
    struct virtio_snd_chmap_info *info = to;

    store_le32(&info->hdr.hda_fn_nid, p->number);
    info->direction = (uint8_t)sound_direction(p->host);
    info->channels = (uint8_t)channels;
    memcpy(info->positions, positions[channels - 1], channels);
}

union any_info {
    struct virtio_snd_jack_info jack;
    struct virtio_snd_pcm_info pcm;
    struct virtio_snd_chmap_info chmap;
};

struct query {
    uint32_t code;
    size_t size;
    unsigned per_stream;
    void (*fill)(const struct snd *snd, unsigned i, void *to);
};

static const struct query queries[] = {
    {VIRTIO_SND_R_JACK_INFO, sizeof(struct virtio_snd_jack_info), 1, jack_info},
    {VIRTIO_SND_R_PCM_INFO, sizeof(struct virtio_snd_pcm_info), 1, pcm_info},
    {VIRTIO_SND_R_CHMAP_INFO, sizeof(struct virtio_snd_chmap_info), MAPS_PER_STREAM, chmap_info},
};

/* Items behind the header, each as long as the driver says: of a longer struct it has the start from us,
 * a shorter one is refused [5.14.6.1]. *ret_len: bytes of the answer. */
static uint32_t answer_query(struct snd *snd, const struct query *q, const struct virtq_chain *c,
                             size_t *ret_len)
{
    struct virtio_snd_query_info in;
    uint32_t first, count, size, all = snd->stream_count * q->per_stream;

    if (virtq_read(c, 0, &in, sizeof(in)) != sizeof(in))
        return VIRTIO_SND_S_BAD_MSG;
    first = load_le32(&in.start_id);
    count = load_le32(&in.count);
    size = load_le32(&in.size);
    if (first > all || count > all - first || size < q->size ||
        c->in_len < sizeof(struct virtio_snd_hdr) + (uint64_t)count * size)
        return VIRTIO_SND_S_BAD_MSG;
    for (uint32_t i = 0; i < count; i++) {
        union any_info info;

        memset(&info, 0, sizeof(info));
        q->fill(snd, first + i, &info);
        iov_zero(c->in, c->in_count, *ret_len, size);
        virtq_write(c, *ret_len, &info, q->size);
        *ret_len += size;
    }
    return VIRTIO_SND_S_OK;
}

/* --- requests --- */

static const uint32_t pcm_codes[] = {
    [PCM_DO_SET] = VIRTIO_SND_R_PCM_SET_PARAMS, [PCM_DO_PREPARE] = VIRTIO_SND_R_PCM_PREPARE,
    [PCM_DO_START] = VIRTIO_SND_R_PCM_START, [PCM_DO_STOP] = VIRTIO_SND_R_PCM_STOP,
    [PCM_DO_RELEASE] = VIRTIO_SND_R_PCM_RELEASE};

static uint32_t answer_pcm(struct snd *snd, enum pcm_command command, const struct virtq_chain *c)
{
    struct virtio_snd_pcm_set_params in = {0};
    size_t len = command == PCM_DO_SET ? sizeof(in) : sizeof(in.hdr);
    uint32_t id;

    if (virtq_read(c, 0, &in, len) != len)
        return VIRTIO_SND_S_BAD_MSG;
    id = load_le32(&in.hdr.stream_id);
    return id < snd->stream_count ? pcm_do(&snd->stream[id], command, &in) : VIRTIO_SND_S_BAD_MSG;
}

/* Jacks cannot be remapped, as their features say. */
static uint32_t answer_jack_remap(const struct snd *snd, const struct virtq_chain *c)
{
    struct virtio_snd_jack_remap in;

    if (virtq_read(c, 0, &in, sizeof(in)) != sizeof(in) ||
        load_le32(&in.hdr.jack_id) >= snd->stream_count)
        return VIRTIO_SND_S_BAD_MSG;
    return VIRTIO_SND_S_NOT_SUPP;
}

static uint32_t answer(struct snd *snd, const struct virtq_chain *c, size_t *ret_len)
{
    struct virtio_snd_hdr in;
    uint32_t code;

    if (virtq_read(c, 0, &in, sizeof(in)) != sizeof(in))
        return VIRTIO_SND_S_BAD_MSG;
    code = load_le32(&in.code);
    for (unsigned i = 0; i < ARRAY_SIZE(queries); i++) {
        if (queries[i].code == code)
            return answer_query(snd, &queries[i], c, ret_len);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(pcm_codes); i++) {
        if (pcm_codes[i] == code)
            return answer_pcm(snd, (enum pcm_command)i, c);
    }
    return code == VIRTIO_SND_R_JACK_REMAP ? answer_jack_remap(snd, c) : VIRTIO_SND_S_NOT_SUPP;
}

/* Every request is answered, so that no driver waits for ever. */
void snd_control(struct snd *snd)
{
    struct virtq *q = &snd->dev.queue[VIRTIO_SND_VQ_CONTROL];
    struct virtq_chain *c;

    while ((c = virtq_pop(q))) {
        struct virtio_snd_hdr out;
        size_t len = sizeof(out);

        store_le32(&out.code, answer(snd, c, &len));
        virtq_write(c, 0, &out, sizeof(out));
        virtq_push(q, c, len);
    }
    virtq_notify(q);
}
