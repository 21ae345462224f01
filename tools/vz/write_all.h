/* SPDX-License-Identifier: MIT */
#ifndef VZ_TOOLS_WRITE_ALL_H
#define VZ_TOOLS_WRITE_ALL_H

#include <stdbool.h>
#include <stddef.h>

/* Write all of it to fd, which may make us wait; false and errno. */
bool write_all(int fd, const void *data, size_t len);

#endif
