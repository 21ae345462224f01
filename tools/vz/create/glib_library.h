/* SPDX-License-Identifier: MIT */
/* What is used of GLib, loaded for the first use: linked it would be a part of each start of vz. */
#ifndef VZ_TOOL_GLIB_LIBRARY_H
#define VZ_TOOL_GLIB_LIBRARY_H

#include <stdbool.h>

#include <glib.h>

#include <vz/vz.h>

/* What is used of it, without the g_ before. */
#define GLIB_FUNCTIONS(X)                                                                                      \
    X(checksum_free) X(checksum_get_string) X(checksum_new) X(checksum_update) X(clear_error)                  \
    X(compute_checksum_for_data) X(file_set_contents) X(free)

struct glib_library {
#define X(name) __typeof__(g_##name) *name;
    GLIB_FUNCTIONS(X)
#undef X
};

/* All of it NULL before glib_library_load() returned true. */
extern struct glib_library libglib;

/* False with err, which says what is missing. */
bool glib_library_load(struct vz_error *err);

#endif
