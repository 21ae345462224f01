/* SPDX-License-Identifier: MIT */
/* The host's end of a stream of sound. Client: virtio/virtio_sound. Backends: null (discards, or is
 * silent), wav (a file), pipewire (the user's sound server).
 *
 * Between device and host lies a ring of bytes. Output: the device writes ahead as far as there is room,
 * the host takes at its own pace; what it does not find is silence. Input: the host writes; what finds no
 * room is lost. sound_position() says how far the host has come, and the client is told each time it has
 * moved: a guest's buffer is done when the host has passed its end, never when it was copied.
 *
 * The client is told about every quarter of a period, at least every SOUND_TICK_MAX_MS, while it runs.
 * A host that stands still (a server that hangs, or has nothing to play on) is stepped over: time goes
 * on as with null. A stream that does not run wakes nobody.
 *
 * Threads: all of this on the loop thread, or while the loop does not run. Nothing blocks. A backend may move
 * samples in a thread of its own (sound_backend.h). */
#ifndef VZ_SOUND_SOUND_H
#define VZ_SOUND_SOUND_H

#include "sound/sound_format.h"

struct loop;
struct sound;
struct sound_server;
struct vz_error;

#define SOUND_CHANNELS_MAX 8u
#define SOUND_TICK_MAX_MS  10u
#define SOUND_AHEAD_MS     250u /* what the ring holds, and so the most that is ever late by it */

enum sound_direction { SOUND_OUTPUT = VIRTIO_SND_D_OUTPUT, SOUND_INPUT = VIRTIO_SND_D_INPUT };

/* What a backend can do. Constant. */
struct sound_caps {
    uint64_t formats, rates; /* bits by number */
    uint8_t channels_min, channels_max;
};

struct sound_params {
    uint8_t format, rate; /* numbers of sound_format.h */
    uint8_t channels;
    uint32_t period_bytes; /* how often the client wants to be told, about */
};

/* Of one frame: a sample for each channel. */
static inline unsigned sound_frame_bytes(const struct sound_params *p)
{
    return sound_format(p->format)->bytes * p->channels;
}

const struct sound_caps *sound_caps(const struct sound *s);
enum sound_direction sound_direction(const struct sound *s);

/* moved(arg) is called on the loop thread, never from inside a function of this header. NULL: nobody. */
void sound_attach(struct sound *s, void (*moved)(void *arg), void *arg);

/* Be ready for samples like these, which caps allow; it does not run. Empties the ring and sets the
 * position to 0. 0; -EINVAL (the host cannot have these just now), -EIO, -ENOMEM. */
int sound_prepare(struct sound *s, const struct sound_params *params) must_check;
/* Prepared, and not running: run. 0 or -EIO. */
int sound_start(struct sound *s) must_check;
/* Take no more. What is in the ring stays, for the next start. Does nothing when not running. */
void sound_stop(struct sound *s);
/* Not running: empty the ring, and set the position to 0. */
void sound_flush(struct sound *s);

/* Output: copy into the ring. Input: out of it. Returns how many bytes, fewer than len when it is full,
 * or empty; 0 before a prepare. */
size_t sound_write(struct sound *s, const void *data, size_t len);
size_t sound_read(struct sound *s, void *data, size_t len);
/* Room for writing, or bytes to be read. */
size_t sound_ready(const struct sound *s);
/* Bytes that the host has taken out of the ring (output) or put into it (input) since the last prepare
 * or flush. */
uint64_t sound_position(const struct sound *s);
/* Bytes between that and the ear, or the microphone. */
uint32_t sound_latency(const struct sound *s);

/* Detached. NULL is fine. */
void sound_destroy(struct sound *s);

/* ---- Backends: 0 or -errno with err filled in ----------------------------------------------- */

/* Output goes nowhere and input is silence, in real time. */
int sound_null_create(struct loop *loop, enum sound_direction direction, struct sound **ret,
                      struct vz_error *err) must_check;

/* Output: a file that is made, or truncated; its format is that of the first samples, and later ones must
 * have the same. Underruns are silence in it; time in which no stream runs is not. Input: the samples of
 * the file at path, which alone the guest can ask for, then silence. -EINVAL: not such a file. */
int sound_wav_create(struct loop *loop, enum sound_direction direction, const char *path,
                     struct sound **ret, struct vz_error *err) must_check;

/* The user's PipeWire, found as every program finds it (PIPEWIRE_REMOTE, XDG_RUNTIME_DIR). name: what its
 * mixers show. -ENOTSUP: not in this build, or there is no library; -ECONNREFUSED: no server. */
int sound_server_connect(struct loop *loop, const char *name, struct sound_server **ret,
                         struct vz_error *err) must_check;
int sound_server_stream(struct sound_server *server, enum sound_direction direction,
                        struct sound **ret, struct vz_error *err) must_check;
/* Its streams are destroyed. NULL is fine. */
void sound_server_disconnect(struct sound_server *server);

#endif
