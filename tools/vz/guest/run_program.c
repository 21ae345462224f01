/* SPDX-License-Identifier: MIT */
#include "guest/run_program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"
#include "failure.h"
#include "guest/agent_link.h"
#include "guest/remote.h"

static int connect_in_process(void *arg, struct vz_error *err)
{
    struct vz_machine *machine = arg;
    struct vz_socket_connection *c;
    int fd;

    if (vz_machine_get_state(machine) != VZ_STATE_RUNNING)
        return fail(err, VZ_ERROR_CANCELLED, "the machine ended before its guest's agent answered");
    c = vz_machine_socket_connect_wait(machine, VZ_AGENT_PORT, err);
    fd = c ? fcntl(vz_socket_connection_fd(c), F_DUPFD_CLOEXEC, 3) : -1;
    if (c && fd < 0)
        fail(err, VZ_ERROR_NO_MEMORY, "out of file descriptors");
    vz_socket_connection_unref(c);
    return fd;
}

int run_program(struct vz_machine *machine, const char *const *argv, bool flush)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_error err = {.text = ""};
    /* --timeout, a signal, and the guest's own end are what ends the wait. */
    struct vz_agent *agent = agent_link_by(connect_in_process, machine, "run", LINK_FOREVER, NULL, &err);
    int status;

    if (!agent) {
        cli_error("%s", err.text);
        return EXIT_OURS;
    }
    remote_prepare();
    o.argv = argv;
    o.input_fd = STDIN_FILENO;
    o.output_fd = STDOUT_FILENO;
    o.error_fd = STDERR_FILENO;
    o.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    status = remote_run(agent, &o, "run");
    if (flush && vz_agent_sync(agent, &err) < 0)
        cli_error("run: %s", err.text);
    vz_agent_free(agent);
    return status;
}
