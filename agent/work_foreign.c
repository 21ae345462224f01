/* SPDX-License-Identifier: MIT */
/* Telling the kernel (binfmt_misc) of the interpreters in a share of them: docs/foreign-binaries.md says what is in
 * it. The lines are the share's, from the host; here they get the folder that it is mounted at. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"

#define VERSION    "1\n"
#define LINES_MAX  (64u * 1024)
#define LINE_MAX_  1920 /* what the kernel takes */
#define MISC       "/proc/sys/fs/binfmt_misc"
#define BINFMT_D   "/run/binfmt.d"

/* Where a system manager has an automount there, the first look mounts it. */
static int make_ready(const char *root)
{
    const char *const driver[] = {"modprobe", "-q", "binfmt_misc", NULL};
    char path[4096];

    snprintf(path, sizeof(path), "%s" MISC "/register", root);
    if (access(path, F_OK) == 0)
        return 0;
    if (*root)
        return -ENOENT;
    work_run(driver);
    if (access(path, F_OK) == 0)
        return 0;
    return mount("binfmt_misc", MISC, "binfmt_misc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ? -errno : 0;
}

static int write_to(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC), r = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        r = -errno;
    close(fd);
    return r;
}

/* ":vz-NAME:M:OFFSET:MAGIC:MASK:INTERPRETER:FLAGS", whose interpreter is in folder. False: it is none. */
static bool complete(const char *line, const char *folder, char ret[LINE_MAX_])
{
    unsigned colons = 0;
    size_t head = 0;

    for (size_t i = 0; line[i]; i++) {
        colons += line[i] == ':';
        if (line[i] == ':' && colons == 6)
            head = i + 1;
    }
    return !strncmp(line, ":vz-", 4) && colons == 7 && !strchr(line + head, '/') &&
           snprintf(ret, LINE_MAX_, "%.*s%s/%s\n", (int)head, line, folder, line + head) < LINE_MAX_;
}

static int enter(const char *root, const char *line)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s" MISC "/register", root);
    return write_to(path, line);
}

static void leave(const char *root, const char *name, const char *behind)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s" MISC "/%s%s", root, name, behind);
    write_to(path, "-1");
}

/* What was registered by that name, which is one of ours, goes; without a moment at which there is nothing, since
 * programs may be starting: a second name stands in. */
static int replace(const char *root, const char *line)
{
    char name[256], path[4096], second[LINE_MAX_ + 8];
    int r;

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + 1, ":/"), line + 1);
    snprintf(path, sizeof(path), "%s" MISC "/%s", root, name);
    if (access(path, F_OK) < 0)
        return enter(root, line);
    snprintf(second, sizeof(second), ":%s.new%s", name, line + 1 + strlen(name));
    leave(root, name, ".new");
    r = enter(root, second);
    if (!r) {
        leave(root, name, "");
        r = enter(root, line);
    }
    if (!r)
        leave(root, name, ".new");
    return r;
}

/* systemd drops all that is registered when it starts to, and enters what such files have. One that is on its
 * way comes first, therefore, and one that comes later finds our file. */
static void tell_manager(const char *root, const char *lines)
{
    const char *const wait_for_it[] = {"systemctl", "start", "systemd-binfmt.service", NULL};
    char path[4096];

    snprintf(path, sizeof(path), "%s/run/systemd/system", root);
    if (access(path, F_OK) < 0)
        return;
    snprintf(path, sizeof(path), "%s" BINFMT_D, root);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s" BINFMT_D "/vz-foreign.conf", root);
    if (work_write_file(path, lines, 0644) == 0 && !*root)
        work_run(wait_for_it);
}

/* All lines with their interpreters' places; NULL: they are none. */
static char *complete_all(char *lines, const char *folder)
{
    struct agent_bytes b = {NULL};
    char whole[LINE_MAX_], *next;
    bool ok = true;

    for (char *line = lines; ok && *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = '\0';
        ok = complete(line, folder, whole) && agent_bytes_append(&b, whole, strlen(whole));
    }
    ok = ok && b.len && agent_bytes_append(&b, "", 1);
    if (ok)
        return (char *)b.data;
    agent_bytes_fini(&b);
    return NULL;
}

static int enter_all(const char *root, char *lines)
{
    int r = 0;

    for (char *line = lines, *end; !r && (end = strchr(line, '\n')); line = end + 1) {
        char one[LINE_MAX_];

        snprintf(one, sizeof(one), "%.*s", (int)(end - line + 1), line);
        r = replace(root, one);
    }
    return r;
}

static int read_lines(const char *folder, char **ret)
{
    char path[4096], version[16], *text;
    int r;

    snprintf(path, sizeof(path), "%s/version", folder);
    r = work_read_file(path, version, sizeof(version));
    if (r < 0)
        return r;
    if (strcmp(version, VERSION))
        return -EPROTO;
    text = malloc(LINES_MAX);
    if (!text)
        return -ENOMEM;
    snprintf(path, sizeof(path), "%s/registrations", folder);
    r = work_read_file(path, text, LINES_MAX);
    *ret = r < 0 ? NULL : complete_all(text, folder);
    free(text);
    return r < 0 ? r : *ret ? 0 : -EPROTO;
}

void work_foreign(const struct request *q, struct agent_fields *ret)
{
    char *folder = agent_get_text(q->data, q->len, AGENT_F_PATH), *lines = NULL;
    int r = folder && folder[0] == '/' && !strpbrk(folder, ":\n") && strlen(folder) < 1024
                ? read_lines(folder, &lines) : -EINVAL;

    if (r < 0) {
        work_failed(ret, -r, "share", r == -EPROTO ? "not a share of interpreters that this agent knows" : NULL);
        return;
    }
    r = make_ready(q->root);
    if (r < 0) {
        work_failed(ret, -r, "kernel", r == -ENODEV ? "the kernel has no binfmt_misc" : NULL);
    } else {
        tell_manager(q->root, lines);
        r = enter_all(q->root, lines);
        if (r < 0)
            work_failed(ret, -r, "register", NULL);
    }
    free(lines);
}
