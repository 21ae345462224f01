/* SPDX-License-Identifier: MIT */
/* A program that is data of ours, as a file that can be executed: so it is there wherever the library is. */
#ifndef VZ_BASE_PROGRAM_FILE_H
#define VZ_BASE_PROGRAM_FILE_H

#include "base/compiler.h"

/* A descriptor of a new file in memory that holds image[len], closed on exec, or -errno. name is what /proc shows. */
int program_file(const char *name, const uint8_t *image, size_t len) must_check;

#endif
