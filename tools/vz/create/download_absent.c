/* SPDX-License-Identifier: MIT */
/* In place of download.c where there was no libcurl. */
#include "create/create.h"

#include "failure.h"

bool download(const char *url, const char *path, const char *checksum, struct vz_error *err)
{
    return fail_false(err, VZ_ERROR_UNSUPPORTED,
                      "%.120s: this vz was built without libcurl, and loads nothing; load it by other means",
                      url);
}
