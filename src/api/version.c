/* SPDX-License-Identifier: MIT */
/* The library's version, which comes from the root meson.build, and what serves programs beside
 * machines. */
#include <vz/vz.h>

#include "base/closest.h"

const char *vz_version(void)
{
    return VZ_VERSION;
}

const char *vz_closest_word(const char *word, const char *const *words)
{
    struct closest c = {.word = word};

    for (; word && words && *words; words++)
        closest_try(&c, *words);
    return c.best;
}
