/* SPDX-License-Identifier: MIT */
/* A small ISO 9660 file system in memory: a few files in its root folder, under their real names for
 * systems that know Rock Ridge (Linux, the BSDs) or Joliet (Windows). */
#ifndef VZ_BLOCK_ISO_IMAGE_H
#define VZ_BLOCK_ISO_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define ISO_FILES_MAX 8u
#define ISO_NAME_MAX  64u /* bytes of a file's name */
#define ISO_LABEL_MAX 16u /* what Joliet has room for */

struct iso_file {
    const char *name; /* ASCII, without a slash */
    const void *data;
    size_t len;
};

/* Bytes that the image takes: a multiple of 2048. */
size_t iso_image_size(const struct iso_file *files, unsigned count);

/* Write it to ret, iso_image_size() bytes of zeroes. The same files make the same bytes. 0, or -EINVAL: too
 * many files, a name or the label that is too long, names out of order (as strcmp() has it), or as
 * long as 4 GiB. */
int iso_image_write(const char *label, const struct iso_file *files, unsigned count,
                    uint8_t *ret) must_check;

#endif
