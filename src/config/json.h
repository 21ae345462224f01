/* SPDX-License-Identifier: MIT */
/* The words of the JSON form that its reader and its writer share. */
#ifndef VZ_CONFIG_JSON_H
#define VZ_CONFIG_JSON_H

#include "config/config_impl.h"

/* By enum serial_attachment_kind. */
extern const char *const json_serial_kinds[SERIAL_KIND_COUNT];

/* "unknown" for what does not validate. */
const char *json_caching_name(enum vz_disk_caching caching);
const char *json_sync_name(enum vz_disk_sync sync);

/* False for a word that is none. */
bool json_caching_parse(const char *name, enum vz_disk_caching *ret);
bool json_sync_parse(const char *name, enum vz_disk_sync *ret);

#endif
