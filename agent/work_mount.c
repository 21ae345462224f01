/* SPDX-License-Identifier: MIT */
/* Mounting a directory that the host shares. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"

#define MOUNTS_MAX (256u * 1024)

/* All folders of the path. 0 or -errno. */
static int make_folders(const char *path)
{
    char part[PATH_MAX];
    struct stat st;

    for (const char *end = path; *end;) {
        end += 1 + strcspn(end + 1, "/");
        snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* As /proc/self/mounts writes it: blanks and backslashes in octal. */
static void escape(const char *text, char *to, size_t room)
{
    size_t n = 0;

    for (; *text && n + 5 < room; text++) {
        if (strchr(" \t\n\\", *text))
            n += (size_t)snprintf(to + n, room - n, "\\%03o", (unsigned char)*text);
        else
            to[n++] = *text;
    }
    to[n] = '\0';
}

/* Is it there already, since the guest's own fstab has it, or the host asks again? */
static bool is_mounted(const char *tag, const char *path)
{
    char line[PATH_MAX + 512], its_tag[256], its_path[PATH_MAX], *mounts = malloc(MOUNTS_MAX);
    bool ret = false;

    escape(tag, its_tag, sizeof(its_tag));
    escape(path, its_path, sizeof(its_path));
    snprintf(line, sizeof(line), "%s %s virtiofs ", its_tag, its_path);
    if (mounts && !work_read_file("/proc/self/mounts", mounts, MOUNTS_MAX)) {
        for (const char *at = mounts; at && !ret; at = strchr(at, '\n')) {
            at += *at == '\n';
            ret = !strncmp(at, line, strlen(line));
        }
    }
    free(mounts);
    return ret;
}

static int mount_share(const char *tag, const char *path)
{
    const char *const driver[] = {"modprobe", "-q", "virtiofs", NULL};
    const unsigned long flags = MS_NOSUID | MS_NODEV;

    if (!mount(tag, path, "virtiofs", flags, NULL))
        return 0;
    if (errno != ENODEV || work_run(driver) != 0)
        return -errno;
    return mount(tag, path, "virtiofs", flags, NULL) < 0 ? -errno : 0;
}

void work_mount(const struct request *q, struct agent_fields *ret)
{
    char *tag = agent_get_text(q->data, q->len, AGENT_F_ARG);
    char *path = agent_get_text(q->data, q->len, AGENT_F_PATH);
    char real[PATH_MAX];
    int r;

    if (!tag || !*tag || !path || path[0] != '/' || strlen(path) >= PATH_MAX) {
        work_failed(ret, EINVAL, "mount", NULL);
        return;
    }
    if (is_mounted(tag, path))
        return;
    r = make_folders(path);
    if (!r && !realpath(path, real)) /* as /proc/self/mounts has it: without links and slashes too many */
        r = -errno;
    if (r < 0)
        work_failed(ret, -r, "folder", NULL);
    else if (!is_mounted(tag, real) && (r = mount_share(tag, real)) < 0)
        work_failed(ret, -r, "mount", NULL);
}
