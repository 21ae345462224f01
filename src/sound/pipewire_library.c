/* SPDX-License-Identifier: MIT */
#include "sound/pipewire_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#define NAME "libpipewire-0.3.so.0"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct pipewire_library libpipewire;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static int find_functions(void *library, struct pipewire_library *ret, struct vz_error *err)
{
#define X(name)                                                                                      \
    *(void **)&ret->name = dlsym(library, "pw_" #name);                                              \
    if (!ret->name)                                                                                  \
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "this " NAME " has no pw_" #name "()");
    PIPEWIRE_FUNCTIONS(X)
#undef X
    return 0;
}

static int load_locked(struct vz_error *err)
{
    struct pipewire_library found;
    void *library;
    int r;

    if (libpipewire.init)
        return 0;
    library = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "the host's sound needs PipeWire (Debian: libpipewire-0.3-0): %s", dlerror());
    r = find_functions(library, &found, err);
    if (r < 0) {
        dlclose(library);
        return r;
    }
    found.init(NULL, NULL);
    libpipewire = found;
    return 0;
}

int pipewire_library_load(struct vz_error *err)
{
    int r;

    pthread_mutex_lock(&loading);
    r = load_locked(err);
    pthread_mutex_unlock(&loading);
    return r;
}
