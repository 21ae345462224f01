/* SPDX-License-Identifier: MIT */
/* Are two configurations the same to a guest? */
#ifndef VZ_CONFIG_CONFIG_COMPARE_H
#define VZ_CONFIG_CONFIG_COMPARE_H

#include "base/compiler.h"

struct vz_config;
struct vz_error;

/* 0; or -EINVAL, and err names the first member that differs, in the order of the JSON form, and says
 * what it was and is. What the guest cannot see (schema_field.host) does not count. */
int config_compare(const struct vz_config *was, const struct vz_config *is,
                   struct vz_error *err) must_check;

#endif
