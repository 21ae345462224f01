/* SPDX-License-Identifier: MIT */
/* Sound into a wav file (RIFF, "Multimedia Programming Interface and Data Specifications 1.0"), and out
 * of one. Files beyond 4 GiB have the greatest length in their header, as usual. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "base/log.h"
#include "sound/sound_backend.h"

#define HEADER_LEN 44u
#define PIECE      4096u
#define CHUNKS_MAX 64u /* before the samples; more are not looked at */
#define WAV_EXTENSIBLE 0xfffe

struct wav {
    struct sound s;
    int fd;
    bool begun, failed;
    struct sound_params first; /* output, once begun: what the file has */
    uint64_t data_at, data_len, at; /* bytes: input: where samples are; at: how many are done */
};

static struct wav *to_wav(struct sound *s)
{
    return container_of(s, struct wav, s);
}

/* --- output --- */

static void write_header(struct wav *w)
{
    const struct sound_params *p = &w->first;
    unsigned frame = sound_frame_bytes(p);
    uint32_t len = (uint32_t)MIN(w->at, UINT32_MAX - HEADER_LEN);
    uint8_t h[HEADER_LEN] = "RIFF....WAVEfmt ....................data";

    store_le32(h + 4, len + HEADER_LEN - 8);
    store_le32(h + 16, 16);
    store_le16(h + 20, sound_format(p->format)->wav_tag);
    store_le16(h + 22, p->channels);
    store_le32(h + 24, sound_rate_hz(p->rate));
    store_le32(h + 28, sound_rate_hz(p->rate) * frame);
    store_le16(h + 32, (uint16_t)frame);
    store_le16(h + 34, (uint16_t)(8u * sound_format(p->format)->bytes));
    store_le32(h + 40, len);
    if (pwrite(w->fd, h, sizeof(h), 0) != sizeof(h))
        w->failed = true;
}

static void write_some(struct wav *w, const void *data, size_t len)
{
    if (w->failed)
        return;
    if (pwrite(w->fd, data, len, (off_t)(HEADER_LEN + w->at)) == (ssize_t)len) {
        w->at += len;
        return;
    }
    w->failed = true;
    log_warn("sound: writing a wav file failed, the rest is dropped: %s", strerror(errno));
}

static void write_frames(struct wav *w, uint64_t frames)
{
    uint8_t piece[PIECE];
    uint64_t most = sizeof(piece) / w->s.frame_bytes;

    for (uint64_t n; frames; frames -= n) {
        n = MIN(frames, most);
        sound_take(&w->s, piece, n);
        write_some(w, piece, n * w->s.frame_bytes);
    }
}

/* --- input --- */

static void read_frames(struct wav *w, uint64_t frames)
{
    uint8_t piece[PIECE];
    uint64_t most = sizeof(piece) / w->s.frame_bytes * w->s.frame_bytes;

    while (frames) {
        size_t want = (size_t)MIN(MIN(frames * w->s.frame_bytes, most), w->data_len - w->at);
        ssize_t n = want ? pread(w->fd, piece, want, (off_t)(w->data_at + w->at)) : 0;

        if (n < (ssize_t)w->s.frame_bytes) {
            sound_give(&w->s, NULL, frames);
            return;
        }
        n -= n % w->s.frame_bytes;
        sound_give(&w->s, piece, (uint64_t)n / w->s.frame_bytes);
        w->at += (uint64_t)n;
        frames -= (uint64_t)n / w->s.frame_bytes;
    }
}

/* The format chunk: 0, or -EINVAL for what no device can have. Formats that are "extensible" have their
 * tag at the start of a GUID. */
