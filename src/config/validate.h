/* SPDX-License-Identifier: MIT */
/* Checks of what is changed while a machine runs: as vz_config_validate() makes them. */
#ifndef VZ_CONFIG_VALIDATE_H
#define VZ_CONFIG_VALIDATE_H

#include <vz/config.h>

#include "base/compiler.h"

/* 0; or -1 with the first problem in err. */
int validate_serial_attachment(const struct vz_config *c, const struct vz_serial_attachment *a,
                               struct vz_error *err) must_check;
int validate_network_attachment(const struct vz_network_attachment *a,
                                struct vz_error *err) must_check;

#endif
