/* SPDX-License-Identifier: MIT */
/* Files of a root, which may be a guest's work, as the guest would find them: their links lead nowhere else. */
#ifndef VZ_TOOLS_ROOT_FILE_H
#define VZ_TOOLS_ROOT_FILE_H

/* Open a file of the directory root, by its path there. -errno: EINVAL if it is no regular file. */
int root_file_open(const char *root, const char *inside, int flags);

#endif
