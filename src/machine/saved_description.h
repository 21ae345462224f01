/* SPDX-License-Identifier: MIT */
/* What a saved state says of the machine besides its configuration and the state of its devices: what
 * has to be there for the guest to go on, and is looked at before anything is restored. In JSON. */
#ifndef VZ_MACHINE_SAVED_DESCRIPTION_H
#define VZ_MACHINE_SAVED_DESCRIPTION_H

#include "base/compiler.h"

struct parts;
struct vz_error;

/* Text for free(), or NULL without memory. */
char *saved_description_write(const struct parts *p);

/* Does the machine have what is needed? From then on p->features is what the guest knows of. path: of the
 * file. 0; or -EINVAL with err. */
int saved_description_check(const char *text, size_t len, struct parts *p, const char *path,
                            struct vz_error *err) must_check;

#endif
