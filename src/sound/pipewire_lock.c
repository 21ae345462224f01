/* SPDX-License-Identifier: MIT */
#include "sound/pipewire_lock.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <poll.h>
#include <spa/param/audio/format-utils.h>
#include <string.h>

#include "base/thread.h"

/* ---- What is loaded later ------------------------------------------------------------------- */

/* Of what is loaded: while they are told, nothing else can be asked of the linker. */
struct names {
    char name[32][256];
    unsigned count;
};

static int note_name(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct names *n = arg;

    if ((strstr(info->dlpi_name, "/spa-0.2/") || strstr(info->dlpi_name, "pipewire")) &&
        n->count < ARRAY_SIZE(n->name) && strlen(info->dlpi_name) < sizeof(n->name[0]))
        strcpy(n->name[n->count++], info->dlpi_name);
    return 0;
}

/* What is loaded now would be unloaded with its last user, and opened again. */
static void keep_loaded(void)
{
    struct names names = {.count = 0};

    dl_iterate_phdr(note_name, &names);
    for (unsigned i = 0; i < names.count; i++)
        (void)dlopen(names.name[i], RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

/* A stream such as a guest's: for it there is a converter. It is gone again before the server has heard of it. */
static void load_converter(struct pw_core *core)
{
    uint8_t buffer[1024];
    struct spa_pod_builder b = SPA_POD_BUILDER_INIT(buffer, sizeof(buffer));
    struct spa_audio_info_raw info = {.format = SPA_AUDIO_FORMAT_S16_LE,
                                      .channels = 2,
                                      .rate = 48000,
                                      .position = {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR}};
    const struct spa_pod *param = spa_format_audio_raw_build(&b, SPA_PARAM_EnumFormat, &info);
    struct pw_properties *props = libpipewire.properties_new(PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_NODE_NAME, "vz", NULL);
    struct pw_stream *stream = props ? libpipewire.stream_new(core, "vz", props) : NULL;

    if (!stream)
        return;
    (void)libpipewire.stream_connect(stream, PW_DIRECTION_OUTPUT, PW_ID_ANY, PW_STREAM_FLAG_INACTIVE, &param, 1);
    keep_loaded();
    libpipewire.stream_destroy(stream);
}

#define PATIENCE_MS 5000u

/* ---- Its thread ----------------------------------------------------------------------------- */

struct locking {
    struct thread_policy *policy;
    pthread_t asker;
    int result;
};

static int lock_thread(struct spa_loop *loop, bool async, uint32_t seq, const void *data, size_t size, void *arg)
{
    struct locking *l = arg;

    l->result = -EAGAIN;
    if (pthread_equal(pthread_self(), l->asker))
        return 0;
    pthread_setname_np(pthread_self(), "vz-sound");
    thread_set_policy(l->policy);
    l->result = thread_enter(THREAD_SOUND);
    return 0;
}

int pipewire_lock(struct pw_context *context, struct pw_core *core, struct vz_error *err)
{
    struct locking l = {.policy = thread_set_policy(NULL), .asker = pthread_self(), .result = -EAGAIN};

    thread_set_policy(l.policy);
    if (!l.policy)
        return 0;
    load_converter(core);
    /* Until its thread is in the loop, whoever asks is made to do it himself. */
    for (unsigned i = 0; l.result == -EAGAIN && i < PATIENCE_MS; i++) {
        (void)libpipewire.data_loop_invoke(libpipewire.context_get_data_loop(context), lock_thread, 1, NULL, 0, true, &l);
        if (l.result == -EAGAIN)
            poll(NULL, 0, 1);
    }
    return l.result < 0 ? error_set(err, -l.result, VZ_ERROR_INTERNAL,
                                    "the thread of PipeWire cannot enter the sandbox: %s", strerror(-l.result))
                        : 0;
}
