/* SPDX-License-Identifier: MIT */
/* `vz restart MACHINE`: stop, and start with what its configuration says now. */
#include "command/machine_start.h"
#include "command/machine_stop.h"

static const struct opt restart_options[] = {
    {"now", 0, OPT_NEVER, NULL, "Options", "turn the machine off first, as by pulling the plug", NULL,
     0},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Options",
     "how long the guest may take to shut down (default 60s)", NULL, 0},
    {.name = NULL}};

static bool restart_machine(struct bundle *b, const struct args *a)
{
    int timeout_ms = MACHINE_STOP_MS;

    return time_option("timeout", args_value(a, "timeout"), &timeout_ms) &&
           machine_stop(b, args_flag(a, "now"), timeout_ms) && machine_start(b, MACHINE_EITHER);
}

static int restart_main(int argc, char **argv)
{
    return machine_each(&restart_command, argc, argv, restart_machine);
}

const struct command restart_command = {
    "restart", restart_main, NULL, restart_options, "stop machines, and start them again", NULL,
    "MACHINE...",
    "With what their configurations say now. Machines that are not running are started."};
