/* SPDX-License-Identifier: MIT */
/* JSON from objects and back, by their tables. */
#ifndef VZ_CONFIG_SCHEMA_JSON_H
#define VZ_CONFIG_SCHEMA_JSON_H

#include <jansson.h>

#include "config/schema.h"

/* An object of type from its JSON form, complete. A reference; NULL with err, which names the member
 * by its path ("networkDevices[0].mac: ..."). */
void *schema_read(const struct schema_type *type, const json_t *v, struct vz_error *err);

/* A new JSON value; NULL: no memory, or a string is not UTF-8. Of an object or an element, of what
 * a member has. */
json_t *schema_write(const struct schema_type *type, const void *members);

#endif
