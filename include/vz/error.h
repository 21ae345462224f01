/* SPDX-License-Identifier: MIT */
/* Errors a person must act on: what functions of libvz report when they fail.
 *
 * The struct is the caller's memory; nothing in it needs freeing. Every function that takes a
 * `struct vz_error *` accepts NULL. On success it is left untouched.
 *
 * Codes 1 to 89999 are those of Apple's Virtualization framework (VZErrorDomain) with their
 * numbers; from 90000 on they are ours. */
#ifndef VZ_ERROR_H
#define VZ_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

enum vz_error_code {
    VZ_ERROR_NONE = 0,
    VZ_ERROR_INTERNAL = 1,           /* a bug of ours, or a guest state that cannot be continued */
    VZ_ERROR_INVALID = 2,            /* a configuration or a value that cannot work as given */
    VZ_ERROR_INVALID_STATE = 3,      /* not while the machine is in its present state */
    VZ_ERROR_INVALID_TRANSITION = 4, /* the machine's life does not go from here to there */
    VZ_ERROR_INVALID_DISK_IMAGE = 5,
    VZ_ERROR_LIMIT_EXCEEDED = 6,     /* more machines than allowed */
    VZ_ERROR_NETWORK = 7,
    VZ_ERROR_OUT_OF_DISK_SPACE = 8,
    VZ_ERROR_CANCELLED = 9,
    VZ_ERROR_UNSUPPORTED = 10,       /* this host or this build cannot do it */
    VZ_ERROR_SAVE = 11,
    VZ_ERROR_RESTORE = 12,

    VZ_ERROR_RESTORE_IMAGE_CATALOG_LOAD_FAILED = 10001,
    VZ_ERROR_INVALID_RESTORE_IMAGE_CATALOG = 10002,
    VZ_ERROR_NO_SUPPORTED_RESTORE_IMAGES_IN_CATALOG = 10003,
    VZ_ERROR_RESTORE_IMAGE_LOAD_FAILED = 10004,
    VZ_ERROR_INVALID_RESTORE_IMAGE = 10005,
    VZ_ERROR_INSTALLATION_REQUIRES_UPDATE = 10006,
    VZ_ERROR_INSTALLATION_FAILED = 10007,

    VZ_ERROR_NBD_NEGOTIATION_FAILED = 20001,
    VZ_ERROR_NBD_DISCONNECTED = 20002,

    VZ_ERROR_USB_CONTROLLER_NOT_FOUND = 30001,
    VZ_ERROR_DEVICE_ALREADY_ATTACHED = 30002,
    VZ_ERROR_DEVICE_INITIALIZATION_FAILURE = 30003,
    VZ_ERROR_DEVICE_NOT_FOUND = 30004,

    VZ_ERROR_PROVISIONING_INVALID_FULL_NAME = 40001,
    VZ_ERROR_PROVISIONING_INVALID_USERNAME = 40002,
    VZ_ERROR_PROVISIONING_INVALID_PASSWORD = 40003,

    VZ_ERROR_EFI_SECURE_BOOT_ENROLLMENT_FAILED = 50001,
    VZ_ERROR_EFI_VARIABLE_INACCESSIBLE = 50002,

    VZ_ERROR_NO_MEMORY = 90001,      /* the host refused memory, threads or descriptors */
    VZ_ERROR_IO = 90002,             /* a file could not be opened, read or written */
    VZ_ERROR_GUEST = 90003,          /* the guest's agent was asked for something and could not do it */
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
