/* SPDX-License-Identifier: MIT */
#include "sound/sound_format.h"

#include <string.h>

enum { WAV_PCM = 1, WAV_FLOAT = 3, WAV_A_LAW = 6, WAV_MU_LAW = 7 };

#define FORMAT(name, ...) [VIRTIO_SND_PCM_FMT_##name] = {#name, __VA_ARGS__}

/* Bytes, then a sample of silence: the middle of the range. */
static const struct sound_format formats[SOUND_FORMATS] = {
    FORMAT(IMA_ADPCM, 0),
    FORMAT(MU_LAW, 1, {0xff}, .wav_tag = WAV_MU_LAW),
    FORMAT(A_LAW, 1, {0xd5}, .wav_tag = WAV_A_LAW),
    FORMAT(S8, 1, {0}),
    FORMAT(U8, 1, {0x80}, .wav_tag = WAV_PCM),
    FORMAT(S16, 2, {0}, .wav_tag = WAV_PCM),
    FORMAT(U16, 2, {0, 0x80}),
    FORMAT(S18_3, 3, {0}),
    FORMAT(U18_3, 3, {0, 0, 2}),
    FORMAT(S20_3, 3, {0}),
    FORMAT(U20_3, 3, {0, 0, 8}),
    FORMAT(S24_3, 3, {0}, .wav_tag = WAV_PCM),
    FORMAT(U24_3, 3, {0, 0, 0x80}),
    FORMAT(S20, 4, {0}),
    FORMAT(U20, 4, {0, 0, 8, 0}),
    FORMAT(S24, 4, {0}),
    FORMAT(U24, 4, {0, 0, 0x80, 0}),
    FORMAT(S32, 4, {0}, .wav_tag = WAV_PCM),
    FORMAT(U32, 4, {0, 0, 0, 0x80}),
    FORMAT(FLOAT, 4, {0}, .wav_tag = WAV_FLOAT),
    FORMAT(FLOAT64, 8, {0}, .wav_tag = WAV_FLOAT),
};

static const uint32_t rates[SOUND_RATES] = {5512,  8000,  11025, 16000, 22050,  32000,  44100,
                                            48000, 64000, 88200, 96000, 176400, 192000, 384000};

const struct sound_format *sound_format(unsigned format)
{
    return &formats[format];
}

uint32_t sound_rate_hz(unsigned rate)
{
    return rates[rate];
}

int sound_rate_of(uint32_t hz)
{
    for (unsigned i = 0; i < SOUND_RATES; i++) {
        if (rates[i] == hz)
            return (int)i;
    }
    return -1;
}

uint64_t sound_all_formats(void)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < SOUND_FORMATS; i++)
        mask |= formats[i].bytes ? BIT(i) : 0;
    return mask;
}

void sound_silence(unsigned format, void *to, size_t len)
{
    const struct sound_format *f = &formats[format];

    for (size_t i = 0; i < len; i++)
        ((uint8_t *)to)[i] = f->silence[i % f->bytes];
}
