/* SPDX-License-Identifier: MIT */
/* Those that look at the machine's displays by a channel. */
#ifndef VZ_TOOLS_VIEWERS_H
#define VZ_TOOLS_VIEWERS_H

#include <stdbool.h>

#include <vz/error.h>

#define VIEWERS_MAX 16u

struct vz_display_channel;
struct vz_machine;

/* Zero at first. */
struct viewers {
    struct vz_display_channel *channel[VIEWERS_MAX]; /* NULL: free */
};

/* One more: its end of the channel; or -1 and err. */
int viewers_add(struct viewers *v, struct vz_machine *m, unsigned device, unsigned display, struct vz_error *err);
/* All are hung up on. Before the machine is freed. */
void viewers_free(struct viewers *v);

#endif
