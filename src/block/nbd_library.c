/* SPDX-License-Identifier: MIT */
#include "block/nbd_library.h"

#include "base/late_library.h"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct nbd_library libnbd;

static const char *const names[] = {
#define X(name) "nbd_" #name,
    NBD_FUNCTIONS(X)
#undef X
    "nbd_set_request_extended_headers",
};

int nbd_library_load(struct vz_error *err)
{
    static struct late_library library = {.file = "libnbd.so.0",
                                          .needed = "disks on NBD servers need libnbd (Debian: libnbd0)",
                                          .names = names,
                                          .functions = &libnbd,
                                          .count = ARRAY_SIZE(names),
                                          .optional = 1,
                                          .lock = PTHREAD_MUTEX_INITIALIZER};

    return late_library_load(&library, err);
}
