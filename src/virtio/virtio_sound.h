/* SPDX-License-Identifier: MIT */
/* The sound device (VIRTIO 1.2 section 5.14): PCM streams, each with a host's end of sound/, a jack, and
 * channel maps for 1 to 8 channels. Linux (virtio_snd) makes a card of it, with a PCM device for each
 * output and input of the same number.
 *
 * A guest's buffer is completed when the host has consumed (or filled) all of it. Underruns are silence;
 * overruns drop what is oldest. When the machine pauses, buffers stay with the device, and go on where
 * they were, in a restored machine too. */
#ifndef VZ_VIRTIO_VIRTIO_SOUND_H
#define VZ_VIRTIO_VIRTIO_SOUND_H

#include "virtio/virtio.h"

struct sound;

#define VIRTIO_SOUND_STREAMS_MAX 16u

struct virtio_sound_options {
    struct sound *const *stream; /* the caller's, outlive the device; never NULL */
    unsigned stream_count;       /* at most VIRTIO_SOUND_STREAMS_MAX */
};

#endif
