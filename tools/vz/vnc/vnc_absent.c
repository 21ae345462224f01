/* SPDX-License-Identifier: MIT */
/* In place of the others of this folder, where LibVNCServer was not there when vz was built. */
#include "vnc/vnc_server.h"

#include <stddef.h>

#include "failure.h"

void vnc_server_prepare(void)
{
}

struct vnc_server *vnc_server_new(const struct vnc_options *options, struct vz_error *err)
{
    fail(err, VZ_ERROR_UNSUPPORTED, "this vz was built without VNC (libvncserver-dev)");
    return NULL;
}

void vnc_server_free(struct vnc_server *s)
{
}

bool vnc_server_renew(struct vnc_server *s)
{
    return false;
}

const char *vnc_server_address(const struct vnc_server *s)
{
    return "";
}

const char *vnc_server_password(const struct vnc_server *s)
{
    return "";
}

const char *vnc_server_fingerprint(const struct vnc_server *s)
{
    return NULL;
}

void vnc_server_url(struct vnc_server *s, bool password, char url[VNC_URL_MAX])
{
    url[0] = '\0';
}
