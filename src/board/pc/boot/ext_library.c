/* SPDX-License-Identifier: MIT */
/* libext2fs when it is needed: see ext_library.h. */
#include "board/pc/boot/ext_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#define NAME "libext2fs.so.2"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct ext_library libext2fs;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static int find_functions(void *library, struct ext_library *ret, struct vz_error *err)
{
#define X(name)                                                                                      \
    *(void **)&ret->name = dlsym(library, "ext2fs_" #name);                                          \
    if (!ret->name)                                                                                  \
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,                                         \
                         "starting from a disk: this " NAME " has no ext2fs_" #name "()");
    EXT2FS_FUNCTIONS(X)
#undef X
    return 0;
}

static int load_locked(struct vz_error *err)
{
    struct ext_library found;
    void *library;
    int r;

    if (libext2fs.open2)
        return 0;
    library = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "starting from a disk needs libext2fs (Debian: libext2fs2): %s", dlerror());
    r = find_functions(library, &found, err);
    if (r < 0)
        dlclose(library);
    else
        libext2fs = found;
    return r;
}

int ext_library_load(struct vz_error *err)
{
    int r;

    pthread_mutex_lock(&loading);
    r = load_locked(err);
    pthread_mutex_unlock(&loading);
    return r;
}
