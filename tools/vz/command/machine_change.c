/* SPDX-License-Identifier: MIT */
#include "command/machine_change.h"

#include <stdlib.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"

/* Relative paths mean the machine's folder in its file, and the working folder on the command line:
 * in between they are absolute. */
static struct vz_config *changed(const struct bundle *b, const struct args *a,
                                 machine_change_fn *fn, struct vz_error *err)
{
    struct vz_config *file = bundle_config(b, err), *old = NULL, *new = NULL, *absolute = NULL,
                     *result = NULL;
    char *here = get_current_dir_name();

    old = file ? config_absolute(file, b->path, NULL, err) : NULL;
    new = old ? fn(old, a, err) : NULL;
    absolute = new &&here ? config_absolute(new, here, NULL, err) : NULL;
    result = absolute ? config_relative(absolute, b->path, err) : NULL;
    vz_config_unref(file);
    vz_config_unref(old);
    vz_config_unref(new);
    vz_config_unref(absolute);
    free(here);
    return result;
}

bool machine_change(struct bundle *b, const struct args *a, machine_change_fn *fn,
                    struct vz_error *err)
{
    struct vz_config *new = NULL;
    bool ok = bundle_lock(b, BUNDLE_CHANGE, err) == 0 && (new = changed(b, a, fn, err)) &&
              bundle_enter(b, err) == 0 && vz_config_validate(new, NULL, NULL, err) == 0 &&
              bundle_set_config(b, new, err) == 0;

    vz_config_unref(new);
    return ok;
}
