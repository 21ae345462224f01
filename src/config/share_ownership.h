/* SPDX-License-Identifier: MIT */
/* What the member ownership of a shared directory's device says. */
#ifndef VZ_CONFIG_SHARE_OWNERSHIP_H
#define VZ_CONFIG_SHARE_OWNERSHIP_H

#include "base/compiler.h"

struct share_ownership_words {
    bool same, map, root; /* none: mine; root: mine, and what is the user's is seen as root's */
    unsigned uid, gid; /* map */
};

/* False: it is none. */
bool share_ownership_parse(const char *text, struct share_ownership_words *ret) must_check;

#endif
