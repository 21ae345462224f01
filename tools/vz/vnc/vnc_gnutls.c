/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_gnutls.h"

#include <dlfcn.h>

#include "failure.h"

struct gnutls_library tls;

bool vnc_gnutls_load(struct vz_error *err)
{
    struct gnutls_library found;
    void *library;

    if (tls.gnutls_init)
        return true;
    library = dlopen("libgnutls.so.30", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "VNC: TLS needs GnuTLS (Debian: libgnutls30): %.160s", dlerror());
#define X(name)                                                                                                        \
    *(void **)&found.name = dlsym(library, #name);                                                                     \
    if (!found.name)                                                                                                   \
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "VNC: this GnuTLS has no " #name "()");
    GNUTLS_FUNCTIONS(X)
#undef X
    tls = found;
    return true;
}
