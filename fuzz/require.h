/* SPDX-License-Identifier: MIT */
/* What must hold in a fuzz program; where it does not, that is the finding. */
#ifndef VZ_FUZZ_REQUIRE_H
#define VZ_FUZZ_REQUIRE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "failed: %s\n", what);
    abort();
}

#endif
