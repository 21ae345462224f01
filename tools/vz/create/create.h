/* SPDX-License-Identifier: MIT */
/* What `vz create` makes a machine from. A source puts the machine's disk into its folder; all else is
 * in its configuration. */
#ifndef VZ_TOOLS_CREATE_H
#define VZ_TOOLS_CREATE_H

#include "command/machine_command.h"

#define CREATE_DISK "disk.img" /* raw: what is in the folder is what it is, and grows by itself */
#define CREATE_STORE "variables.fd" /* of UEFI firmware */
#define CREATE_DISC "installer.iso" /* from which a system is installed on an empty disk */
#define CREATE_SEED "first-start.user-data" /* for cloud-init */

struct source {
    const char *name; /* for people: "debian[:SUITE]" */
    bool (*is)(const char *from);
    /* Have CREATE_DISK in the draft's folder. bytes: how large it is to be; 0: as it comes. False and
     * err: VZ_ERROR_CANCELLED when a signal came. */
    bool (*make)(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
                 struct vz_error *err);
    bool provisions; /* it heeds wishes itself; others have a seed disk for cloud-init */
};

/* The first that wants it; the last one takes all. */
const struct source *source_of(const char *from);

bool debian_is(const char *from);
bool debian_make(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
                 struct vz_error *err);
bool url_is(const char *from);
bool url_make(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
              struct vz_error *err);
bool image_make(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
                struct vz_error *err);

/* Have CREATE_SEED in the draft's folder: what the options wish, and the guest's agent, unless the image has it.
 * In the caller's working folder. False and err. */
bool seed_make(const struct bundle *draft, const struct args *a, bool has_agent, struct vz_error *err);

/* The draft's configuration: options given, and what goes without saying. has_disk: CREATE_DISK is there,
 * and is booted from unless something else is; CREATE_SEED, if it is there, is a disk too. NULL and err. */
struct vz_config *create_config(const struct bundle *draft, const struct args *a, bool has_disk,
                                bool boots, struct vz_error *err);

/* Is it create's --disk that says how large the machine's own disk becomes, and not one of other disks? */
bool create_disk_size(const char *value, uint64_t *ret);

/* ---- cache.c -------------------------------------------------------------------------------- */

/* $XDG_CACHE_HOME/vz, which is there then; text for free(), or NULL and err. */
char *cache_path(struct vz_error *err);
/* Wait until nobody else has a file of the cache: a descriptor whose close() lets it go; -1 and err. */
int cache_lock(const char *path, struct vz_error *err);

/* Run a program. What it says goes to standard error, or, if quiet, nowhere. False and err when it fails; its
 * exit status in *ret_status (may be NULL). */
bool spawn_program(const char *const *argv, bool quiet, struct vz_error *err, int *ret_status);

/* Have the file at a URL at path, complete: what is there already is asked for again only if the server
 * has another one. checksum: "sha256:HEX" or "sha512:HEX", or NULL. False and err. */
bool download(const char *url, const char *path, const char *checksum, struct vz_error *err);

#endif
