/* SPDX-License-Identifier: MIT */
/* Sound devices, their streams, and where those lead. */
#include <vz/sound.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "config/objects.h"
#include "config/report.h"

/* ---- Attachments ---------------------------------------------------------------------------- */

static const struct schema_field host_fields[] = {
    FIELD_CONST(struct vz_sound_attachment, kind, SOUND_HOST), FIELD_END};
static const struct schema_type host_type = {
    .name = "host_sound", .json = "host", .size = sizeof(struct vz_sound_attachment),
    .fields = host_fields, .option = "host",
    .text = "the user's sound server (PipeWire); without one, nowhere"};

static const struct schema_field wav_fields[] = {
    FIELD_CONST(struct vz_sound_attachment, kind, SOUND_WAV),
    FIELD_PATH(struct vz_sound_attachment, path, "path", .required = true, .option = "",
               .text = "the file: made, or truncated, for an output; read for an input"),
    FIELD_END};
static const struct schema_type wav_type = {
    .name = "wav_sound", .json = "wav", .size = sizeof(struct vz_sound_attachment),
    .fields = wav_fields, .option = "wav", .text = "a wav file"};

static const struct schema_type *const sound_attachments_types[] = {&host_type, &wav_type, NULL};
static const struct schema_class sound_attachments = {.types = sound_attachments_types};

struct vz_sound_attachment *vz_sound_attachment_ref(struct vz_sound_attachment *object)
{
    return object_ref(object);
}

void vz_sound_attachment_unref(struct vz_sound_attachment *object)
{
    object_unref(object);
}

struct vz_sound_attachment *vz_host_sound_attachment_new(struct vz_error *err)
{
    return schema_new(&host_type, err);
}

struct vz_sound_attachment *vz_wav_sound_attachment_new(const char *path, struct vz_error *err)
{
    struct vz_sound_attachment a = {.path = (char *)path};

    return schema_make(&wav_type, &a, err);
}

/* ---- Streams -------------------------------------------------------------------------------- */

static void check_stream(struct report *r, const void *object)
{
    const struct sound_stream *s = object;
    const char *path = s->attachment && s->attachment->kind == SOUND_WAV ? s->attachment->path : NULL;

    if (path && s->direction == VZ_SOUND_OUTPUT)
        report_output_file(r, path);
    else if (path && access(path, R_OK) < 0)
        report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
}

/* host, none, wav:PATH */
static bool parse_stream(char *text, void *element)
{
    struct sound_stream *s = element;

    if (!strcmp(text, "none"))
        return true;
    if (!strcmp(text, "host"))
        s->attachment = vz_host_sound_attachment_new(NULL);
    else if (!strncmp(text, "wav:", 4) && text[4])
        s->attachment = vz_wav_sound_attachment_new(text + 4, NULL);
    return s->attachment;
}

static const char *const directions[] = {"output", "input", NULL};
static const struct schema_field stream_fields[] = {
    FIELD_ENUM(struct sound_stream, direction, "direction", directions, .required = true,
               .text = "whether the guest plays or records"),
    FIELD_ONE(struct sound_stream, attachment, "attachment", &sound_attachments, .host = true,
              .text = "where it leads; without one: to nowhere, and silence"),
    FIELD_END};
static const struct schema_type stream_type = {
    .name = "sound_stream", .size = sizeof(struct sound_stream), .fields = stream_fields,
    .check = check_stream, .parse = parse_stream, .value = "host|none|wav:FILE",
    .text = "a stream of a sound device"};

/* ---- Devices -------------------------------------------------------------------------------- */

static const struct schema_field device_fields[] = {
    FIELD_ARRAY(struct vz_sound_device, stream, stream_count, "streams", &stream_type,
                .max = VZ_SOUND_STREAMS_MAX, .words = directions, .noun = "streams",
                .text = "its streams; without any, one output and one input, both the host's"),
    FIELD_END};

static bool add_stream(struct vz_sound_device *d, enum vz_sound_direction direction)
{
    struct sound_stream *s = schema_array_add(&device_fields[0], d);

    if (s)
        *s = (struct sound_stream){direction, vz_host_sound_attachment_new(NULL)};
    return s && s->attachment;
}

static int complete_device(void *object, struct vz_error *err)
{
    struct vz_sound_device *d = object;

    if (d->stream_count || (add_stream(d, VZ_SOUND_OUTPUT) && add_stream(d, VZ_SOUND_INPUT)))
        return 0;
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

const struct schema_type config_virtio_sound_type = {
    .name = "sound", .json = "virtioSound", .size = sizeof(struct vz_sound_device),
    .fields = device_fields, .complete = complete_device, .option = "sound", .heading = "Devices",
    .text = "a virtio sound card: what the guest plays and records is the host's sound, goes to or comes from a "
            "wav file, or nowhere (default one output and one input of the host's)",
    .more = "The host's sound is the user's PipeWire; where there is none, the machine says so once and the guest "
            "goes on in silence. In the guest each output and each input of the same number is a device of the card."};

static const struct schema_type *const sound_devices_types[] = {&config_virtio_sound_type, NULL};
const struct schema_class config_sound_devices = {.types = sound_devices_types};

struct vz_sound_device *vz_sound_device_ref(struct vz_sound_device *object)
{
    return object_ref(object);
}

void vz_sound_device_unref(struct vz_sound_device *object)
{
    object_unref(object);
}

/* Streams lie as far apart as the caller's struct is long. */
static int copy_stream(struct sound_stream *s, const struct vz_virtio_sound_options *from, unsigned i,
                       struct vz_error *err)
{
    struct vz_sound_stream_options o = VZ_SOUND_STREAM_OPTIONS_INIT;
    int r = options_copy(&o, sizeof(o), (const char *)from->streams + i * from->streams->size, err);

    *s = (struct sound_stream){o.direction == VZ_SOUND_INPUT ? VZ_SOUND_INPUT : VZ_SOUND_OUTPUT,
                               o.attachment};
    return r;
}

struct vz_sound_device *
vz_virtio_sound_device_new(const struct vz_virtio_sound_options *options, struct vz_error *err)
{
    struct vz_virtio_sound_options o = VZ_VIRTIO_SOUND_OPTIONS_INIT;
    struct sound_stream stream[VZ_SOUND_STREAMS_MAX];
    struct vz_sound_device d = {.stream = stream};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.stream_count = o.stream_count;
    if (!o.streams)
        d.stream = NULL;
    /* More are refused below, and none is looked at. */
    for (unsigned i = 0; d.stream && o.stream_count <= ARRAY_SIZE(stream) && i < o.stream_count; i++) {
        if (copy_stream(&stream[i], &o, i, err) < 0)
            return NULL;
    }
    return schema_make(&config_virtio_sound_type, &d, err);
}

int vz_config_add_sound_device(struct vz_config *config, struct vz_sound_device *device,
                               struct vz_error *err)
{
    return config_add(config ? &config->sound_devices : NULL, device, err);
}
