/* SPDX-License-Identifier: MIT */
/* Where machines' folders are. */
#include "bundle/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/settle.h"
#include "failure.h"

/* XDG Base Directory Specification: "All paths set in these environment variables must be absolute". */
static const char *absolute(const char *variable)
{
    const char *value = getenv(variable);

    return value && value[0] == '/' ? value : NULL;
}

char *home_path(void)
{
    const char *data = absolute("XDG_DATA_HOME"), *home = getenv("HOME"), *ours = getenv("VZ_HOME");
    char *path = NULL;
    int n;

    if (ours && *ours)
        n = ours[0] == '/' ? asprintf(&path, "%s", ours) : -1;
    else if (data)
        n = asprintf(&path, "%s/vz", data);
    else
        n = asprintf(&path, "%s/.local/share/vz", home && *home ? home : "");
    if (n < 0 && ours && *ours && ours[0] != '/')
        path = realpath(ours, NULL);
    return path;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool bundle_name_check(const char *name, struct vz_error *err)
{
    size_t len = strlen(name), suffix = strlen(BUNDLE_SUFFIX);

    if (!len || len > BUNDLE_NAME_MAX)
        return fail_false(err, VZ_ERROR_INVALID, "'%.80s': a machine's name has 1 to %d characters", name,
                          BUNDLE_NAME_MAX);
    for (size_t i = 0; i < len; i++) {
        if (!is_letter_or_digit(name[i]) && (i == 0 || !strchr("-_.", name[i])))
            return fail_false(err, VZ_ERROR_INVALID,
                              "'%s': a machine's name consists of letters, digits, '-', '_' and '.', and "
                              "begins with a letter or digit", name);
    }
    if (len > suffix && !strcmp(name + len - suffix, BUNDLE_SUFFIX))
        return fail_false(err, VZ_ERROR_INVALID,
                          "'%s': a machine's name does not end in %s; did you mean '%.*s' or './%s'?", name,
                          BUNDLE_SUFFIX, (int)(len - suffix), name, name);
    return true;
}

/* An absolute form of path, whose last part need not exist: text for free(). */
static char *absolute_path(const char *path, struct vz_error *err)
{
    char *copy = strdup(path), *folder, *result = NULL, *slash;
    size_t len = strlen(path);

    while (copy && len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    slash = copy ? strrchr(copy, '/') : NULL;
    if (!slash) {
        free(copy);
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    *slash = '\0';
    folder = realpath(*copy ? copy : "/", NULL);
    if (!folder)
        fail(err, VZ_ERROR_IO, "%s: %s", *copy ? copy : "/", strerror(errno));
    else if (asprintf(&result, "%s/%s", strcmp(folder, "/") ? folder : "", slash + 1) < 0)
        result = NULL;
    free(folder);
    free(copy);
    return result;
}

char *bundle_path_of(const char *machine, struct vz_error *err)
{
    char *home, *path = NULL;

    if (strchr(machine, '/'))
        return absolute_path(machine, err);
    if (!bundle_name_check(machine, err))
        return NULL;
    home = home_path();
    if (!home)
        fail(err, VZ_ERROR_IO, "VZ_HOME '%s': %s", getenv("VZ_HOME"), strerror(errno));
    else if (asprintf(&path, "%s/%s" BUNDLE_SUFFIX, home, machine) < 0)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    free(home);
    return path;
}

char *bundle_name_of(const char *path)
{
    const char *last = strrchr(path, '/') + 1;
    size_t len = strlen(last), suffix = strlen(BUNDLE_SUFFIX);

    if (len > suffix && !strcmp(last + len - suffix, BUNDLE_SUFFIX))
        len -= suffix;
    return strndup(last, len);
}

/* Whoever can write into the folder says what the machine is given of this user's files. Root is taken to know
 * what it does with the folders of others. */
static bool is_ours(const struct bundle *b, struct vz_error *err)
{
    struct stat st;

    if (fstat(b->fd, &st) < 0)
        return fail_errno(err, b->path) == 0;
    if (geteuid() && st.st_uid && st.st_uid != geteuid())
        return fail_false(err, VZ_ERROR_INVALID, "%s: belongs to another user; 'cp -r' makes one of your own",
                          b->path);
    if (st.st_mode & S_IWOTH)
        return fail_false(err, VZ_ERROR_INVALID, "%s: everybody may write into it; 'chmod o-w' mends that", b->path);
    return true;
}

static int open_bundle(const char *machine, bool lost, struct bundle *ret, struct vz_error *err)
{
    struct bundle b = {.fd = -1, .lock_fd = -1};

    b.path = bundle_path_of(machine, err);
    if (!b.path)
        return -1;
    b.name = bundle_name_of(b.path);
    b.fd = open(b.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b.fd < 0 && errno == ENOENT)
        fail(err, VZ_ERROR_IO, "%s: there is no such machine ('vz list' shows what there is)", machine);
    else if (b.fd < 0)
        fail(err, VZ_ERROR_IO, "%s: %s", b.path, strerror(errno));
    else if (!lost && settle_is_lost(b.fd))
        fail(err, VZ_ERROR_INVALID, "%s: was being made when this host lost its power, and is not whole: 'vz delete' "
             "removes it", machine);
    else if (faccessat(b.fd, BUNDLE_CONFIG, F_OK, 0) < 0)
        fail(err, VZ_ERROR_INVALID, "%s: is no machine's folder: there is no " BUNDLE_CONFIG, b.path);
    else if (is_ours(&b, err) && b.name) {
        *ret = b;
        return 0;
    }
    bundle_close(&b);
    return -1;
}

int bundle_open(const char *machine, struct bundle *ret, struct vz_error *err)
{
    return open_bundle(machine, false, ret, err);
}

int bundle_open_lost(const char *machine, struct bundle *ret, struct vz_error *err)
{
    return open_bundle(machine, true, ret, err);
}

void bundle_close(struct bundle *b)
{
    if (b->lock_fd >= 0)
        close(b->lock_fd);
    if (b->fd >= 0)
        close(b->fd);
    free(b->name);
    free(b->path);
    free(b->draft);
    *b = (struct bundle){.fd = -1, .lock_fd = -1};
}

static int is_bundle(const struct dirent *e)
{
    size_t len = strlen(e->d_name), suffix = strlen(BUNDLE_SUFFIX);

    return e->d_name[0] != '.' && len > suffix && !strcmp(e->d_name + len - suffix, BUNDLE_SUFFIX);
}

int home_list(bool (*fn)(void *arg, const char *name), void *arg, struct vz_error *err)
{
    char *home = home_path();
    struct dirent **found;
    bool more = true;
    int n = home ? scandir(home, &found, is_bundle, versionsort) : -1;

    if (n < 0 && home && errno == ENOENT)
        n = 0;
    else if (n < 0)
        fail(err, VZ_ERROR_IO, "%s: %s", home ? home : "VZ_HOME", strerror(errno));
    else {
        for (int i = 0; i < n; i++) {
            found[i]->d_name[strlen(found[i]->d_name) - strlen(BUNDLE_SUFFIX)] = '\0';
            more = more && fn(arg, found[i]->d_name);
            free(found[i]);
        }
        free(found);
    }
    free(home);
    return n < 0 ? -1 : 0;
}
