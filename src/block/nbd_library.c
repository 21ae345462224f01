/* SPDX-License-Identifier: MIT */
/* libnbd when it is needed: see nbd_library.h. */
#include "block/nbd_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#define NAME "libnbd.so.0"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct nbd_library libnbd;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static int find_functions(void *library, struct nbd_library *ret, struct vz_error *err)
{
#define X(name)                                                                                      \
    *(void **)&ret->name = dlsym(library, "nbd_" #name);                                             \
    if (!ret->name)                                                                                  \
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,                                         \
                         "disks on NBD servers: this " NAME " has no nbd_" #name "()");
    NBD_FUNCTIONS(X)
#undef X
    return 0;
}

static int load_locked(struct vz_error *err)
{
    struct nbd_library found;
    void *library;
    int r;

    if (libnbd.create)
        return 0;
    library = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "disks on NBD servers need libnbd (Debian: libnbd0): %s", dlerror());
    r = find_functions(library, &found, err);
    if (r < 0)
        dlclose(library);
    else
        libnbd = found;
    return r;
}

int nbd_library_load(struct vz_error *err)
{
    int r;

    pthread_mutex_lock(&loading);
    r = load_locked(err);
    pthread_mutex_unlock(&loading);
    return r;
}
