/* SPDX-License-Identifier: MIT */
/* The shared directories that a guest's agent mounts without being asked, and the interpreters of foreign programs that
 * it registers. */
#ifndef VZ_TOOLS_GUEST_MOUNTS_H
#define VZ_TOOLS_GUEST_MOUNTS_H

#include <stdbool.h>

#include <jansson.h>

struct vz_agent;
struct vz_config;

/* Those of a machine, and where: an array, a reference. config may be NULL. */
json_t *guest_mounts(const struct vz_config *config);
/* Mount them in the guest of the machine called name, and register what is to be. False: the connection went. What
 * the guest cannot have, it is without, after cli_error(). */
bool guest_mount_all(const json_t *mounts, struct vz_agent *agent, const char *name);

#endif
