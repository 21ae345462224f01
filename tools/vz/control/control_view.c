/* SPDX-License-Identifier: MIT */
/* view: the machine's display by VNC, and for browsers. */
#include "control/control.h"

#include "vnc/vnc_server.h"

void method_view(struct control_call *call, json_t *params)
{
    struct vz_error err;
    struct vnc_server *s = control_vnc(call_control(call), &err);
    char url[VNC_URL_MAX];

    if (!s) {
        call_fail(call, &err);
    } else if (!vnc_server_renew(s)) {
        call_fail_text(call, VZ_ERROR_IO, "VNC: no random numbers");
    } else {
        vnc_server_url(s, true, url);
        call_reply(call, json_pack("{s:s, s:s, s:s}", "address", vnc_server_address(s), "password",
                                   vnc_server_password(s), "url", url));
    }
}
