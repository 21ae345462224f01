/* SPDX-License-Identifier: MIT */
#include "control/viewers.h"

#include <stddef.h>

#include <vz/display_channel.h>

#include "failure.h"

/* Those that have gone are freed. NULL: there are as many as may be. */
static struct vz_display_channel **find_place(struct viewers *v)
{
    struct vz_display_channel **place = NULL;

    for (unsigned i = 0; i < VIEWERS_MAX; i++) {
        if (v->channel[i] && vz_display_channel_is_over(v->channel[i])) {
            vz_display_channel_free(v->channel[i]);
            v->channel[i] = NULL;
        }
        if (!v->channel[i] && !place)
            place = &v->channel[i];
    }
    return place;
}

int viewers_add(struct viewers *v, struct vz_machine *m, unsigned device, unsigned display, struct vz_error *err)
{
    struct vz_display_channel **place = find_place(v);
    int fd = -1;

    if (!place)
        return fail(err, VZ_ERROR_LIMIT_EXCEEDED, "%u viewers look at its displays already", VIEWERS_MAX);
    *place = vz_display_channel_new(m, device, display, &fd, err);
    return *place ? fd : -1;
}

void viewers_free(struct viewers *v)
{
    for (unsigned i = 0; i < VIEWERS_MAX; i++) {
        vz_display_channel_free(v->channel[i]);
        v->channel[i] = NULL;
    }
}
