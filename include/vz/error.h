/* SPDX-License-Identifier: MIT */
/* Errors a person must act on: what functions of libvz report when they fail.
 *
 * The struct is the caller's memory; nothing in it needs freeing. Every function that takes a
 * `struct vz_error *` accepts NULL. On success it is left untouched. */
#ifndef VZ_ERROR_H
#define VZ_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

enum vz_error_code {
    VZ_ERROR_NONE = 0,
    VZ_ERROR_INTERNAL = 1,     /* a bug of ours, or a guest state that cannot be continued */
    VZ_ERROR_INVALID = 2,      /* a value, file or configuration that cannot work as given */
    VZ_ERROR_UNSUPPORTED = 3,  /* this host or this build cannot do it */
    VZ_ERROR_NO_MEMORY = 4,    /* the host refused memory */
    VZ_ERROR_IO = 5,           /* a file could not be opened, read or written */
};

#define VZ_ERROR_TEXT_MAX 256

struct vz_error {
    enum vz_error_code code;
    char text[VZ_ERROR_TEXT_MAX]; /* one line, no full stop; names the thing and what is wrong */
};

#ifdef __cplusplus
}
#endif
#endif
