/* SPDX-License-Identifier: MIT */
/* What a sample is: the formats and rates of VIRTIO 1.2 section 5.14.6.6, by their numbers there
 * (VIRTIO_SND_PCM_FMT_*, VIRTIO_SND_PCM_RATE_*). All are little-endian. */
#ifndef VZ_SOUND_SOUND_FORMAT_H
#define VZ_SOUND_SOUND_FORMAT_H

#include <linux/virtio_snd.h>

#include "base/compiler.h"

#define SOUND_FORMATS (VIRTIO_SND_PCM_FMT_FLOAT64 + 1u) /* those with whole bytes, from MU_LAW on */
#define SOUND_RATES   (VIRTIO_SND_PCM_RATE_384000 + 1u)

struct sound_format {
    const char *name;
    uint8_t bytes;      /* of one sample; 0: not one of whole bytes */
    uint8_t silence[8]; /* a sample of it */
    uint16_t wav_tag;   /* WAVE_FORMAT_*; 0: a wav file cannot have it */
};

/* format < SOUND_FORMATS; rate < SOUND_RATES. */
const struct sound_format *sound_format(unsigned format);
uint32_t sound_rate_hz(unsigned rate);

/* The number of a rate; -1: there is none. */
int sound_rate_of(uint32_t hz);

/* All of the formats, and of the rates, as masks. */
uint64_t sound_all_formats(void);
#define SOUND_ALL_RATES (BIT(SOUND_RATES) - 1)

/* Fill with silence. len bytes, in whole samples or not. */
void sound_silence(unsigned format, void *to, size_t len);

#endif
