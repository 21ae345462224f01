/* SPDX-License-Identifier: MIT */
/* Kernel and initrd files, read whole. */
#ifndef VZ_BOARD_PC_BOOT_KERNEL_FILE_H
#define VZ_BOARD_PC_BOOT_KERNEL_FILE_H

#include "board/pc/boot/boot.h"

/* Read the regular file at path, of 1 to max_len bytes. what ("kernel") and path open the messages;
 * path must outlive *ret. 0 or -errno; on success kernel_file_free() gives the bytes back. */
int kernel_file_read(const char *what, const char *path, uint64_t max_len, struct boot_file *ret,
                     struct vz_error *err) must_check;
void kernel_file_free(struct boot_file *file); /* all-zero is fine */

#endif
