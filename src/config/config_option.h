/* SPDX-License-Identifier: MIT */
/* Options that do more than set a member or add a device. */
#ifndef VZ_CONFIG_CONFIG_OPTION_H
#define VZ_CONFIG_CONFIG_OPTION_H

#include "config/schema_option.h"

struct vz_config;

struct config_shortcut {
    const char *name;
    char letter; /* 0: none */
    const char *value, *heading, *text, *more; /* as in the tables; more may be NULL */
    /* 0, or -errno with err and c as before. */
    int (*apply)(struct vz_config *c, const char *value, struct vz_error *err);
    bool optional; /* it may do without its value */
    const char *adds; /* the name of a type of which it adds a device; NULL: more than that, or none */
};

extern const struct config_shortcut config_shortcuts[]; /* ends with a NULL name */

#endif
