/* SPDX-License-Identifier: MIT */
/* A configuration as JSON, where something is done to it that the library has no function for: paths, and
 * identities. */
#ifndef VZ_TOOLS_CONFIG_JSON_H
#define VZ_TOOLS_CONFIG_JSON_H

#include <stdbool.h>

#include <jansson.h>

#include <vz/error.h>

struct vz_config;

/* A reference, or NULL and err. */
json_t *config_json(const struct vz_config *config, struct vz_error *err);
struct vz_config *config_of_json(json_t *json, struct vz_error *err);

/* Call fn for each member that is a path (by the library's own description of itself), until it returns
 * false, which is returned. It may set the member. */
typedef bool config_path_fn(void *arg, json_t *object, const char *member, const char *path);
bool config_paths(json_t *config, config_path_fn *fn, void *arg);

/* Another configuration with all relative paths made absolute, from this folder, as a command line means
 * them; but for those called as in keep (ends with NULL; may be NULL). NULL and err. */
struct vz_config *config_absolute(const struct vz_config *config, const char *folder,
                                  const char *const *keep, struct vz_error *err);

/* The other way round: what lies in this folder gets a relative path. */
struct vz_config *config_relative(const struct vz_config *config, const char *folder,
                                  struct vz_error *err);

/* Does it describe a USB device: a disk, a drive, or one of the host's? */
bool config_is_usb(const json_t *device);
/* In which list of a configuration such a one is. */
const char *config_usb_list(const json_t *device);
/* Give it a USB controller if nothing has it have one any more: it came with a device that is gone, and the running machine and
 * its states have it still. */
void config_keep_usb(json_t *config);

/* Give it a new machine identifier and new MAC addresses. */
void config_new_identity(json_t *config);

#endif
