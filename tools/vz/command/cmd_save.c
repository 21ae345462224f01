/* SPDX-License-Identifier: MIT */
/* `vz save MACHINE` and `vz restore MACHINE`. */
#include "command/machine_start.h"
#include "command/machine_stop.h"

static const struct opt save_options[] = {
    {"compress", 0, OPT_NEVER, NULL, "Options", "make the file some three times smaller, and slower",
     "It is sealed then, too.", 0},
    {"seal", 0, OPT_NEVER, NULL, "Options", "seal its memory, so that no other user and no other host can read it",
     "With a key in ~/.local/share/vz. Going on from it takes longer, since it is read at once.", 0},
    {.name = NULL}};

static bool save_machine(struct bundle *b, const struct args *a)
{
    return machine_save(b, args_flag(a, "seal"), args_flag(a, "compress"));
}

static bool restore_machine(struct bundle *b, const struct args *a)
{
    return machine_start(b, MACHINE_RESTORE);
}

static int save_main(int argc, char **argv)
{
    return machine_each(&save_command, argc, argv, save_machine);
}

static int restore_main(int argc, char **argv)
{
    return machine_each(&restore_command, argc, argv, restore_machine);
}

const struct command save_command = {
    "save", save_main, NULL, save_options, "save running machines into their folders, and turn them off",
    NULL, "MACHINE...",
    "Memory, CPUs and devices go into saved.state, which only you can read. The next "
    "'vz start' goes on from there, and the guest does not notice but for the time. A machine that cannot "
    "be saved runs on, and the status is 1."};
const struct command restore_command = {
    "restore", restore_main, NULL, no_options, "go on with machines that were saved", NULL,
    "MACHINE...",
    "As 'vz start', but a machine that was not saved is an error. The saved state is used up by it: from "
    "then on the disks change, and it would fit them no more. It stays where it cannot be restored."};
