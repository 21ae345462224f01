/* SPDX-License-Identifier: MIT */
/* Sound: a virtio sound device with streams, each for output or input, and where their sound goes to and
 * comes from on the host. Apple's: VZVirtioSoundDeviceConfiguration and its stream configurations,
 * VZHostAudioOutputStreamSink, VZHostAudioInputStreamSource.
 * Lifetime: counted. Threads: any; objects do not change once made. */
#ifndef VZ_SOUND_H
#define VZ_SOUND_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VZ_SOUND_STREAMS_MAX 16

VZ_DECLARE_COUNTED(sound_attachment);
VZ_DECLARE_COUNTED(sound_device);

/* Attachments. Each returns a new reference, or NULL with VZ_ERROR_INVALID (a path that is NULL or empty)
 * or VZ_ERROR_NO_MEMORY. Nothing is opened before a machine starts; strings are copied. */

/* The user's sound server, PipeWire, found as every program finds it (XDG_RUNTIME_DIR): its default output
 * or input, or what the user chooses in a mixer. Where there is none, or it goes away, the guest has silence and
 * plays to nobody, in real time, and the log says so once. Since 0.4. */
VZ_PUBLIC struct vz_sound_attachment *vz_host_sound_attachment_new(struct vz_error *err);

/* Of an output: a wav file, which is made or truncated when a machine starts. It has the format of what the
 * guest plays first; other formats are refused from then on. Of an input: the samples of the wav file, once,
 * and then silence; the guest can record in its format only. Since 0.4. */
VZ_PUBLIC struct vz_sound_attachment *vz_wav_sound_attachment_new(const char *path,
                                                                  struct vz_error *err);

enum vz_sound_direction {
    VZ_SOUND_OUTPUT, /* the guest plays */
    VZ_SOUND_INPUT,  /* the guest records */
};

struct vz_sound_stream_options { /* start from VZ_SOUND_STREAM_OPTIONS_INIT */
    size_t size;
    enum vz_sound_direction direction;
    struct vz_sound_attachment *attachment; /* a reference is taken; NULL: silence, or to nowhere */
};
#define VZ_SOUND_STREAM_OPTIONS_INIT VZ_INIT_(struct vz_sound_stream_options, )

struct vz_virtio_sound_options { /* start from VZ_VIRTIO_SOUND_OPTIONS_INIT */
    size_t size;
    const struct vz_sound_stream_options *streams; /* of this many; each is copied */
    unsigned stream_count; /* 0: one output and one input, both the host's */
};
#define VZ_VIRTIO_SOUND_OPTIONS_INIT VZ_INIT_(struct vz_virtio_sound_options, )

/**
 * Describe a sound device. Linux shows each as a card (virtio_snd), with a device for each output and input of
 * the same number.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size, more than
 * VZ_SOUND_STREAMS_MAX streams) or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_sound_device *
vz_virtio_sound_device_new(const struct vz_virtio_sound_options *options, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
