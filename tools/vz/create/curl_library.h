/* SPDX-License-Identifier: MIT */
/* libcurl, loaded for the first download. Linked it would bring thirty libraries more (LDAP, Kerberos, TLS, Unicode) to
 * each start of vz. */
#ifndef VZ_TOOL_CURL_LIBRARY_H
#define VZ_TOOL_CURL_LIBRARY_H

#include <stdbool.h>

#include <curl/curl.h>

#include <vz/vz.h>

/* What is used of it, without the curl_ before. */
#define CURL_FUNCTIONS(X)                                                                            \
    X(easy_cleanup) X(easy_getinfo) X(easy_init) X(easy_perform) X(easy_reset) X(easy_setopt)       \
    X(easy_strerror) X(slist_append) X(slist_free_all)

struct curl_library {
#define X(name) __typeof__(curl_##name) *name;
    CURL_FUNCTIONS(X)
#undef X
};

/* All of it NULL before curl_library_load() returned true. */
extern struct curl_library libcurl;

/* False with err, which says what is missing. */
bool curl_library_load(struct vz_error *err);

#endif
