/* SPDX-License-Identifier: MIT */
#include "base/late_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

/* A function's place in the struct: a pointer of another type each, and all of one size (POSIX's dlsym()). */
static char *place(const struct late_library *l, size_t i)
{
    return (char *)l->functions + i * sizeof(void *);
}

static bool is_loaded(const struct late_library *l)
{
    void *first;

    memcpy(&first, place(l, 0), sizeof(first));
    return first;
}

static int find_functions(const struct late_library *l, void *library, struct vz_error *err)
{
    for (size_t i = 0; i < l->count; i++) {
        void *function = dlsym(library, l->names[i]);

        if (!function && i < l->count - l->optional) {
            memset(l->functions, 0, l->count * sizeof(void *));
            return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "%s: this %s has no %s()", l->needed, l->file,
                             l->names[i]);
        }
        memcpy(place(l, i), &function, sizeof(function));
    }
    return 0;
}

static int load_locked(const struct late_library *l, struct vz_error *err)
{
    void *library;
    int r;

    if (is_loaded(l))
        return 0;
    library = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "%s: %s", l->needed, dlerror());
    r = find_functions(l, library, err);
    if (r < 0)
        dlclose(library);
    else if (l->loaded)
        l->loaded();
    return r;
}

int late_library_load(struct late_library *l, struct vz_error *err)
{
    int r;

    pthread_mutex_lock(&l->lock);
    r = load_locked(l, err);
    pthread_mutex_unlock(&l->lock);
    return r;
}
