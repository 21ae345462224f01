/* SPDX-License-Identifier: MIT */
/* `vz rename MACHINE NEW`. */
#include "bundle/draft.h"
#include "command/at_login.h"
#include "command/machine_command.h"

static bool rename_machine(struct bundle *b, const struct args *a)
{
    const char *to = a->word[1];
    bool at_login = at_login_has(b);
    struct bundle moved;
    struct vz_error err;
    bool ok = bundle_lock(b, BUNDLE_RUN, &err) == 0 && at_login_remove(b, &err) &&
              bundle_move(b, to, &err) == 0;

    if (ok && at_login && (ok = bundle_open(to, &moved, &err) == 0)) {
        ok = at_login_add(&moved, &err);
        bundle_close(&moved);
    }
    if (!ok)
        cli_error("%s", err.text);
    return ok;
}

static int rename_main(int argc, char **argv)
{
    return machine_one(&rename_command, argc, argv, 2, 2, rename_machine);
}

const struct command rename_command = {
    "rename", rename_main, NULL, no_options, "give a machine that is not running another name", NULL,
    "MACHINE NEW-NAME",
    "Or another place, by a path on the same file system. The machine stays the same: its identity, its "
    "addresses, and its guest's hostname."};
