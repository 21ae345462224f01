/* SPDX-License-Identifier: MIT */
/* What a machine is like when it has just started, kept beside it: its saved state, and a layer for each of its
 * disks with what the start has written. Whoever wants a clean machine goes on from there. A few of them, of different
 * configurations, are kept side by side.
 *
 * It is good for one configuration, as long as none of its files has changed, and for this version of vz;
 * warm.json says which. A new one is written there at last, so all that are there are whole. */
#ifndef VZ_TOOLS_WARM_H
#define VZ_TOOLS_WARM_H

#include "bundle/bundle.h"

struct warm {
    char *print;              /* of what it is good for */
    char *state;              /* the saved state's path */
    struct vz_config *config; /* the machine's, with layers for disks; all paths are absolute */
    char id[16];
};

/* Is this directory (a share, as the configuration has it) exchanged for each run's own? The machine that makes the state must
 * have nothing of it. */
bool warm_share_is_brought(json_t *share);

/* config: complete, with absolute paths. false: there is none for it. */
bool warm_find(const struct bundle *b, const struct vz_config *config, struct warm *ret);

/* Begin one: state is where it is to be saved, and config the machine that is to write it. Removes what others have
 * left. -1: there will be none, since somebody else makes one, or with err where one should know why. */
int warm_begin(struct bundle *b, const struct vz_config *config, struct warm *ret, struct vz_error *err);
/* It is saved. -1 and err. */
int warm_finish(struct bundle *b, const struct warm *w, struct vz_error *err);
/* It will not be: nothing of it is left. */
void warm_remove(struct bundle *b, const struct warm *w);

/* The one that is there is of no use. */
void warm_spoil(struct bundle *b);

void warm_free(struct warm *w);

#endif
