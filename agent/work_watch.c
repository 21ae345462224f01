/* SPDX-License-Identifier: MIT */
/* Changes that the host makes in shared directories, brought to those who watch them here by inotify or fanotify. The
 * protocol of virtio-fs has no word for them. So the host is told which folders are watched, watches those itself, and
 * says what changed in them; here a call is made that changes nothing, after which the kernel tells the watchers.
 *
 * Who watches what is found in /proc: an inotify instance's fdinfo has a file handle of each watched file, which leads
 * to its path. Nothing stays open between looks, so that a share can be unmounted. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"

#define FOLDERS_MAX 512u
#define MOUNTS_MAX  64u
#define LOOK_MS     2000u
#define HANDLE_MAX  64u /* bytes */

struct shared_mount {
    unsigned long device; /* as fdinfo writes it */
    int fd;               /* -1: it could not be opened */
    char tag[64], path[PATH_MAX];
};

struct folder {
    unsigned id;
    char *tag, *inside, *path; /* of the share; in it, without a slash in front; here */
    dev_t device;              /* the share's, by which what is found at path later is known */
    bool seen;                 /* in this look */
};

struct watcher {
    struct shared_mount *mount;
    unsigned mounts;
    struct folder folder[FOLDERS_MAX];
    unsigned count, next_id;
    char in[8192]; /* from the host */
    size_t in_len;
};

/* ---- To the host ---------------------------------------------------------------------------- */

/* Three texts, each with its NUL: "W" or "U" and the number, tag, folder. */
static void tell(char what, unsigned id, const char *tag, const char *inside)
{
    char record[PATH_MAX + 128];
    int n = snprintf(record, sizeof(record), "%c%u%c%s%c%s", what, id, 0, tag, 0, inside) + 1;

    for (int at = 0; at < n;) {
        ssize_t w = write(STDOUT_FILENO, record + at, (size_t)(n - at));

        if (w <= 0)
            _exit(EXIT_SUCCESS); /* the host is gone */
        at += (int)w;
    }
}

static void free_folder(struct folder *f)
{
    free(f->tag);
    free(f->inside);
    free(f->path);
}

static void drop(struct watcher *w, unsigned i)
{
    struct folder *f = &w->folder[i];

    tell('U', f->id, "", "");
    free_folder(f);
    *f = w->folder[--w->count];
}

static void note_folder(struct watcher *w, const struct shared_mount *m, const char *path, dev_t device)
{
    const char *inside = path + strlen(m->path);
    struct folder *f;

    inside += *inside == '/';
    for (unsigned i = 0; i < w->count; i++) {
        f = &w->folder[i];
        if (!strcmp(f->path, path) && !strcmp(f->tag, m->tag)) {
            f->seen = true;
            f->device = device; /* mounted anew, it is another */
            return;
        }
    }
    if (w->count == FOLDERS_MAX)
        return;
    f = &w->folder[w->count];
    *f = (struct folder){w->next_id, strdup(m->tag), strdup(inside), strdup(path), device, true};
    if (!f->tag || !f->inside || !f->path) { /* until the next look */
        free_folder(f);
        return;
    }
    w->next_id++;
    w->count++;
    tell('W', f->id, f->tag, f->inside);
}

/* ---- Who watches ---------------------------------------------------------------------------- */

