/* SPDX-License-Identifier: MIT */
/* The library's version; VZ_VERSION comes from the root meson.build. */
#include <vz/vz.h>

const char *vz_version(void)
{
    return VZ_VERSION;
}
