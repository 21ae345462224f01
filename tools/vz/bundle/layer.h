/* SPDX-License-Identifier: MIT */
/* Layers: images that take what is written, and read through to one beside them that nobody writes. */
#ifndef VZ_TOOLS_LAYER_H
#define VZ_TOOLS_LAYER_H

#include <jansson.h>

#include "bundle/bundle.h"

#define LAYER_NAME_MAX 128
#define LAYERS_MAX     8u /* then a copy is better: every read goes through all of them */

bool layer_is_qcow2(int folder, const char *path);

/* The name of the image beside it that an image reads through to; "": none. false and err: that cannot be told. The
 * working folder is the machine's afterwards. */
bool layer_below(const struct bundle *b, const char *path, char ret[LAYER_NAME_MAX], struct vz_error *err);

/* How many images a disk is read from, but not more than max. *ret_whole: none of them is elsewhere, or cannot be read. The
 * working folder is the machine's afterwards. */
unsigned layer_depth(const struct bundle *b, const char *path, unsigned max, bool *ret_whole);

/* Make a layer on a file of the folder, base, in place of what has its name. The working folder is the
 * machine's afterwards. false and err. */
bool layer_make(const struct bundle *b, const char *base, const char *layer, struct vz_error *err);

/* Is this part of a configuration a disk whose image the machine writes? */
bool layer_is_for(json_t *object);

/* Is it the firmware's variable store, which a machine writes, too, but has no layers? */
bool layer_is_store(const char *member);

/* config_path_fn's question: is it the name of a file in the folder itself? */
bool layer_is_here(const char *path);

#endif
