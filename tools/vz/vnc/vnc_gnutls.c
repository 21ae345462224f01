/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_gnutls.h"

#include "tool_library.h"

struct gnutls_library tls;

static const char *const names[] = {
#define X(name) #name,
    GNUTLS_FUNCTIONS(X)
#undef X
};

bool vnc_gnutls_load(struct vz_error *err)
{
    return tool_library_load(&(struct tool_library){.files = {"libgnutls.so.30"},
                                                    .needed = "VNC: TLS needs GnuTLS (Debian: libgnutls30)",
                                                    .names = names,
                                                    .functions = &tls,
                                                    .count = sizeof(names) / sizeof(names[0])},
                             err);
}
