/* SPDX-License-Identifier: MIT */
/* Disks as they are at a moment, kept for good: nobody writes their files any more, and the machine gets a layer on each.
 *
 * The order makes it whole: first the layers, which nothing names yet; then, by one rename, the configuration that
 * names them. From then on the files below are what they are. */
#ifndef VZ_TOOLS_FREEZE_H
#define VZ_TOOLS_FREEZE_H

#include <jansson.h>

#include "bundle/bundle.h"

/* The configuration with a new layer for each disk that the machine writes, made in the folder. All of them must lie
 * there. off: it does not run, and firmware's variables are copied, too; those of one that runs are in its saved state.
 * A reference; or NULL and err, and no layer is left. */
json_t *freeze_layers(const struct bundle *b, json_t *config, bool off, struct vz_error *err);

/* Of a machine that is off, and whose disks are layers in which nothing stands: the configuration becomes one with what is below
 * them, which nobody writes. False: they are not, and it is as it was; or all that reads the same. */
bool freeze_below(const struct bundle *b, json_t *config);

/* Which disks get which layers: the number of the storage device, and the path. */
void freeze_each(json_t *layered, void (*fn)(void *arg, unsigned device, const char *path), void *arg);

/* Fill a draft with what a machine of this frozen configuration needs: hard links of what nobody writes, and
 * layers of its own. Its configuration has another identity, and its guest is to get one (identity.h). 0; or -1 and err. */
int freeze_fill(const struct bundle *from, json_t *frozen, const struct bundle *to, struct vz_error *err);

/* A configuration with these layers is there: from now on they are disks like others. */
void freeze_named(const struct bundle *b, json_t *layered);

/* Remove layers that were made and never named, array kept least of all: what a crash left. */
void freeze_sweep_begun(const struct bundle *b, json_t *kept);

/* Remove the disks' files that configuration gone leads to, and none of kept: arrays. Where that cannot be told, all stay. */
void freeze_sweep(const struct bundle *b, json_t *gone, json_t *kept);

#endif
