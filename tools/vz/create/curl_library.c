/* SPDX-License-Identifier: MIT */
/* libcurl when it is needed: see curl_library.h. Debian has it twice, with GnuTLS and with OpenSSL; either will do. */
#include "create/curl_library.h"

#include <dlfcn.h>
#include <stddef.h>

#include "failure.h"

struct curl_library libcurl;

static void *open_library(struct vz_error *err)
{
    static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4"};
    void *library = NULL;

    for (size_t i = 0; !library && i < sizeof(names) / sizeof(names[0]); i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail(err, VZ_ERROR_UNSUPPORTED, "downloads need libcurl (Debian: libcurl3-gnutls): %.160s",
             dlerror());
    return library;
}

bool curl_library_load(struct vz_error *err)
{
    void *library = libcurl.easy_init ? NULL : open_library(err);
    struct curl_library found;

    if (!library)
        return libcurl.easy_init != NULL;
#define X(name)                                                                                      \
    *(void **)&found.name = dlsym(library, "curl_" #name);                                           \
    if (!found.name)                                                                                 \
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "downloads: this libcurl has no curl_" #name "()");
    CURL_FUNCTIONS(X)
#undef X
    libcurl = found;
    return true;
}
