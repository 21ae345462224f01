/* SPDX-License-Identifier: MIT */
/* `vz delete MACHINE`: remove its folder. */
#include "bundle/draft.h"
#include "command/at_login.h"
#include "command/machine_stop.h"

static const struct opt delete_options[] = {
    {"force", 0, OPT_NEVER, NULL, "Options", "turn it off first if it runs", NULL, 0},
    {.name = NULL}};

static bool delete_machine(struct bundle *b, const struct args *a)
{
    struct vz_error err;
    bool running = bundle_is_running(b);

    if (running && args_flag(a, "force") && !machine_stop(b, true, 0))
        return false;
    if (bundle_lock(b, BUNDLE_RUN, &err) < 0) {
        cli_error("%s%s", err.text, running ? "; --force turns it off first" : "");
        return false;
    }
    if (at_login_remove(b, &err) && bundle_remove(b, &err) == 0)
        return true;
    cli_error("%s", err.text);
    return false;
}

static int delete_main(int argc, char **argv)
{
    return machine_each_lost(&delete_command, argc, argv, delete_machine);
}

const struct command delete_command = {
    "delete", delete_main, NULL, delete_options, "remove machines, with all that is on their disks", NULL,
    "MACHINE...",
    "Nothing asks again, and nothing brings them back. What lies outside of a machine's folder stays."};
