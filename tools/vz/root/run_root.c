/* SPDX-License-Identifier: MIT */
#include "root/run_root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/bundle.h"
#include "cli.h"
#include "create/glib_library.h"
#include "failure.h"
#include "make_folders.h"
#include "root/root_file.h"
#include "root/root_initrd.h"

#define TAG       "vz-root"
#define UPPER_TAG "vz-root-changes"

struct root {
    char *path, *upper, *map; /* upper, map: NULL: not said */
    bool read_only;
    char kernel[PATH_MAX], modules_root[PATH_MAX];
    char modules[160]; /* below modules_root; "": none */
};

/* ---- What is said --------------------------------------------------------------------------- */

/* The next of what commas separate, cut off; a doubled comma is one of the text. NULL: that was all. */
static char *next_word(char **rest)
{
    char *word = *rest, *to = word, *from = word;

    if (!word)
        return NULL;
    while (*from && (*from != ',' || from[1] == ',')) {
        from += *from == ',';
        *to++ = *from++;
    }
    *rest = *from ? from + 1 : NULL;
    *to = '\0';
    return word;
}

static bool parse(char *text, struct root *ret)
{
    char *word = next_word(&text);

    ret->path = word;
    while ((word = next_word(&text))) {
        if (!strcmp(word, "ro"))
            ret->read_only = true;
        else if (!strncmp(word, "changes=", 8) && word[8])
            ret->upper = word + 8;
        else if (!strncmp(word, "map=", 4) && word[4])
            ret->map = word + 4;
        else
            return false;
    }
    return ret->path && *ret->path;
}

static bool apply(struct run_options *o, const char *name, const char *value)
{
    struct vz_error err = {.text = "out of memory"};

    if (vz_config_add(o->config, name, value, &err) == 0)
        return true;
    cli_error("--root: --%s %s: %s", name, value, err.text);
    return false;
}

static bool add_share(struct run_options *o, const char *tag, const char *path, const char *map, bool read_only)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    bool ok;

    if (!f)
        return cli_no_memory();
    fprintf(f, "%s=%s", tag, path[0] == '/' ? "" : "./"); /* a word such as "multiple" is a path here */
    for (; *path; path++)
        fprintf(f, *path == ',' ? ",%c" : "%c", *path);
    fprintf(f, ",map=%s%s", map ? map : "root", read_only ? ",ro" : "");
    ok = fclose(f) == 0 ? apply(o, "share", text) : cli_no_memory();
    free(text);
    return ok;
}

/* ---- Kernel and modules --------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A file of the root as its path on the host; 0 or -errno. */
static int resolve(const struct root *r, const char *inside, char ret[PATH_MAX])
{
    int fd = root_file_open(r->path, inside, O_PATH), error = 0;
    char link[64];
    ssize_t n;

    ret[0] = '\0';
    if (fd < 0)
        return fd;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, ret, PATH_MAX - 1);
    if (n < 0)
        error = errno;
    ret[n > 0 ? n : 0] = '\0';
    close(fd);
    return -error;
}

/* The newest of the root's own; or "". False after cli_error(). */
static bool find_kernel(struct root *r)
{
    char folder[PATH_MAX], best[NAME_MAX + 1] = "", inside[NAME_MAX + 8];
    struct dirent *e;
    int error = 0;
    DIR *d;

    snprintf(folder, sizeof(folder), "%s/boot", r->path);
    d = opendir(folder);
    while (d && (e = readdir(d))) {
        const char *version = e->d_name + strlen("vmlinuz-");

        /* Not what an upgrade leaves half done. */
        if (!strncmp(e->d_name, "vmlinuz-", 8) && !strstr(version, ".dpkg-") && !strstr(version, ".old") &&
            (!best[0] || strverscmp(version, best + strlen("vmlinuz-")) > 0))
            snprintf(best, sizeof(best), "%s", e->d_name);
    }
    if (d)
        closedir(d);
    snprintf(inside, sizeof(inside), "boot/%s", best);
    if (best[0])
        error = -resolve(r, inside, r->kernel);
    if (error)
        cli_error("--root '%s': %s: %s", r->path, inside, error == EINVAL ? "not a regular file" : strerror(error));
    return !error;
}

/* What uname -r says in it (Linux's boot protocol, 2.0 and newer): "" if it is no such file. */
static void read_version(const char *kernel, char ret[128])
{
    int fd = open(kernel, O_RDONLY | O_CLOEXEC);
    unsigned char head[4], at[2];

    ret[0] = '\0';
    if (fd >= 0 && pread(fd, head, 4, 0x202) == 4 && !memcmp(head, "HdrS", 4)) {
        ssize_t n = pread(fd, at, 2, 0x20e) == 2 ? pread(fd, ret, 127, 0x200 + at[0] + at[1] * 256) : 0;

        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, " ")] = '\0';
        if (ret[0] == '.' || strchr(ret, '/'))
            ret[0] = '\0';
    }
    if (fd >= 0)
        close(fd);
}

