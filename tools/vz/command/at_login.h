/* SPDX-License-Identifier: MIT */
/* Machines that start when their user logs in (or, with lingering, when the host starts): a unit of the
 * user's systemd for each, which runs `vz start --foreground`. */
#ifndef VZ_TOOLS_AT_LOGIN_H
#define VZ_TOOLS_AT_LOGIN_H

#include <stdbool.h>

#include <vz/error.h>

struct bundle;

/* Write the machine's unit and enable it, or remove it. False and err. That it is not there is no failure. */
bool at_login_add(const struct bundle *b, struct vz_error *err);
bool at_login_remove(const struct bundle *b, struct vz_error *err);
/* Is there one, and is it this machine's and not that of another one of its name? */
bool at_login_has(const struct bundle *b);

#endif
