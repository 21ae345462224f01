/* SPDX-License-Identifier: MIT */
/* Debian has it twice, with GnuTLS and with OpenSSL; either will do. */
#include "create/curl_library.h"

#include "tool_library.h"

struct curl_library libcurl;

static const char *const names[] = {
#define X(name) "curl_" #name,
    CURL_FUNCTIONS(X)
#undef X
};

bool curl_library_load(struct vz_error *err)
{
    return tool_library_load(&(struct tool_library){.files = {"libcurl-gnutls.so.4", "libcurl.so.4"},
                                                    .needed = "downloads need libcurl (Debian: libcurl3-gnutls)",
                                                    .names = names,
                                                    .functions = &libcurl,
                                                    .count = sizeof(names) / sizeof(names[0])},
                             err);
}
