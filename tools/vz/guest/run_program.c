/* SPDX-License-Identifier: MIT */
#include "guest/run_program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"
#include "failure.h"
#include "guest/agent_link.h"
#include "guest/guest_care.h"
#include "guest/guest_mounts.h"
#include "guest/remote.h"

int run_program_connect(void *arg, struct vz_error *err)
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

struct vz_agent *run_program_link(struct vz_machine *machine, struct vz_error *err)
{
    /* --timeout, a signal, and the guest's own end are what ends the wait. */
    return agent_link_by(run_program_connect, machine, "run", LINK_FOREVER, NULL, err);
}

/* Of what only the guest can change before the first program of it runs; its kernel has been told that it is a copy. What
 * fails here is worth a word, and no more. */
static void tell_copy(struct vz_agent *agent)
{
    struct vz_agent_identity_options o = VZ_AGENT_IDENTITY_OPTIONS_INIT;
    struct vz_error err = {.text = ""};

    o.machine_id = o.host_keys = o.network = false;
    if (vz_agent_set_clock(agent, &err) < 0)
        cli_error("run: the guest's clock stays behind: %s", err.text);
    if (vz_agent_new_identity(agent, &o, &err) < 0)
        cli_error("run: the guest's random numbers may be those of another run: %s", err.text);
}

int run_program(struct vz_machine *machine, const struct run_program *p)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_error err = {.text = ""};
    struct vz_agent *agent = run_program_link(machine, &err);
    const struct given *user = opts_given(p->given, "user"), *cwd = opts_given(p->given, "cwd");
    const char *env[REMOTE_ENV_MAX + 1];
    json_t *devices, *mounts;
    int status;

    if (!agent) {
        cli_error("%s", err.text);
        return EXIT_OURS;
    }
    if (p->copy)
        tell_copy(agent);
    if (p->becomes && p->care) {
        guest_care_went_on(p->care); /* now, and not when it looks for an agent the next time */
        agent_link_settle(p->becomes, LINK_FOREVER);
    }
    devices = guest_shares(vz_machine_config(machine));
    mounts = guest_mounts(devices);
    guest_mount_all(mounts, agent, "run"); /* that the connection went shows in what follows */
    json_decref(mounts);
    json_decref(devices);
    remote_prepare();
    o.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    remote_env(p->given, o.terminal, env);
    o.argv = p->argv;
    o.env = env;
    o.user = user ? user->value : NULL;
    o.cwd = cwd ? cwd->value : NULL;
    o.input_fd = opts_given(p->given, "no-stdin") ? -1 : STDIN_FILENO;
    o.output_fd = STDOUT_FILENO;
    o.error_fd = STDERR_FILENO;
    status = remote_run(agent, &o, "run");
    if (p->flush && vz_agent_sync(agent, &err) < 0)
        cli_error("run: %s", err.text);
    if (p->ret_off)
        *p->ret_off = vz_agent_shut_down(agent, false, &err) == 0;
    vz_agent_free(agent);
    remote_env_free(env);
    return status;
}
