/* SPDX-License-Identifier: MIT */
/* `vz set MACHINE disk.N.KEY=VALUE`: disks, of which some things change while the machine runs. */
#ifndef VZ_TOOLS_SET_DISK_H
#define VZ_TOOLS_SET_DISK_H

#include <stdbool.h>

#include <jansson.h>

#include <vz/error.h>

struct bundle;

/* Is it "disk.N.KEY"? */
bool set_disk_is(const char *key);

/* Change the JSON form of a configuration. A size is no member of it: then nothing changes. False and err: there
 * is no such disk, or no such thing to be set, or the value is none. */
bool set_disk_apply(json_t *config, const char *key, const char *value, struct vz_error *err);

/* Once config is the machine's configuration: have the running machine do it at once; and give a disk its size.
 * False and err. */
bool set_disk_now(const struct bundle *b, json_t *config, const char *key, const char *value,
                  struct vz_error *err);

#endif
