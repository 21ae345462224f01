/* SPDX-License-Identifier: MIT */
/* A new file that appears under its name when it is whole; until then nothing of it is seen, however
 * the process ends, where the file system can do that. */
#ifndef VZ_BLOCK_IMAGE_FILE_H
#define VZ_BLOCK_IMAGE_FILE_H

#include <limits.h>

#include "base/compiler.h"

struct vz_error;

struct image_file {
    int fd;
    int lock_fd; /* of the one that is there, which nobody may use; -1 */
    bool replace;
    bool unsynced; /* set by the caller after begin: its name and what is in it are not put on stable storage */
    const char *path;    /* the caller's */
    char temp[PATH_MAX]; /* its name so far; "": none */
};

/* replace: an image that is there, and that nobody uses, is given up for it (a device, a folder and what else is not
 * a file is not); else -EEXIST. 0 or -errno. */
int image_file_begin(struct image_file *f, const char *path, bool replace,
                     struct vz_error *err) must_check;
/* Stable, where that is wanted, and there. Closes it, also on failure. */
int image_file_publish(struct image_file *f, struct vz_error *err) must_check;
void image_file_abandon(struct image_file *f);

#endif
