/* SPDX-License-Identifier: MIT */
/* `vz clone MACHINE NEW`. */
#include "bundle/clone.h"
#include "bundle/draft.h"
#include "command/machine_command.h"
#include "progress.h"

static const struct opt clone_options[] = {
    {"full", 0, OPT_NEVER, NULL, "Options", "copy disks whole, so that the two share nothing", NULL, 0},
    {.name = NULL}};

static bool show(void *arg, uint64_t done, uint64_t total)
{
    return progress_show(arg, done, total);
}

static bool clone_machine(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct bundle new = {.fd = -1, .lock_fd = -1};
    struct progress p;
    bool ok;

    progress_begin(&p, a->word[1]);
    interrupt_catch();
    if (bundle_lock(b, BUNDLE_RUN, &err) < 0 || bundle_lock(b, BUNDLE_CHANGE, &err) < 0 ||
        draft_begin(a->word[1], &new, &err) < 0) {
        cli_error("%s", err.text);
        return false;
    }
    ok = clone_fill(b, &new, args_flag(a, "full"), show, &p, &err) == 0 && draft_publish(&new, &err) == 0;
    progress_end(&p);
    if (ok)
        bundle_close(&new);
    else
        draft_abandon(&new);
    interrupt_raise();
    if (!ok)
        cli_error("%s: %s", a->word[1], err.text);
    return ok;
}

static int clone_main(int argc, char **argv)
{
    return machine_one(&clone_command, argc, argv, 2, 2, clone_machine);
}

const struct command clone_command = {
    "clone", clone_main, NULL, clone_options, "make another machine like one that is not running", NULL,
    "MACHINE NEW",
    "With an identity and MAC addresses of its own. It takes no room: where the file system cannot share blocks "
    "between files, what is on the disks now becomes a file that both only read, and each gets a layer for what "
    "it writes. At its first start the guest's agent (vz-agent) gives it its name, host keys of ssh and an "
    "/etc/machine-id of its own; in a guest without one these are the same in both."};
