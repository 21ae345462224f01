/* SPDX-License-Identifier: MIT */
/* connect: a stream to a port of the guest's (AF_VSOCK), as a descriptor. */
#include "control/control.h"

#include <fcntl.h>
#include <stdint.h>

#include <vz/runtime.h>

static void on_connected(void *arg, struct vz_machine *machine,
                         struct vz_socket_connection *connection, const struct vz_error *err)
{
    struct control_call *call = arg;
    struct vz_error none = {.code = VZ_ERROR_NO_MEMORY, .text = "out of file descriptors"};
    /* The connection closes its own when it goes, which is at once. */
    int fd = connection ? fcntl(vz_socket_connection_fd(connection), F_DUPFD_CLOEXEC, 3) : -1;

    if (fd < 0)
        call_fail(call, err ? err : &none);
    else
        call_reply_fd(call, NULL, fd);
}

void method_connect(struct control_call *call, json_t *params)
{
    uint64_t port = UINT64_MAX;

    if (!call_param_number(call, params, "port", 0, UINT32_MAX, &port))
        return;
    if (port == UINT64_MAX)
        call_fail_text(call, VZ_ERROR_INVALID, "port: which?");
    else if (vz_machine_socket_connect(call_machine(call), (uint32_t)port, on_connected, call) < 0)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
}
