/* SPDX-License-Identifier: MIT */
/* Files that vz brings along for others: the script that makes Debian images, the agent for guests.
 * They are where they were installed, which is looked for from the program's own place first: an
 * installation may have been moved, or lie in a folder of its own. A build has them where the build
 * put them. */
#include "create/helper_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"

/* The folder of this program. */
static void own_folder(char ret[4096])
{
    ssize_t n = readlink("/proc/self/exe", ret, 4095);
    char *slash;

    ret[n > 0 ? n : 0] = '\0';
    slash = strrchr(ret, '/');
    if (slash)
        *slash = '\0';
}

char *helper_file(const struct helper_place *p, struct vz_error *err)
{
    char folder[4096], *path = NULL;
    int n = -1;

    own_folder(folder);
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            n = asprintf(&path, "%s/%s", folder, p->built);
        else if (i == 1)
            n = asprintf(&path, "%s/../%s", folder, p->installed);
        else
            n = asprintf(&path, VZ_PREFIX "/%s", p->installed);
        if (n < 0)
            break;
        if (access(path, R_OK) == 0)
            return path;
        if (i < 2)
            free(path);
    }
    if (n < 0) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    fail_errno(err, path);
    free(path);
    return NULL;
}

const struct helper_place helper_debian = {"../scripts/make-debian-image",
                                           VZ_DATADIR "/vz/make-debian-image"};
const struct helper_place helper_agent = {"agent/vz-agent", VZ_HELPERDIR "/vz-agent"};
const struct helper_place helper_agent_unit = {"agent/vz-agent.service",
                                               VZ_HELPERDIR "/vz-agent.service"};
const struct helper_place helper_view = {"vz-view", VZ_HELPERDIR "/vz-view"};
const struct helper_place helper_vnc = {"vz-vnc", VZ_HELPERDIR "/vz-vnc"};
const struct helper_place helper_init = {"agent/vz-init", VZ_HELPERDIR "/vz-init"};
