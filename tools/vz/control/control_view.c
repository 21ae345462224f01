/* SPDX-License-Identifier: MIT */
/* view: the machine's display by VNC, and for browsers: where, in a file in memory. */
#include "control/control.h"

#include "vnc_process.h"

/* What it says is no business of this process', which has a guest's bytes: it goes on as it comes. */
static void on_view(void *arg, int fd, const struct vz_error *err)
{
    if (fd < 0)
        call_fail(arg, err);
    else
        call_reply_fd(arg, NULL, fd);
}

void method_view(struct control_call *call, json_t *params)
{
    struct vz_error err;
    struct vnc_process *p = control_vnc(call_control(call), &err);

    if (p)
        vnc_process_view(p, on_view, call);
    else
        call_fail(call, &err);
}
