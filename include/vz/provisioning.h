/* SPDX-License-Identifier: MIT */
/* A guest that is set up without hands at its first start: a user, a name, packages, a script. What is
 * said here becomes the user-data of cloud-init, for a seed disk (<vz/storage.h>) or any other source
 * of it. Apple's: VZGuestProvisioningOptions, with its error codes.
 * Threads: any. */
#ifndef VZ_PROVISIONING_H
#define VZ_PROVISIONING_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vz_provisioning_options { /* start from VZ_PROVISIONING_OPTIONS_INIT; NULL: as the image has it */
    size_t size;
    const char *full_name; /* of the user: 1 to 255 bytes of UTF-8, not only blanks; no control characters,
                              none of ":,=" */
    const char *username;  /* a-z or _, then up to 31 of a-z, 0-9, _ and -; no user that systems have already */
    const char *password;  /* 1 to 255 bytes of UTF-8 without control characters; NULL: none logs in by one */
    bool logs_in_automatically; /* on consoles */
    bool enables_remote_login;  /* by ssh: with the keys, and with the password if there is one */
    const char *const *ssh_keys; /* public ones, lines as in authorized_keys, ended by NULL */
    const char *hostname;        /* 1 to 64 of letters, digits, - and . */
    const char *locale;          /* such as "de_DE.UTF-8" */
    const char *timezone;        /* such as "Europe/Berlin" */
    const char *const *packages; /* to install, ended by NULL */
    const char *script;          /* run by root at the end of the first start; "#!" in front as in a file */
};
#define VZ_PROVISIONING_OPTIONS_INIT VZ_INIT_(struct vz_provisioning_options, )

/**
 * Is that possible?
 * Returns 0, or -1 with VZ_ERROR_PROVISIONING_INVALID_FULL_NAME, VZ_ERROR_PROVISIONING_INVALID_USERNAME (also: there
 * is none, and something is said of the user), VZ_ERROR_PROVISIONING_INVALID_PASSWORD, or VZ_ERROR_INVALID (all
 * else). Since 0.4. */
VZ_PUBLIC int vz_provisioning_validate(const struct vz_provisioning_options *options, struct vz_error *err);

/**
 * The user-data for cloud-init, which begin with "#cloud-config". They have the password in them: keep them as you
 * keep it.
 * Returns text for free(), or NULL with the errors of vz_provisioning_validate() or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC char *vz_provisioning_user_data(const struct vz_provisioning_options *options, struct vz_error *err);

/**
 * Read them from JSON: {"fullName": ..., "username": ..., "password": ..., "logsInAutomatically": true,
 * "enablesRemoteLogin": true, "sshKeys": [...], "hostname": ..., "locale": ..., "timezone": ..., "packages":
 * [...], "script": ...}, and make the user-data. An unknown member is an error.
 * Returns as vz_provisioning_user_data() does. Since 0.4. */
VZ_PUBLIC char *vz_provisioning_user_data_from_json(const char *text, size_t len, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
