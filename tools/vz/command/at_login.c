/* SPDX-License-Identifier: MIT */
#include "command/at_login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/bundle.h"
#include "failure.h"
#include "make_folders.h"

#define UNIT_MAX 16384

struct names {
    char *folder; /* of the user's units */
    char *unit, *new; /* the machine's, and under which name it is written */
    char *wants_folder, *wants; /* which enables it */
    char *target;
};

static void free_names(struct names *n)
{
    free(n->folder);
    free(n->unit);
    free(n->new);
    free(n->wants_folder);
    free(n->wants);
    free(n->target);
}

static bool find_names(const struct bundle *b, struct names *ret, struct vz_error *err)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool given = config && config[0] == '/';

    *ret = (struct names){NULL};
    if (asprintf(&ret->folder, "%s%s/systemd/user", given ? config : home ? home : "",
                 given ? "" : "/.config") >= 0 &&
        asprintf(&ret->unit, "%s/vz-%s.service", ret->folder, b->name) >= 0 &&
        asprintf(&ret->new, "%s/.vz-%s.service.new", ret->folder, b->name) >= 0 &&
        asprintf(&ret->wants_folder, "%s/default.target.wants", ret->folder) >= 0 &&
        asprintf(&ret->wants, "%s/vz-%s.service", ret->wants_folder, b->name) >= 0 &&
        asprintf(&ret->target, "../vz-%s.service", b->name) >= 0)
        return true;
    free_names(ret);
    return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* A word of a unit's command, in quotes: systemd.service(5), "COMMAND LINES". */
static void put_word(FILE *to, const char *word)
{
    putc('"', to);
    for (; *word; word++) {
        if (*word == '"' || *word == '\\')
            putc('\\', to);
        if (*word == '%' || *word == '$')
            putc(*word, to);
        putc(*word, to);
    }
    putc('"', to);
}

/* The unit's text, for free(). */
static char *unit_text(const struct bundle *b)
{
    char exe[4096], *text = NULL;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    size_t len;
    FILE *to = n > 0 ? open_memstream(&text, &len) : NULL;

    if (!to)
        return NULL;
    exe[n] = '\0';
    fprintf(to, "# Written by vz start --at-login; vz start --no-at-login removes it.\n"
                "[Unit]\nDescription=Virtual machine %s\n\n"
                "[Service]\nType=exec\nExecStart=", b->name);
    put_word(to, exe);
    fputs(" start --foreground ", to);
    put_word(to, b->path);
    fputs("\nExecStop=", to); /* one that cannot be saved gets SIGTERM next, and its guest 30 s */
    put_word(to, exe);
    fputs(" stop --save ", to);
    put_word(to, b->path);
    fputs("\nTimeoutStopSec=60\n\n[Install]\nWantedBy=default.target\n", to);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

static bool write_unit(const struct names *n, const char *text)
{
    int fd = open(n->new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok && rename(n->new, n->unit) == 0;
}

bool at_login_add(const struct bundle *b, struct vz_error *err)
{
    char *text = unit_text(b);
    struct names n;
    bool ok;

    if (!text || !find_names(b, &n, err)) {
        free(text);
        return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    (void)make_folders(n.wants_folder); /* what fails is seen later */
    ok = write_unit(&n, text) && (symlink(n.target, n.wants) == 0 || errno == EEXIST);
    if (!ok) {
        fail_errno(err, n.unit);
        unlink(n.new);
    }
    free_names(&n);
    free(text);
    return ok;
}

bool at_login_has(const struct bundle *b)
{
    char *text = unit_text(b), *there = calloc(1, UNIT_MAX);
    struct names n;
    bool has = false;
    int fd;

    if (text && there && find_names(b, &n, NULL)) {
        const char *command = strstr(text, " start --foreground ");

        fd = open(n.unit, O_RDONLY | O_CLOEXEC);
        has = fd >= 0 && read(fd, there, UNIT_MAX - 1) > 0 && command && strstr(there, command);
        if (fd >= 0)
            close(fd);
        free_names(&n);
    }
    free(text);
    free(there);
    return has;
}

bool at_login_remove(const struct bundle *b, struct vz_error *err)
{
    struct names n;
    bool ok;

    if (!at_login_has(b))
        return true;
    if (!find_names(b, &n, err))
        return false;
    ok = (unlink(n.wants) == 0 || errno == ENOENT) && (unlink(n.unit) == 0 || errno == ENOENT);
    if (!ok)
        fail_errno(err, n.unit);
    free_names(&n);
    return ok;
}