/* "\040" is a blank, and so on. In place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *p = text; *p; to++) {
        unsigned c;

        if (*p == '\\' && strspn(p + 1, "01234567") >= 3 && sscanf(p + 1, "%3o", &c) == 1) {
            *to = (char)c;
            p += 4;
        } else {
            *to = *p++;
        }
    }
    *to = '\0';
}

/* "36 35 0:42 / /mnt rw,... - virtiofs TAG rw" */
static void take_mount(struct watcher *w, const char *line)
{
    const char *rest = strstr(line, " - virtiofs ");
    char root[PATH_MAX], path[PATH_MAX], tag[256]; /* a character may take four */
    unsigned major, minor;

    if (!rest || w->mounts == MOUNTS_MAX || sscanf(rest, " - virtiofs %255s", tag) != 1 ||
        sscanf(line, "%*u %*u %u:%u %4095s %4095s", &major, &minor, root, path) != 4 || strcmp(root, "/"))
        return;
    unescape(path);
    unescape(tag);
    if (!strcmp(path, "/"))
        path[0] = '\0';
    struct shared_mount *m = &w->mount[w->mounts++];
    m->device = (unsigned long)major << 20 | minor;
    snprintf(m->tag, sizeof(m->tag), "%.63s", tag);
    snprintf(m->path, sizeof(m->path), "%s", path);
    m->fd = open(path[0] ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void find_mounts(struct watcher *w)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;

    w->mounts = 0;
    while (f && getline(&line, &room, f) > 0)
        take_mount(w, line);
    free(line);
    if (f)
        fclose(f);
}

static const struct shared_mount *mount_of(const struct watcher *w, unsigned long device)
{
    for (unsigned i = w->mounts; i--;) { /* the last mounted is what is seen */
        if (w->mount[i].device == device && w->mount[i].fd >= 0)
            return &w->mount[i];
    }
    return NULL;
}

/* The path of what is watched, and then of its folder. */
static void take_file(struct watcher *w, const struct shared_mount *m, int fd)
{
    const size_t len = strlen(m->path);
    char link[64], path[PATH_MAX];
    struct stat st;
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    if (n <= 0 || fstat(fd, &st) < 0 || strncmp(path, m->path, len) || (path[len] && path[len] != '/'))
        return; /* it is reached by another mount only, or has no name any more */
    if (!S_ISDIR(st.st_mode)) {
        char *slash = strrchr(path, '/');

        if (!slash || (size_t)(slash - path) < len)
            return;
        *slash = '\0';
    }
    note_folder(w, m, path, st.st_dev);
}

/* "inotify wd:1 ino:9 sdev:2a mask:... fhandle-bytes:c fhandle-type:81 f_handle:00ff..." */
static void take_watch(struct watcher *w, const char *line)
{
    const char *device = strstr(line, "sdev:"), *handle = strstr(line, "fhandle-bytes:"), *hex;
    _Alignas(struct file_handle) unsigned char room[sizeof(struct file_handle) + HANDLE_MAX];
    struct file_handle *file = (void *)room;
    unsigned char *to = room + offsetof(struct file_handle, f_handle);
    const struct shared_mount *m = device ? mount_of(w, strtoul(device + 5, NULL, 16)) : NULL;
    unsigned bytes, type;
    int fd;

    if (!m || !handle || sscanf(handle, "fhandle-bytes:%x fhandle-type:%x", &bytes, &type) != 2 || bytes > HANDLE_MAX ||
        !(hex = strstr(handle, "f_handle:")))
        return;
    hex += strlen("f_handle:");
    file->handle_bytes = bytes;
    file->handle_type = (int)type;
    for (unsigned i = 0; i < bytes; i++) {
        unsigned byte;

        if (sscanf(hex + i * 2, "%2x", &byte) != 1)
            return;
        to[i] = (unsigned char)byte;
    }
    fd = open_by_handle_at(m->fd, file, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    take_file(w, m, fd);
    close(fd);
}

static void read_watches(struct watcher *w, const char *process, const char *number)
{
    char path[64], *line = NULL;
    size_t room = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", process, number);
    f = fopen(path, "re");
    while (f && getline(&line, &room, f) > 0)
        take_watch(w, line);
    free(line);
    if (f)
        fclose(f);
}

static void look_at_process(struct watcher *w, const char *process)
{
    char path[64], target[64];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%.16s/fd", process);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

        target[n > 0 ? n : 0] = '\0';
        if (!strcmp(target, "anon_inode:inotify") || !strcmp(target, "anon_inode:[fanotify]"))
            read_watches(w, process, e->d_name);
    }
    if (d)
        closedir(d);
}

static void look(struct watcher *w)
{
    struct dirent *e;
    DIR *d = NULL;

    find_mounts(w);
    for (unsigned i = 0; i < w->count; i++)
        w->folder[i].seen = false;
    if (w->mounts)
        d = opendir("/proc");
    while (d && (e = readdir(d))) {
        if (isdigit((unsigned char)e->d_name[0]))
            look_at_process(w, e->d_name);
    }
    if (d)
        closedir(d);
    for (unsigned i = w->count; i--;) {
        if (!w->folder[i].seen)
            drop(w, i);
    }
    for (unsigned i = 0; i < w->mounts; i++) {
        if (w->mount[i].fd >= 0)
            close(w->mount[i].fd);
    }
}

/* ---- What the host says --------------------------------------------------------------------- */

/* IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE: a hole where the file has no end. Opened to write, a program with set-ID bits would
 * lose them, a program could not be started on the host meanwhile (ETXTBSY), and a file that may not be written would
 * be made so; these get IN_ATTRIB, by the mode that they have already.
 * file (O_PATH) is what st is of: by its name whoever may change the folder could have root change another's mode. */
static void touch(int file, const struct stat *st)
{
    char path[64];
    int fd = -1;

    if (S_ISLNK(st->st_mode))
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (S_ISREG(st->st_mode) && (st->st_mode & S_IWUSR) && !(st->st_mode & (S_ISUID | S_ISGID | 0111)))
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)1 << 60, 4096) < 0)
        (void)!chmod(path, st->st_mode & 07777);
    if (fd >= 0)
        close(fd);
}

