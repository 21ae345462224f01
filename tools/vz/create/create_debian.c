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
#include "bundle/identity.h"
#include "create/helper_file.h"
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
    char *program = helper_file(&helper_debian, err), *agent = program ? helper_file(&helper_agent, err) : NULL;
    char *cache = agent ? cache_path(err) : NULL;
    int status = 0;
    bool ok = false;

    if (cache) {
        w->word[0] = program;
        add(w, "--agent", agent);
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
    free(agent);
    free(cache);
    if (!ok && interrupt_came())
        return fail_false(err, VZ_ERROR_CANCELLED, "interrupted");
    return ok;
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

/* What the script can do by itself; all else is cloud-init's, which comes along then. */
static bool has_wishes(const struct args *a)
{
    static const char *const wishes[] = {"user", "ssh-key", "hostname", "packages", "password-file", "script", "provision"};

    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        if (args_flag(a, wishes[i]))
            return true;
    }
    return false;
}

static bool with_wishes(const struct bundle *draft, const char *suite, const struct args *a, struct vz_error *err)
{
    const char *host = args_value(a, "hostname"), *packages = args_value(a, "packages");
    char name[BUNDLE_NAME_MAX + 1];
    struct words w = {.count = 1};

    identity_host_name(draft->name, name);
    add(&w, "--user", args_value(a, "user"));
    add(&w, "--ssh-key", args_value(a, "ssh-key"));
    add(&w, "--password-file", args_value(a, "password-file"));
    add(&w, "--script", args_value(a, "script"));
    add(&w, "--hostname", host ? host : name);
    add(&w, "--packages", args_flag(a, "provision") ? "cloud-init,locales,tzdata" : packages);
    return run_script(&w, suite, CREATE_DISK, err);
}

bool debian_make(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
                 struct vz_error *err)
{
    const char *suite = suite_of(from);

    if (!is_suite(suite))
        return fail_false(err, VZ_ERROR_INVALID, "'%.80s': is no name of a release", suite);
    if (!has_wishes(a)) /* its name is the only thing that it does not share with the one in the cache */
        return from_cache(suite, bytes, err) && identity_ask(draft, draft->name, false, NULL, err) == 0;
    return with_wishes(draft, suite, a, err) && grow(bytes ? bytes : DEFAULT_BYTES, err);
}
