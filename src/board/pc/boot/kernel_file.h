/* SPDX-License-Identifier: MIT */
/* Kernel and initrd files, read whole. */
#ifndef VZ_BOARD_PC_BOOT_KERNEL_FILE_H
#define VZ_BOARD_PC_BOOT_KERNEL_FILE_H

#include "board/pc/boot/boot.h"

/* Open the file at path for reading; its kind is looked at when it is read. With pipe_max a pipe
 * is taken too, of up to so many bytes: it is read to its end now, and *ret_fd is a copy in memory.
 * One from which nothing comes is told of after a second and given up after 20, with -ETIMEDOUT.
 * 0 or -errno. */
int kernel_file_open(const char *what, const char *path, uint64_t pipe_max, int *ret_fd,
                     struct vz_error *err) must_check;

/* Read the regular file of 1 to max_len bytes that is open as fd, from its beginning. what ("kernel") and path open the messages;
 * path must outlive *ret. 0 or -errno; on success kernel_file_free() gives the bytes back. */
int kernel_file_read(const char *what, const char *path, int fd, uint64_t max_len,
                     struct boot_file *ret, struct vz_error *err) must_check;
void kernel_file_free(struct boot_file *file); /* all-zero is fine */

#endif
