/* SPDX-License-Identifier: MIT */
/* Moments of a machine that it can come back to: snapshots.json says of each its tag, the one before it, its time, the
 * configuration with disks that nobody writes any more (freeze.h), and the saved state, where the machine ran. */
#ifndef VZ_TOOLS_SNAPSHOT_H
#define VZ_TOOLS_SNAPSHOT_H

#include <jansson.h>

#include "bundle/bundle.h"

#define SNAPSHOT_NAME_MAX 64

/* {"current": TAG or null, "snapshots": [...]}. A reference, or NULL and err. */
json_t *snapshots_load(const struct bundle *b, struct vz_error *err);
/* The one with this tag, or NULL: nobody's reference. */
json_t *snapshots_find(json_t *all, const char *tag);
/* Can a new one have it? false and err. */
bool snapshot_tag_check(const struct bundle *b, const char *tag, struct vz_error *err);

/* A name of the folder that no state has. */
void snapshot_state_name(const struct bundle *b, char ret[SNAPSHOT_NAME_MAX]);

/* The disks are frozen, and the machine has layers: now there is a snapshot. state: NULL, it did not run. */
int snapshot_add(const struct bundle *b, const char *tag, const char *state, json_t *frozen, struct vz_error *err);

/* All of one that does not run; locked for both uses. -1 and err, and the machine is as it was. */
int snapshot_take(const struct bundle *b, const char *tag, struct vz_error *err);
/* Layers that a crash left. Locked for changes. */
void snapshot_sweep_layers(const struct bundle *b);
/* What is not needed any more of these images; gone: objects as in a configuration, in an array. Locked for changes. */
void snapshot_sweep_disks(const struct bundle *b, json_t *gone);
/* Those layers, and states that no snapshot has: a crash's, or a fork's. */
void snapshot_sweep(const struct bundle *b);

/* Coming back to one, in two steps: all that can fail for the snapshot's sake fails in the first, while the machine may
 * still run. Locked for changes; for the second also for running. */
struct rewinding {
    json_t *all, *snapshot, *layered; /* configuration */
};
int snapshot_rewind_begin(const struct bundle *b, const char *tag, struct rewinding *ret, struct vz_error *err);
/* What has come after it is gone, unless another snapshot has it. It is saved then, if it ran. */
int snapshot_rewind_end(const struct bundle *b, struct rewinding *r, struct vz_error *err);
/* Or not: it is as it was. */
void snapshot_rewind_abandon(const struct bundle *b, struct rewinding *r);

/* Those that came after it come after the one before. Locked for changes. */
int snapshot_delete(const struct bundle *b, const char *tag, struct vz_error *err);

#endif
