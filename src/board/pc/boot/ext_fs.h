/* SPDX-License-Identifier: MIT */
/* Reading files out of an ext2, ext3 or ext4 file system in a disk image, by libext2fs. The image
 * is the guest's and so not trusted: whatever is in it, reading ends after a bounded amount of
 * work, with an error. Nothing is written. A journal that was not replayed is not replayed here
 * either: files are read as the last checkpoint left them. */
#ifndef VZ_BOARD_PC_BOOT_EXT_FS_H
#define VZ_BOARD_PC_BOOT_EXT_FS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define EXT_FS_NAME_MAX 255

struct ext_fs;

struct disk_layer;
/* Open the file system that begins at byte base of disk and ends, at the latest, at byte end. disk
 * stays the caller's, and open until ext_fs_close(). One thread at a time. 0, -ENODATA: there is
 * none (no superblock), -ENOMEM, or -EIO: it cannot be read; ret_why, not NULL, then says why, and
 * stays valid. */
int ext_fs_open(struct disk_layer *disk, uint64_t base, uint64_t end, struct ext_fs **ret,
                const char **ret_why) must_check;
void ext_fs_close(struct ext_fs *fs); /* NULL is fine */

/* Was it cut off while it was written, so that its journal holds newer things than we see? */
bool ext_fs_needs_recovery(const struct ext_fs *fs);

#define EXT_FS_UUID_LEN 36
/* Its UUID, as text. */
void ext_fs_uuid(const struct ext_fs *fs, char ret[EXT_FS_UUID_LEN + 1]);

/* The number of the file or folder at path, which is relative to the root; symbolic links are
 * followed. 0 or -errno, as above; -ENOENT. */
int ext_fs_find(struct ext_fs *fs, const char *path, uint32_t *ret_file,
                const char **ret_why) must_check;

/* Call fn for each name in a folder: NUL-terminated, of 1 to EXT_FS_NAME_MAX bytes, any but '/' and
 * NUL. */
typedef void ext_fs_name_fn(void *arg, const char *name);
int ext_fs_list(struct ext_fs *fs, uint32_t folder, ext_fs_name_fn *fn, void *arg,
                const char **ret_why) must_check;

/* Read a whole regular file of 1 to max_len bytes into memory of its own, for pages_unmap(). 0, or as
 * above; -EISDIR and -EINVAL: not a file; -EFBIG, with its length in *ret_len; -ENOENT: empty. */
int ext_fs_read(struct ext_fs *fs, uint32_t file, uint64_t max_len, uint8_t **ret,
                uint64_t *ret_len, const char **ret_why) must_check;

#endif
