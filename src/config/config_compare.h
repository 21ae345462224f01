/* SPDX-License-Identifier: MIT */
/* Are two configurations the same to a guest? */
#ifndef VZ_CONFIG_CONFIG_COMPARE_H
#define VZ_CONFIG_CONFIG_COMPARE_H

#include "base/compiler.h"

struct vz_config;
struct vz_error;

/* 0; or -EINVAL, and err names the first member that differs, in the order of the JSON form, and says
 * what it was and is. What the guest cannot see (schema_field.host) does not count; nor, of a copy, who it is:
 * machine identifier and MAC addresses, which the guest sees when it starts the next time. */
int config_compare(const struct vz_config *was, const struct vz_config *is, bool is_copy,
                   struct vz_error *err) must_check;

/* Can a state be restored into a machine of this configuration? Its disks may be ephemeral, which those of a machine
 * that is saved cannot be. 0; or -1 with VZ_ERROR_UNSUPPORTED. */
int config_validate_restore_support(const struct vz_config *c, struct vz_error *err) must_check;

#endif
