/* SPDX-License-Identifier: MIT */
/* libslirp when it is needed: see slirp_library.h. */
#include "net/slirp_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#define NAME "libslirp.so.0"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct slirp_library libslirp;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static int find_functions(void *library, struct slirp_library *ret, struct vz_error *err)
{
#define X(name)                                                                                      \
    *(void **)&ret->name = dlsym(library, "slirp_" #name);                                           \
    if (!ret->name)                                                                                  \
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "NAT: this " NAME " has no slirp_" #name "()");
    SLIRP_FUNCTIONS(X)
#undef X
    return 0;
}

static int load_locked(struct vz_error *err)
{
    struct slirp_library found;
    void *library;
    int r;

    if (libslirp.new)
        return 0;
    library = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "NAT needs libslirp (Debian: libslirp0): %s", dlerror());
    r = find_functions(library, &found, err);
    if (r < 0)
        dlclose(library);
    else
        libslirp = found;
    return r;
}

int slirp_library_load(struct vz_error *err)
{
    int r;

    pthread_mutex_lock(&loading);
    r = load_locked(err);
    pthread_mutex_unlock(&loading);
    return r;
}
