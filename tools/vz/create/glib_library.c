/* SPDX-License-Identifier: MIT */
#include "create/glib_library.h"

#include "tool_library.h"

struct glib_library libglib;

static const char *const names[] = {
#define X(name) "g_" #name,
    GLIB_FUNCTIONS(X)
#undef X
};

bool glib_library_load(struct vz_error *err)
{
    return tool_library_load(&(struct tool_library){.files = {"libglib-2.0.so.0"},
                                                    .needed = "checksums need GLib (Debian: libglib2.0-0)",
                                                    .names = names,
                                                    .functions = &libglib,
                                                    .count = sizeof(names) / sizeof(names[0])},
                             err);
}
