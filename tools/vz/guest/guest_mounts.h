/* SPDX-License-Identifier: MIT */
/* The shared directories that a guest's agent mounts without being asked, and the interpreters of foreign programs that
 * it registers. */
#ifndef VZ_TOOLS_GUEST_MOUNTS_H
#define VZ_TOOLS_GUEST_MOUNTS_H

#include <stdbool.h>

#include <jansson.h>

struct vz_agent;
struct vz_config;

/* A machine's devices of directories, as the configuration has them: a reference; NULL: none. config may be NULL. */
json_t *guest_shares(const struct vz_config *config);
/* Those of them that are to be mounted, and where: an array, a reference. devices may be NULL. */
json_t *guest_mounts(const json_t *devices);
/* Mount them in the guest of the machine called name, and register what is to be. False: the connection went. What
 * the guest cannot have, it is without, after cli_error(). */
bool guest_mount_all(const json_t *mounts, struct vz_agent *agent, const char *name);

#endif
