/* SPDX-License-Identifier: MIT */
/* Changes that the host makes in shared directories, brought to those who watch them here by inotify or fanotify. The
 * protocol of virtio-fs has no word for them. So the host is told which folders are watched, watches those itself, and
 * says what changed in them; here a call is made that changes nothing, after which the kernel tells the watchers: what
 * the host did, done again under a group by which the host knows that it is not to be (share/share_tell.h); or one that
 * opens the file, or sets the mode that it has.
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
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"
#include "share/share_tell.h"

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
    struct shared_mount mount[MOUNTS_MAX];
    unsigned mounts;
    struct folder folder[FOLDERS_MAX];
    unsigned count, next_id;
    char in[8192]; /* from the host */
    size_t in_len;
    unsigned moved_id; /* the folder that a name was moved from, by the record before */
    char moved_name[NAME_MAX + 1];
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

/* "36 35 0:42 / /mnt rw,... - virtiofs TAG rw" */
static void take_mount(void *arg, const char *line)
{
    struct watcher *w = arg;
    const char *rest = strstr(line, " - virtiofs ");
    char root[PATH_MAX], path[PATH_MAX], tag[256]; /* a character may take four */
    unsigned major, minor;

    if (!rest || w->mounts == MOUNTS_MAX || sscanf(rest, " - virtiofs %255s", tag) != 1 ||
        sscanf(line, "%*u %*u %u:%u %4095s %4095s", &major, &minor, root, path) != 4 || strcmp(root, "/"))
        return;
    work_unescape(path);
    work_unescape(tag);
    if (!strcmp(path, "/"))
        path[0] = '\0';
    struct shared_mount *m = &w->mount[w->mounts++];
    m->device = (unsigned long)major << 20 | minor;
    snprintf(m->tag, sizeof(m->tag), "%.63s", tag);
    snprintf(m->path, sizeof(m->path), "%s", path);
    m->fd = open(path[0] ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
static void take_watch(void *arg, const char *line)
{
    struct watcher *w = arg;
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
    char path[64];

    snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", process, number);
    work_each_line(path, take_watch, w);
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

    w->mounts = 0;
    work_each_line("/proc/self/mountinfo", take_mount, w);
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

/* ---- Calls that change nothing -------------------------------------------------------------- */

/* Between these two a call is made under the group by which the host knows what it is; the rights are root's. */
static void begin_telling(bool is_folder)
{
    setfsgid(is_folder ? SHARE_TELL_FOLDER : SHARE_TELL_FILE);
}

/* Did the call succeed? With errno. */
static bool end_telling(int result)
{
    int error = errno;

    setfsgid(0);
    errno = error;
    return result == 0;
}

/* IN_ATTRIB. path: of a descriptor. */
static void attribute(const char *path, const struct stat *st)
{
    begin_telling(S_ISDIR(st->st_mode));
    end_telling(chmod(path, st->st_mode & 07777));
}

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
        attribute(path, st);
    if (fd >= 0)
        close(fd);
}

/* What the kernel remembers of the name may be a second old. This asks the host, since it would make the name anew, and
 * never does, since it is on another file system. */
static void freshen(int dir, const char *name)
{
    (void)!linkat(AT_FDCWD, "/proc/self/status", dir, name, 0);
}

/* IN_CREATE */
static bool make_again(int dir, const char *name, const struct stat *st)
{
    begin_telling(S_ISDIR(st->st_mode));
    return end_telling(S_ISDIR(st->st_mode)   ? mkdirat(dir, name, st->st_mode & 07777)
                       : S_ISLNK(st->st_mode) ? symlinkat("/", dir, name)
                                              : mknodat(dir, name, st->st_mode, st->st_rdev));
}

/* IN_DELETE. The kernel may remember that there is no such name, and asks anew then. */
static bool remove_again(int dir, const char *name, bool is_folder)
{
    bool done = false;

    for (unsigned tries = 0; !done && tries < 2 && (!tries || errno == ENOENT); tries++) {
        begin_telling(is_folder);
        if (tries)
            freshen(dir, name);
        done = end_telling(unlinkat(dir, name, is_folder ? AT_REMOVEDIR : 0));
    }
    return done;
}

/* IN_MOVED_FROM, IN_MOVED_TO; likewise. */
static bool move_again(int from, const char *old, int to, const char *name, bool is_folder)
{
    bool done = false;

    for (unsigned tries = 0; !done && tries < 2 && (!tries || errno == ENOENT); tries++) {
        begin_telling(is_folder);
        if (tries)
            freshen(from, old);
        done = end_telling(renameat2(from, old, to, name, RENAME_NOREPLACE));
    }
    return done;
}

/* ---- What the host says --------------------------------------------------------------------- */

/* Behind a folder's number: what happened. Without a letter: something, to a file that is there or not. */
struct change {
    unsigned id;
    bool made, gone, from, to, modified, is_folder;
};

static void read_change(const char *text, struct change *ret)
{
    char *letters;

    *ret = (struct change){.id = (unsigned)strtoul(text, &letters, 10)};
    ret->made = strchr(letters, 'A');
    ret->gone = strchr(letters, 'G');
    ret->from = strchr(letters, 'F');
    ret->to = strchr(letters, 'T');
    ret->modified = !*letters || strchr(letters, 'M');
    ret->is_folder = strchr(letters, 'd');
}

/* The folder, if it is the share's still: others than root may put a link in its place, which leads anywhere. */
static int open_folder(const struct folder *f)
{
    int dir = f ? open(f->path[0] ? f->path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    struct stat st;

    if (dir < 0 || (fstat(dir, &st) == 0 && st.st_dev == f->device))
        return dir;
    close(dir);
    return -1;
}

static const struct folder *folder_of(const struct watcher *w, unsigned id)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (w->folder[i].id == id)
            return &w->folder[i];
    }
    return NULL;
}

/* The share's own, or -1: nothing that is mounted there. */
static int open_name(const struct folder *f, int dir, const char *name, struct stat *ret)
{
    int file = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct statx fresh;

    if (file >= 0 && statx(file, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &fresh) == 0 &&
        fstat(file, ret) == 0 && ret->st_dev == f->device)
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

/* A name went, of which nothing better can be told. */
static void folder_changed(int dir)
{
    struct stat st;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
    if (fstat(dir, &st) == 0)
        attribute(path, &st);
}

/* It was moved from where the record before says. */
static bool was_moved(struct watcher *w, int dir, const char *name, const struct change *c)
{
    int from = c->to && w->moved_name[0] ? open_folder(folder_of(w, w->moved_id)) : -1;
    bool ret = from >= 0 && move_again(from, w->moved_name, dir, name, c->is_folder);

    if (from >= 0 && !ret)
        (void)!remove_again(from, w->moved_name, c->is_folder);
    if (from >= 0)
        close(from);
    return ret;
}

static void happen(struct watcher *w, const char *name, const struct change *c)
{
    const struct folder *f = folder_of(w, c->id);
    int dir = open_folder(f), file = -1;
    bool is_new = c->made || c->to, told = false;
    struct stat st;

    if (dir < 0)
        return;
    told = was_moved(w, dir, name, c);
    if (!c->gone) {
        freshen(dir, name);
        file = open_name(f, dir, name, &st);
    }
    if (file >= 0 && is_new && !told) {
        told = make_again(dir, name, &st);
        /* It was opened by what the kernel knew then. */
        close(file);
        freshen(dir, name);
        file = open_name(f, dir, name, &st);
    }
    if (file >= 0 && (c->modified || !told))
        touch(file, &st);
    else if (file < 0 && (!c->gone || !remove_again(dir, name, c->is_folder)))
        folder_changed(dir);
    if (file >= 0)
        close(file);
    close(dir);
}

static bool is_name(const char *name)
{
    return *name && strlen(name) <= NAME_MAX && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

/* Two texts: the folder's number and what happened, a name in it. */
static void take_changes(struct watcher *w)
{
    char *at = w->in, *end = w->in + w->in_len;

    for (;;) {
        char *name = memchr(at, '\0', (size_t)(end - at));
        char *last = name ? memchr(name + 1, '\0', (size_t)(end - name - 1)) : NULL;
        struct change c;

        if (!last)
            break;
        read_change(at, &c);
        name++;
        if (is_name(name) && c.from) {
            w->moved_id = c.id;
            snprintf(w->moved_name, sizeof(w->moved_name), "%s", name);
        } else {
            if (is_name(name))
                happen(w, name, &c);
            w->moved_name[0] = '\0';
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

    if (!w || geteuid()) {
        work_failed(ret, geteuid() ? EPERM : ENOMEM, "watch", NULL);
        return;
    }
    for (;;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        ssize_t n;

        now = now_ms();
        if (now >= due) {
            look(w);
            now = now_ms();
            due = now + LOOK_MS;
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
