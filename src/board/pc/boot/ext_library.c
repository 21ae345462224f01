/* SPDX-License-Identifier: MIT */
#include "board/pc/boot/ext_library.h"

#include "base/late_library.h"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct ext_library libext2fs;

static const char *const names[] = {
#define X(name) "ext2fs_" #name,
    EXT2FS_FUNCTIONS(X)
#undef X
};

int ext_library_load(struct vz_error *err)
{
    static struct late_library library = {.file = "libext2fs.so.2",
                                          .needed = "starting from a disk needs libext2fs (Debian: libext2fs2)",
                                          .names = names,
                                          .functions = &libext2fs,
                                          .count = ARRAY_SIZE(names),
                                          .lock = PTHREAD_MUTEX_INITIALIZER};

    return late_library_load(&library, err);
}
