/* SPDX-License-Identifier: MIT */
/* `vz start MACHINE`: run it in the background, in a process of its own. */
#include "command/at_login.h"
#include "command/machine_start.h"
#include "control/process.h"

static const struct opt start_options[] = {
    {"foreground", 0, OPT_NEVER, NULL, "Options",
     "run it in this process, which ends with the machine",
     "For who watches over processes, as systemd does. SIGTERM asks the guest to shut down, and turns the "
     "machine off 30 seconds later.", 0},
    {"fresh", 0, OPT_NEVER, NULL, "Options", "boot it, and throw its saved state away", NULL, 0},
    {"at-login", 0, OPT_NEVER, NULL, "Options", "start it from now on whenever you log in",
     "By a unit of your systemd, vz-MACHINE.service, which is written and enabled. 'loginctl enable-linger' makes "
     "that whenever the host starts. It is started now too.", 0},
    {"no-at-login", 0, OPT_NEVER, NULL, "Options", "do so no more, and start nothing now", NULL, 0},
    {.name = NULL}};

static bool start_machine(struct bundle *b, const struct args *a)
{
    bool at_login = args_flag(a, "at-login"), no_more = args_flag(a, "no-at-login");
    enum machine_from from = args_flag(a, "fresh") ? MACHINE_FRESH : MACHINE_EITHER;
    struct vz_error err = {.code = VZ_ERROR_NONE};

    if ((at_login && !at_login_add(b, &err)) || (no_more && !at_login_remove(b, &err))) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    if (no_more || (at_login && bundle_is_running(b)))
        return true;
    if (!args_flag(a, "foreground"))
        return machine_start(b, from);
    return machine_start_prepare(b, from) && process_run(b, NULL, NULL) == EXIT_OK;
}

static int start_main(int argc, char **argv)
{
    return machine_each(&start_command, argc, argv, start_machine);
}

const struct command start_command = {
    "start", start_main, NULL, start_options, "start machines, in the background", NULL, "MACHINE...",
    "Each becomes a process of its own, which ends with it; what it has to say goes to vz.log in the "
    "machine's folder, and what the guest writes to its console to console.log. Returns when the machines "
    "run, which is before their guests have booted: see 'vz wait'. A machine that was saved ('vz save') goes "
    "on from there."};
