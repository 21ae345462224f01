/* SPDX-License-Identifier: MIT */
/* In place of vnc_tls.c where GnuTLS was not there when vz was built. */
#include "vnc/vnc_tls.h"

#include <stddef.h>

#include "failure.h"

struct vnc_tls *vnc_tls_new(const char *certificate, const char *key, struct vz_error *err)
{
    fail(err, VZ_ERROR_UNSUPPORTED, "this vz was built without TLS for VNC (libgnutls28-dev)");
    return NULL;
}

void vnc_tls_free(struct vnc_tls *t)
{
}

const char *vnc_tls_fingerprint(const struct vnc_tls *t)
{
    return "";
}

struct vnc_tunnel *vnc_tls_open(struct vnc_tls *t, struct vnc_server *s, int fd, int *ret_plain,
                                bool *ret_browser)
{
    return NULL;
}

void vnc_tunnel_close(struct vnc_tunnel *t)
{
}
