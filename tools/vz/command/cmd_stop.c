/* SPDX-License-Identifier: MIT */
/* `vz stop MACHINE`: ask the guest to shut down, or turn the machine off. */
#include "command/machine_stop.h"

static const struct opt stop_options[] = {
    {"now", 0, OPT_NEVER, NULL, "Options", "turn the machine off, as by pulling the plug",
     "What the guest has written to its disks is there, what it has not is lost.", 0},
    {"save", 0, OPT_NEVER, NULL, "Options", "save it instead, as 'vz save' does", NULL, 0},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Options",
     "how long the guest may take to shut down (default 60s)", NULL, 0},
    {.name = NULL}};

static bool stop_machine(struct bundle *b, const struct args *a)
{
    int timeout_ms = MACHINE_STOP_MS;

    if (args_flag(a, "save"))
        return !bundle_is_running(b) || machine_save(b, &(struct saving_manner){.passphrase = NULL});
    return time_option("timeout", args_value(a, "timeout"), &timeout_ms) &&
           machine_stop(b, args_flag(a, "now"), timeout_ms);
}

static int stop_main(int argc, char **argv)
{
    return machine_each(&stop_command, argc, argv, stop_machine);
}

const struct command stop_command = {
    "stop", stop_main, NULL, stop_options, "ask guests to shut down, and wait until they have", NULL,
    "MACHINE...",
    "The guest's power button is pressed. A guest that does not listen to it, or does not shut down in time, "
    "goes on running, and the status is 1. Of a machine that is not running there is nothing to stop, "
    "and the status is 0."};
