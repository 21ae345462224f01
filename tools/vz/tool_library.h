/* SPDX-License-Identifier: MIT */
/* A library of the host that is loaded when it is first needed: linked it would be a part of each start of vz. Who uses
 * one lists its functions once, and makes a struct of pointers to them from the list: see create/curl_library.h. What
 * base/late_library.h is to libvz. */
#ifndef VZ_TOOLS_TOOL_LIBRARY_H
#define VZ_TOOLS_TOOL_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

struct vz_error;

struct tool_library {
    const char *files[3];     /* the first that is there will do; NULL behind the last one */
    const char *needed;       /* for what, and what to install, as an error begins */
    const char *const *names; /* of the functions, */
    void *functions;          /* and the struct that gets them: as many pointers, all NULL until all are there */
    size_t count;
};

/* The main thread, any number of times. False and err: what is missing. */
bool tool_library_load(const struct tool_library *l, struct vz_error *err);

#endif
