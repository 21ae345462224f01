/* SPDX-License-Identifier: MIT */
/* A configuration from the inside: the validated copy of its options. */
#ifndef VZ_API_CONFIG_IMPL_H
#define VZ_API_CONFIG_IMPL_H

#include <vz/config.h>

struct vz_config {
    struct vz_config_options o; /* strings are our own; complete, whatever the caller's size was */
};

struct vz_config *config_copy(const struct vz_config *config);

#endif
