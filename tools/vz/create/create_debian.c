/* SPDX-License-Identifier: MIT */
/* A machine from Debian's packages: by make-debian-image, which uses mmdebstrap and the host's own package
 * sources. A system without wishes is made once, and kept in the cache. */
#include "create/create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/disk.h>

#include "bundle/copy.h"
#include "failure.h"
#include "progress.h"

#define DEFAULT_BYTES ((uint64_t)8 << 30) /* sparse: it takes what is in it */

bool debian_is(const char *from)
{
    return !strcmp(from, "debian") || !strncmp(from, "debian:", 7);
}

/* "" when it is the host's own. */
static const char *suite_of(const char *from)
{
    return from[6] ? from + 7 : "";
}

static bool is_suite(const char *suite)
{
    return strspn(suite, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(suite) && suite[0] != '-';
}

/* The program: as installed, or of the source tree that vz was built in. Text for free(). */
static char *find_program(struct vz_error *err)
{
    char exe[4096], *path = NULL, *slash;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    exe[n > 0 ? n : 0] = '\0';
    slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    if (asprintf(&path, "%s/../scripts/make-debian-image", exe) >= 0 && access(path, X_OK) == 0)
        return path;
    free(path);
    path = strdup(VZ_PKGDATADIR "/make-debian-image");
    if (path && access(path, X_OK) == 0)
        return path;
    fail_errno(err, path ? path : "make-debian-image");
    free(path);
    return NULL;
}

#define WORDS_MAX 24

struct words {
    const char *word[WORDS_MAX];
    unsigned count;
};

static void add(struct words *w, const char *option, const char *value)
{
    if (!value || !*value || w->count + 3 > WORDS_MAX)
        return;
    w->word[w->count++] = option;
    w->word[w->count++] = value;
}

static bool run_script(struct words *w, const char *suite, const char *image, struct vz_error *err)
{
    char *program = find_program(err), *cache = program ? cache_path(err) : NULL;
    int status = 0;
    bool ok = false;

    if (program && cache) {
        w->word[0] = program;
        add(w, "--suite", suite);
        add(w, "--cache", cache);
        w->word[w->count++] = image;
        w->word[w->count] = NULL;
        ok = spawn_program(w->word, false, err, &status);
        if (!ok && status > 0)
            fail(err, status == 3 ? VZ_ERROR_UNSUPPORTED : VZ_ERROR_IO,
                 "--from debian: no system was made; why stands above");
    }
    free(program);
    free(cache);
    if (!ok && interrupt_came())
        return fail_false(err, VZ_ERROR_CANCELLED, "interrupted");
    return ok;
}

static bool has_wishes(const struct args *a)
{
    return args_value(a, "user") || args_value(a, "ssh-key") || args_value(a, "hostname") ||
           args_value(a, "packages");
}

static bool show(void *arg, uint64_t done, uint64_t total)
{
    return progress_show(arg, done, total);
}

/* The file system in it goes along, where the program for it is there; else the guest can do it. */
static bool grow(uint64_t bytes, struct vz_error *err)
{
    const char *const resize[] = {"/sbin/resize2fs", "-f", CREATE_DISK, NULL};
    struct vz_disk_options raw = VZ_DISK_OPTIONS_INIT;
    struct vz_disk_info info = VZ_DISK_INFO_INIT;

    raw.format = VZ_DISK_FORMAT_RAW;
    if (vz_disk_get_info(CREATE_DISK, &raw, &info, err) < 0)
        return false;
    if (bytes < info.bytes)
        return fail_false(err, VZ_ERROR_INVALID, "--disk: Debian takes at least %llu MiB",
                          (unsigned long long)(info.bytes >> 20));
    if (vz_disk_resize(CREATE_DISK, bytes, false, &raw, err) < 0)
        return false;
    if (!spawn_program(resize, true, NULL, NULL))
        cli_error("the disk is larger than the file system on it: 'resize2fs /dev/vda' in the guest mends "
                  "that");
    return true;
}

/* One from the cache, which is filled first. */
static bool from_cache(const char *suite, uint64_t bytes, struct vz_error *err)
{
    struct words w = {.count = 1};
    char *cache = cache_path(err), *image = NULL;
    struct progress p;
    bool ok = false;
    int lock;

    if (!cache || asprintf(&image, "%s/debian%s%s.img", cache, *suite ? "-" : "", suite) < 0) {
        free(cache);
        return false;
    }
    lock = cache_lock(image, err);
    ok = lock >= 0 && run_script(&w, suite, image, err);
    if (ok) {
        progress_begin(&p, image);
        ok = copy_file(AT_FDCWD, image, AT_FDCWD, CREATE_DISK, show, &p, err) == 0;
        progress_end(&p);
    }
    if (lock >= 0)
        close(lock);
    free(cache);
    free(image);
    return ok && grow(bytes ? bytes : DEFAULT_BYTES, err);
}

bool debian_make(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
                 struct vz_error *err)
{
    const char *suite = suite_of(from);
    struct words w = {.count = 1};

    if (!is_suite(suite))
        return fail_false(err, VZ_ERROR_INVALID, "'%.80s': is no name of a release", suite);
    if (!has_wishes(a))
        return from_cache(suite, bytes, err);
    add(&w, "--user", args_value(a, "user"));
    add(&w, "--ssh-key", args_value(a, "ssh-key"));
    add(&w, "--hostname", args_value(a, "hostname"));
    add(&w, "--packages", args_value(a, "packages"));
    return run_script(&w, suite, CREATE_DISK, err) && grow(bytes ? bytes : DEFAULT_BYTES, err);
}
