/* SPDX-License-Identifier: MIT */
/* Folders of the user's, for files of ours. */
#ifndef VZ_TOOLS_MAKE_FOLDERS_H
#define VZ_TOOLS_MAKE_FOLDERS_H

/* The folder, and those that it lies in, with mode 0700; what is there stays as it is. 0, or -1 with errno. */
int make_folders(const char *path);
/* Those that the file lies in. */
int make_parents(const char *file);

#endif
