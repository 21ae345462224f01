/* SPDX-License-Identifier: MIT */
#include "tool_library.h"

#include <dlfcn.h>
#include <string.h>

#include "failure.h"

/* A function's place in the struct: a pointer of another type each, and all of one size (POSIX's dlsym()). */
static char *place(const struct tool_library *l, size_t i)
{
    return (char *)l->functions + i * sizeof(void *);
}

static bool is_loaded(const struct tool_library *l)
{
    void *first;

    memcpy(&first, place(l, 0), sizeof(first));
    return first;
}

static void *open_any(const struct tool_library *l, const char **ret_file)
{
    void *library = NULL;

    for (size_t i = 0; !library && l->files[i]; i++) {
        *ret_file = l->files[i];
        library = dlopen(l->files[i], RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

bool tool_library_load(const struct tool_library *l, struct vz_error *err)
{
    const char *file = NULL;
    void *library;

    if (is_loaded(l))
        return true;
    library = open_any(l, &file);
    if (!library)
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "%s: %.160s", l->needed, dlerror());
    for (size_t i = 0; i < l->count; i++) {
        void *function = dlsym(library, l->names[i]);

        if (!function) {
            memset(l->functions, 0, l->count * sizeof(void *));
            dlclose(library);
            return fail_false(err, VZ_ERROR_UNSUPPORTED, "%s: this %s has no %s()", l->needed, file, l->names[i]);
        }
        memcpy(place(l, i), &function, sizeof(function));
    }
    return true;
}
