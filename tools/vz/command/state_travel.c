/* SPDX-License-Identifier: MIT */
#include "command/state_travel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/copy.h"
#include "bundle/fitting.h"
#include "bundle/saved_file.h"
#include "bundle/settle.h"
#include "failure.h"

#define MAGIC     "VZSTATE\n"
#define HALF_CAME ".copy.state.new"

static bool say(const struct bundle *b, const struct vz_error *err)
{
    cli_error("%s: %s", b->name, err->text);
    return false;
}

/* ---- Out of the folder ---------------------------------------------------------------------- */

/* The one that path lies in: text for free(), or NULL without memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static bool may_make(int cwd, const char *path)
{
    char *folder = folder_of(path);
    bool may = folder && faccessat(cwd, folder, W_OK | X_OK, 0) == 0;

    if (!may)
        cli_error("%s: %s", path, strerror(errno));
    free(folder);
    return may;
}

bool state_may_go(int cwd, const char *to)
{
    char magic[sizeof(MAGIC)] = "";
    int fd = openat(cwd, to, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool may = fd >= 0 && read(fd, magic, sizeof(MAGIC) - 1) > 0 && !strcmp(magic, MAGIC);

    if (fd < 0 && errno == ENOENT)
        return may_make(cwd, to);
    if (!may)
        cli_error("%s: %s", to, fd < 0 ? strerror(errno) : "is not a saved state, and is not overwritten");
    if (fd >= 0)
        close(fd);
    return may;
}

static void sync_folder_of(int cwd, const char *path)
{
    char *folder = folder_of(path);
    int fd = folder ? openat(cwd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* To another file system: under another name first. */
static bool copy_out(const struct bundle *b, int cwd, const char *to, struct vz_error *err)
{
    char *half;
    bool ok;

    if (asprintf(&half, "%s.new", to) < 0)
        return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    ok = copy_file(b->fd, BUNDLE_STATE, cwd, half, NULL, NULL, err) == 0;
    if (ok && renameat(cwd, half, cwd, to) < 0) {
        fail_errno(err, to);
        unlinkat(cwd, half, 0);
        ok = false;
    }
    free(half);
    return ok && bundle_remove_file(b, BUNDLE_STATE, err) == 0;
}

bool state_go(struct bundle *b, int cwd, const char *to)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool ok = bundle_lock(b, BUNDLE_RUN, &err) == 0;

    ok = ok && fitting_note(b, BUNDLE_STATE, &err);
    if (ok && renameat(b->fd, BUNDLE_STATE, cwd, to) < 0)
        ok = errno == EXDEV ? copy_out(b, cwd, to, &err) : fail_errno(&err, to) == 0;
    if (!ok) {
        cli_error("%s: it is saved in its folder, and not in %s: %s", b->name, to, err.text);
        return false;
    }
    (void)utimensat(cwd, to, NULL, 0); /* its disks' files were closed after it was written */
    sync_folder_of(cwd, to);
    return true;
}

/* ---- Into the folder ------------------------------------------------------------------------ */

bool state_come(const struct bundle *b, int cwd, const char *from, bool force)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};

    if (faccessat(cwd, from, R_OK, 0) < 0) {
        cli_error("%s: %s", from, strerror(errno));
        return false;
    }
    if (saved_file(b)) {
        cli_error("%s: is saved already: 'vz start' goes on from that, or boots with --fresh", b->name);
        return false;
    }
    if (!force && !fitting_check(b, cwd, from, &err))
        return say(b, &err);
    unlinkat(b->fd, HALF_CAME, 0); /* a crash's */
    if (settle_now(b, &err) < 0 || copy_file(cwd, from, b->fd, HALF_CAME, NULL, NULL, &err) < 0)
        return say(b, &err);
    if (renameat(b->fd, HALF_CAME, b->fd, BUNDLE_COPY) == 0 && fsync(b->fd) == 0)
        return true;
    fail_errno(&err, BUNDLE_COPY);
    unlinkat(b->fd, HALF_CAME, 0);
    return say(b, &err);
}
