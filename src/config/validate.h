/* SPDX-License-Identifier: MIT */
/* Checks of parts of a configuration: as vz_config_validate() makes them. */
#ifndef VZ_CONFIG_VALIDATE_H
#define VZ_CONFIG_VALIDATE_H

#include <vz/config.h>

#include "base/compiler.h"
#include "config/schema.h"

/* Of what is changed while a machine runs: a serial or network attachment. 0; or -1 with the first
 * problem in err. */
int validate_attachment(const void *attachment, struct vz_error *err) must_check;

/* Likewise, of a device that comes while it runs. */
int validate_device(const void *device, struct vz_error *err) must_check;

/* Of one number among an object's members. 0; or -1 with the problem in err, without a path. */
int validate_value(const struct schema_field *f, const void *members,
                   struct vz_error *err) must_check;

#endif
