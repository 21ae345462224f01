/* SPDX-License-Identifier: MIT */
#include "command/machine_start.h"

#include "bundle/flatten.h"
#include "bundle/saved_file.h"
#include "control/process.h"
#include "guest/agent_link.h"

bool machine_start_prepare(struct bundle *b, enum machine_from from)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};

    if (bundle_lock(b, BUNDLE_RUN, &err) < 0) {
        cli_error("%s", err.text);
        return false;
    }
    if (from == MACHINE_FRESH && saved_file_drop(b, &err) < 0) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    if (from != MACHINE_RESTORE || saved_file(b))
        return true;
    cli_error("%s: there is no saved state of it: 'vz save' makes one of a running machine, 'vz start' "
              "boots it", b->name);
    return false;
}

bool machine_start_locked(struct bundle *b, char *passphrase)
{
    const struct process_manner how = {.passphrase = passphrase};
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool saved = saved_file(b);

    if (process_start(b, &how, &err) < 0) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    if (saved)
        agent_link_set_clock(b); /* it stood still meanwhile */
    flatten_behind(b);
    return true;
}

bool machine_start(struct bundle *b, enum machine_from from)
{
    return machine_start_prepare(b, from) && machine_start_locked(b, NULL);
}
