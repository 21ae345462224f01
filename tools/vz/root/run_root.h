/* SPDX-License-Identifier: MIT */
/* `vz run --root DIR`: a guest whose root is a directory of the host. */
#ifndef VZ_TOOLS_RUN_ROOT_H
#define VZ_TOOLS_RUN_ROOT_H

#include <stdbool.h>

struct run_options;

/* Give the configuration what --root says: the shares, a kernel unless --kernel has, an initramfs, and a command line
 * where there is no --cmdline. After the other options. False after cli_error(). */
bool run_root_apply(struct run_options *o, const char *value);

#endif
