/* SPDX-License-Identifier: MIT */
/* A build without PipeWire. */
#include <errno.h>

#include "base/error.h"
#include "sound/sound.h"

int sound_server_connect(struct loop *loop, const char *name, struct sound_server **ret,
                         struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "this vz was built without PipeWire");
}

int sound_server_stream(struct sound_server *server, enum sound_direction direction,
                        struct sound **ret, struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "this vz was built without PipeWire");
}

void sound_server_disconnect(struct sound_server *server) {}
