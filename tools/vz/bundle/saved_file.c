/* SPDX-License-Identifier: MIT */
#include "bundle/saved_file.h"

#include <errno.h>
#include <unistd.h>

#include "bundle/settle.h"
#include "failure.h"

const char *saved_file(const struct bundle *b)
{
    if (bundle_has(b, BUNDLE_STATE))
        return BUNDLE_STATE;
    return bundle_has(b, BUNDLE_COPY) && settle_state(b->fd) != SETTLE_STALE ? BUNDLE_COPY : NULL;
}

int saved_file_use_up(const struct bundle *b, struct vz_error *err)
{
    const char *file = saved_file(b);

    if (!file)
        return 0;
    if (bundle_has(b, BUNDLE_STATE) || settle_state(b->fd) != SETTLE_MARKED)
        return bundle_remove_file(b, file, err);
    /* After a loss of power the mark says that it counts for nothing, so nobody has to wait for the disk. */
    return unlinkat(b->fd, file, 0) == 0 || errno == ENOENT ? 0 : fail_errno(err, file);
}

int saved_file_drop(const struct bundle *b, struct vz_error *err)
{
    return bundle_remove_file(b, BUNDLE_STATE, err) < 0 || bundle_remove_file(b, BUNDLE_COPY, err) < 0 ? -1 : 0;
}