/* The folder, if it is the share's still: others than root may put a link in its place, which leads anywhere. */
static int open_folder(const struct folder *f)
{
    int dir = open(f->path[0] ? f->path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (dir < 0 || (fstat(dir, &st) == 0 && st.st_dev == f->device))
        return dir;
    close(dir);
    return -1;
}

/* A name of the folder changed, or went. */
static void happen(const struct folder *f, const char *name)
{
    int dir = open_folder(f), file;
    struct statx fresh;
    struct stat st;

    if (dir < 0)
        return;
    /* What the kernel remembers of the name may be a second old. This asks the host, since it would make the name anew, and never
     * does, since it is on another file system. */
    (void)!linkat(AT_FDCWD, "/proc/self/status", dir, name, 0);
    file = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file >= 0 && statx(file, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &fresh) == 0 &&
        fstat(file, &st) == 0) {
        if (st.st_dev == f->device) /* nothing that is mounted there */
            touch(file, &st);
    } else if (fstat(dir, &st) == 0) {
        (void)!fchmod(dir, st.st_mode & 07777);
    }
    if (file >= 0)
        close(file);
    close(dir);
}

/* Two texts: the folder's number, a name in it. */
static void take_changes(struct watcher *w)
{
    char *at = w->in, *end = w->in + w->in_len;

    for (;;) {
        char *name = memchr(at, '\0', (size_t)(end - at));
        char *last = name ? memchr(name + 1, '\0', (size_t)(end - name - 1)) : NULL;
        unsigned id;

        if (!last)
            break;
        id = (unsigned)strtoul(at, NULL, 10);
        name++;
        for (unsigned i = 0; i < w->count; i++) {
            if (w->folder[i].id == id && *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."))
                happen(&w->folder[i], name);
        }
        at = last + 1;
    }
    w->in_len = (size_t)(end - at);
    memmove(w->in, at, w->in_len);
}

void work_watch(const struct request *q, struct agent_fields *ret)
{
    struct watcher *w = calloc(1, sizeof(*w));
    uint64_t due = 0, now;

    if (w)
        w->mount = calloc(MOUNTS_MAX, sizeof(*w->mount));
    if (!w || !w->mount || geteuid()) {
        work_failed(ret, geteuid() ? EPERM : ENOMEM, "watch", NULL);
        return;
    }
    for (;;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        ssize_t n;

        now = now_ms();
        if (now >= due) {
            look(w);
            due = now_ms() + LOOK_MS;
            now = due - LOOK_MS;
        }
        if (poll(&p, 1, (int)(due - now)) <= 0)
            continue;
        n = read(STDIN_FILENO, w->in + w->in_len, sizeof(w->in) - w->in_len);
        if (n <= 0)
            return; /* the host has enough */
        w->in_len += (size_t)n;
        take_changes(w);
        if (w->in_len == sizeof(w->in))
            w->in_len = 0; /* no name is as long */
    }
}
