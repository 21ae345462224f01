/* SPDX-License-Identifier: MIT */
#include "command/view_window.h"

#include <stdlib.h>

#include "create/helper_file.h"
#include "failure.h"

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value && *value;
}

bool view_window_has_desktop(void)
{
    return is_set("WAYLAND_DISPLAY") || is_set("DISPLAY");
}

char *view_window_program(struct vz_error *err)
{
    char *path = helper_file(&helper_view, NULL);

    if (!path)
        fail(err, VZ_ERROR_UNSUPPORTED,
             "a window needs the program vz-view, with GTK 4, which is not installed (Debian: vz-view)");
    return path;
}