static int read_format(struct wav *w, const uint8_t *f, size_t len)
{
    unsigned tag = load_le16(f), channels = load_le16(f + 2), bits = load_le16(f + 14);
    int rate = sound_rate_of(load_le32(f + 4));

    if (tag == WAV_EXTENSIBLE && len >= 26)
        tag = load_le16(f + 24);
    for (unsigned i = 0; i < SOUND_FORMATS; i++) {
        const struct sound_format *is = sound_format(i);

        if (is->wav_tag && is->wav_tag == tag && is->bytes * 8u == bits && rate >= 0 && channels &&
            channels <= SOUND_CHANNELS_MAX) {
            w->s.caps = (struct sound_caps){BIT(i), BIT((unsigned)rate), (uint8_t)channels,
                                            (uint8_t)channels};
            return 0;
        }
    }
    return -EINVAL;
}

static int find_samples(struct wav *w)
{
    uint8_t head[12], format[40] = {0};
    uint64_t at = sizeof(head);
    bool known = false;

    if (pread(w->fd, head, 12, 0) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return -EINVAL;
    for (unsigned i = 0; i < CHUNKS_MAX && pread(w->fd, head, 8, (off_t)at) == 8; i++) {
        uint32_t len = load_le32(head + 4);

        at += 8;
        if (!memcmp(head, "fmt ", 4)) {
            ssize_t n = pread(w->fd, format, MIN(len, sizeof(format)), (off_t)at);

            known = n >= 16 && !read_format(w, format, (size_t)n);
        } else if (!memcmp(head, "data", 4) && known) {
            w->data_at = at;
            w->data_len = len;
            return 0;
        }
        at += len + (len & 1);
    }
    return -EINVAL;
}

/* --- the backend --- */

static void wav_pass(struct sound *s, uint64_t frames)
{
    if (s->direction == SOUND_OUTPUT)
        write_frames(to_wav(s), frames);
    else
        read_frames(to_wav(s), frames);
}

static int wav_prepare(struct sound *s)
{
    struct wav *w = to_wav(s);
    const struct sound_params *a = &w->first, *b = &s->params;

    if (w->begun && (a->format != b->format || a->rate != b->rate || a->channels != b->channels)) {
        log_once(LOG_WARN, "sound: a wav file has one format, so the guest cannot change to another");
        return -EINVAL;
    }
    return 0;
}

static int wav_start(struct sound *s)
{
    struct wav *w = to_wav(s);

    if (s->direction == SOUND_OUTPUT && !w->begun) {
        w->first = s->params;
        w->begun = true;
        write_header(w);
    }
    return 0;
}

/* The header is right whenever nothing plays. */
static void wav_stop(struct sound *s)
{
    if (s->direction == SOUND_OUTPUT)
        write_header(to_wav(s));
}

static void wav_close(struct sound *s)
{
    if (to_wav(s)->fd >= 0)
        close(to_wav(s)->fd);
}

static const struct sound_ops wav_ops = {
    .name = "wav", .prepare = wav_prepare, .start = wav_start, .stop = wav_stop, .pass = wav_pass,
    .close = wav_close};

static int open_file(struct wav *w, const char *path, struct vz_error *err)
{
    bool output = w->s.direction == SOUND_OUTPUT;

    w->fd = open(path, (output ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY | O_NONBLOCK) | O_CLOEXEC, 0666);
    if (w->fd < 0)
        return error_set(err, errno, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
    if (!output && find_samples(w) < 0)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s is no wav file of 1 to %u channels with a usual format and rate", path,
                         SOUND_CHANNELS_MAX);
    return 0;
}

int sound_wav_create(struct loop *loop, enum sound_direction direction, const char *path,
                     struct sound **ret, struct vz_error *err)
{
    struct wav *w = sound_backend_new(&wav_ops, sizeof(*w), loop, direction, err);
    int r;

    if (!w)
        return -ENOMEM;
    if (direction == SOUND_OUTPUT) {
        w->s.caps.formats = 0;
        for (unsigned i = 0; i < SOUND_FORMATS; i++)
            w->s.caps.formats |= sound_format(i)->wav_tag ? BIT(i) : 0;
    }
    r = open_file(w, path, err);
    if (r < 0) {
        sound_destroy(&w->s);
        return r;
    }
    *ret = &w->s;
    return 0;
}
