/* SPDX-License-Identifier: MIT */
#ifndef VZ_TOOLS_HELPER_FILE_H
#define VZ_TOOLS_HELPER_FILE_H

#include <vz/error.h>

struct helper_place {
    const char *built;     /* from the folder of the program in a build */
    const char *installed; /* from the prefix */
};
extern const struct helper_place helper_debian; /* the script that makes an image */
extern const struct helper_place helper_agent, helper_agent_unit, helper_init; /* for a guest */
extern const struct helper_place helper_view; /* shows a window; may be missing */

extern const struct helper_place helper_vnc; /* shows a display from afar; may be missing */

/* Where it is: text for free(); or NULL and err. */
char *helper_file(const struct helper_place *place, struct vz_error *err);

#endif
