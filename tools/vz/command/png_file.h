/* SPDX-License-Identifier: MIT */
/* Pictures as PNG files, by libpng. */
#ifndef VZ_TOOLS_PNG_FILE_H
#define VZ_TOOLS_PNG_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Pixels of 4 bytes, blue, green, red and one that means nothing, without gaps. False after cli_error(), in which name
 * stands for the file. */
bool png_write_file(FILE *to, const char *name, const uint8_t *pixels, uint32_t width, uint32_t height);

#endif
