/* SPDX-License-Identifier: MIT */
#include "net/slirp_library.h"

#include "base/late_library.h"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct slirp_library libslirp;

static const char *const names[] = {
#define X(name) "slirp_" #name,
    SLIRP_FUNCTIONS(X)
#undef X
};

int slirp_library_load(struct vz_error *err)
{
    static struct late_library library = {.file = "libslirp.so.0",
                                          .needed = "NAT needs libslirp (Debian: libslirp0)",
                                          .names = names,
                                          .functions = &libslirp,
                                          .count = ARRAY_SIZE(names),
                                          .lock = PTHREAD_MUTEX_INITIALIZER};

    return late_library_load(&library, err);
}
