/* SPDX-License-Identifier: MIT */
/* GLib when it is needed: see glib_library.h. */
#include "create/glib_library.h"

#include <dlfcn.h>
#include <stddef.h>

#include "failure.h"

#define NAME "libglib-2.0.so.0"

struct glib_library libglib;

bool glib_library_load(struct vz_error *err)
{
    void *library = libglib.checksum_new ? NULL : dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    struct glib_library found;

    if (libglib.checksum_new)
        return true;
    if (!library)
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "checksums need GLib (Debian: libglib2.0-0): %.160s", dlerror());
#define X(name)                                                                                      \
    *(void **)&found.name = dlsym(library, "g_" #name);                                              \
    if (!found.name)                                                                                 \
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "checksums: this " NAME " has no g_" #name "()");
    GLIB_FUNCTIONS(X)
#undef X
    libglib = found;
    return true;
}
