/* SPDX-License-Identifier: MIT */
/* Sound that goes nowhere, and silence: the smallest backend. */
#include <errno.h>

#include "base/compiler.h"
#include "sound/sound_backend.h"

static void null_pass(struct sound *s, uint64_t frames)
{
    if (s->direction == SOUND_OUTPUT)
        sound_take(s, NULL, frames);
    else
        sound_give(s, NULL, frames);
}

static const struct sound_ops null_ops = {.name = "null", .pass = null_pass};

int sound_null_create(struct loop *loop, enum sound_direction direction, struct sound **ret,
                      struct vz_error *err)
{
    struct sound *s = sound_backend_new(&null_ops, sizeof(*s), loop, direction, err);

    if (!s)
        return -ENOMEM;
    *ret = s;
    return 0;
}
