/* SPDX-License-Identifier: MIT */
#include "create/create.h"

static bool anything(const char *from)
{
    return true;
}

static const struct source sources[] = {
    {"debian[:SUITE]", debian_is, debian_make, true},
    {"URL", url_is, url_make, false},
    {"IMAGE", anything, image_make, false},
};

const struct source *source_of(const char *from)
{
    const struct source *s = sources;

    while (!s->is(from))
        s++;
    return s;
}
