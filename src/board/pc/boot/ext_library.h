/* SPDX-License-Identifier: MIT */
/* libext2fs, loaded for the first machine that starts from a file system of a disk: few do. */
#ifndef VZ_BOARD_PC_BOOT_EXT_LIBRARY_H
#define VZ_BOARD_PC_BOOT_EXT_LIBRARY_H

#include <ext2fs/ext2fs.h>

#include "base/compiler.h"
#include "base/error.h"

/* What is used of it, without the ext2fs_ before. */
#define EXT2FS_FUNCTIONS(X)                                                                          \
    X(dir_iterate) X(file_close) X(file_open) X(file_read) X(free) X(namei_follow) X(open2) X(read_inode)

struct ext_library {
#define X(name) __typeof__(ext2fs_##name) *name;
    EXT2FS_FUNCTIONS(X)
#undef X
};

/* All of it NULL before ext_library_load() returned 0, the same for ever after. */
extern struct ext_library libext2fs;

/* See late_library_load(). */
int ext_library_load(struct vz_error *err) must_check;

#endif