/* In the root, beside the kernel, or this host's: the same version is the same kernel. */
static void find_modules(struct root *r, const char *kernel)
{
    const char *slash = strrchr(kernel, '/');
    char version[128], beside[PATH_MAX], path[PATH_MAX];
    const char *const roots[] = {r->path, beside, "/"};

    read_version(kernel, version);
    if (!version[0])
        return;
    snprintf(beside, sizeof(beside), "%.*s/..", slash ? (int)(slash - kernel) : 1, slash ? kernel : ".");
    snprintf(r->modules, sizeof(r->modules), "lib/modules/%s", version);
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        snprintf(r->modules_root, sizeof(r->modules_root), "%.3900s", roots[i]);
        snprintf(path, sizeof(path), "%.3900s/%s", roots[i], r->modules);
        if (is_folder(path))
            return;
    }
    r->modules[0] = '\0'; /* all that it needs may be in it */
}

static bool add_kernel(struct run_options *o, struct root *r)
{
    const struct given *kernel = opts_given(o->given, "kernel");

    if (kernel) {
        find_modules(r, kernel->value);
        return true;
    }
    if (!find_kernel(r))
        return false;
    if (!r->kernel[0]) {
        cli_error("--root '%s': there is no kernel in its /boot (vmlinuz-VERSION): give --kernel FILE", r->path);
        return false;
    }
    find_modules(r, r->kernel);
    return apply(o, "kernel", r->kernel);
}

/* ---- All of it ------------------------------------------------------------------------------ */

/* In memory, until the process ends; where the machine is to be saved beside that, since whoever restores it may start
 * it anew. -1 after cli_error(). */
static int make_file(const struct run_options *o, char ret[PATH_MAX])
{
    const struct given *save = opts_given(o->given, "save");
    int fd;

    if (save) {
        snprintf(ret, PATH_MAX, "%.4000s.initrd", save->value);
        fd = open(ret, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    } else {
        fd = memfd_create("vz-root-initrd", MFD_CLOEXEC);
        snprintf(ret, PATH_MAX, "/proc/self/fd/%d", fd);
    }
    if (fd < 0)
        cli_error("--root: %s: %s", save ? ret : "initramfs", strerror(errno));
    return fd;
}

/* Whoever gets the printed configuration finds it in the folder of machines, by what is in it: the same is one file. */
static bool keep_file(char path[PATH_MAX], struct vz_error *err)
{
    char *home, *data, *sum = NULL;
    GError *error = NULL;
    size_t len = 0;
    bool ok = false;

    if (!glib_library_load(err))
        return false;
    home = home_path();
    data = home ? cli_read_file(path, &len, err) : NULL;
    if (data)
        sum = libglib.compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)data, len);
    if (sum) {
        snprintf(path, PATH_MAX, "%.3900s/root-%.16s.initrd", home, sum);
        ok = make_folders(home) == 0 && libglib.file_set_contents(path, data, (gssize)len, &error);
        if (!ok)
            fail(err, VZ_ERROR_IO, "%s: %s", path, error ? error->message : strerror(errno));
    }
    if (!home)
        fail(err, VZ_ERROR_IO, "there is no $VZ_HOME");
    libglib.clear_error(&error);
    libglib.free(sum);
    free(data);
    free(home);
    return ok;
}

static bool add_initrd(struct run_options *o, const struct root *r)
{
    const struct root_initrd i = {.modules = r->modules[0] ? r->modules : NULL, .modules_root = r->modules_root,
                                  .tag = TAG, .wait = o->has_program,
                                  .overlay = r->upper ? UPPER_TAG : r->read_only ? "tmpfs" : NULL};
    bool keep = run_options_flag(o, "print-config") && !opts_given(o->given, "save");
    struct vz_error err = {.text = ""};
    char path[PATH_MAX];
    int fd = make_file(o, path);

    if (fd < 0)
        return false;
    if (!root_initrd_write(&i, fd, &err) || (keep && !keep_file(path, &err))) {
        cli_error("--root: %s", err.text);
        return false;
    }
    return apply(o, "initrd", path);
}

bool run_root_apply(struct run_options *o, const char *value)
{
    char *text = strdup(value);
    struct root r = {.path = NULL};
    bool ok = text;

    if (!text)
        return cli_no_memory();
    if (!parse(text, &r)) {
        cli_error("--root '%s': expected DIR[,ro][,changes=DIR][,map=...]", value);
        ok = false;
    }
    ok = ok && add_kernel(o, &r) && add_share(o, TAG, r.path, r.map, r.read_only || r.upper) &&
         (!r.upper || add_share(o, UPPER_TAG, r.upper, r.map, false)) && add_initrd(o, &r) &&
         (opts_given(o->given, "cmdline") || apply(o, "cmdline", "console=ttyS0 quiet cryptomgr.notests"));
    free(text);
    return ok;
}
