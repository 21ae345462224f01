/* SPDX-License-Identifier: MIT */
/* `vz inspect MACHINE`: all that is known of a machine, as JSON. */
#include "command/machine_command.h"
#include "command/machine_report.h"

static const struct opt inspect_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "as always: what it prints is JSON", NULL, 0},
    {.name = NULL}};

static bool inspect_machine(struct bundle *b, const struct args *a)
{
    return print_json(machine_report(b)) == EXIT_OK;
}

static int inspect_main(int argc, char **argv)
{
    return machine_one(&inspect_command, argc, argv, 0, 1, inspect_machine);
}

const struct command inspect_command = {
    "inspect", inspect_main, NULL, inspect_options, "tell all that is known of a machine, as JSON", NULL,
    "[MACHINE]",
    "Its folder, its state, how its last run ended, what it has of the host now, its addresses and its "
    "configuration. Where there is only one machine its name may be left out."};
