/* SPDX-License-Identifier: MIT */
/* By fanotify, which any user may use for folders one by one (Linux 5.13), and which tells a process what it did itself: the
 * guest's own changes, which its kernel has told its watchers of. What the guest says is only ever a path below a
 * directory that is shared, and leads nowhere else. */
#include "guest/guest_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli.h"
#include "quiet_thread.h"

#define FOLDERS_MAX 512u /* what an agent tells of at a time; and an eighth of what the process may open */
#define CHANGES (FAN_MODIFY | FAN_CREATE | FAN_DELETE | FAN_EVENT_ON_CHILD | FAN_ONDIR)
#define MOVES   (FAN_MOVED_FROM | FAN_MOVED_TO) /* each by itself, before Linux 5.17 */
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000u
#define FAN_EVENT_INFO_TYPE_OLD_DFID_NAME 10
#define FAN_EVENT_INFO_TYPE_NEW_DFID_NAME 12
#endif

struct folder {
    unsigned id;
    int fd; /* O_PATH */
    char *tag;
    uint8_t system[8]; /* which file system the handle is of: in each the topmost folder may have the same */
    struct file_handle *handle;
};

struct guest_watch {
    const char *name;
    json_t *devices;
    const atomic_uint *changes;
    unsigned began; /* changes, then */
    pthread_t thread;
    bool has_thread, told_full, has_rename;
    int fan_fd, wake_fd;
    int to_agent[2], from_agent[2]; /* pipes: [0] is read */
    struct vz_agent_process *process;
    struct folder folder[FOLDERS_MAX];
    unsigned count, max;
    char in[16384]; /* from the agent */
    _Alignas(struct fanotify_event_metadata) char events[16384];
    size_t in_len;
};

/* ---- Folders -------------------------------------------------------------------------------- */

static const json_t *share_of(const struct guest_watch *w, const char *tag)
{
    json_t *device;
    size_t i;

    json_array_foreach(w->devices, i, device) {
        if (!strcmp(json_string_value(json_object_get(device, "tag")), tag))
            return json_object_get(device, "share");
    }
    return NULL;
}

/* The directory of the host that inside begins in, and *inside what is left of it. NULL: none. */
static const char *directory_of(const struct guest_watch *w, const char *tag, const char **inside)
{
    const json_t *share = share_of(w, tag), *list = json_object_get(share, "directories"), *d;
    const char *path = json_string_value(json_object_get(share, "path"));
    size_t len = strcspn(*inside, "/"), i;

    if (!json_is_array(list))
        return path;
    json_array_foreach(list, i, d) {
        const char *name = json_string_value(json_object_get(d, "name"));

        if (strlen(name) != len || strncmp(name, *inside, len))
            continue;
        *inside += len + ((*inside)[len] == '/');
        return json_string_value(json_object_get(d, "path"));
    }
    return NULL; /* the folder of folders, in which nothing changes */
}

/* O_PATH, or -1. Whatever the guest says, and whatever is renamed meanwhile, it is below the directory. */
static int open_folder(const char *directory, const char *inside)
{
    const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC), ret;

    if (root < 0)
        return -1;
    ret = (int)syscall(SYS_openat2, root, *inside ? inside : ".", &how, sizeof(how));
    close(root);
    return ret;
}

static struct file_handle *handle_of(int fd)
{
    struct file_handle *h = calloc(1, sizeof(*h) + MAX_HANDLE_SZ);
    int mount;

    if (!h)
        return NULL;
    h->handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(fd, "", h, &mount, AT_EMPTY_PATH) == 0)
        return h;
    free(h);
    return NULL;
}

static bool system_of(int fd, uint8_t ret[8])
{
    struct statfs s;

    if (fstatfs(fd, &s) < 0)
        return false;
    memcpy(ret, &s.f_fsid, sizeof(s.f_fsid));
    return true;
}

static int mark(struct guest_watch *w, int fd, unsigned how)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!w->count && how == FAN_MARK_ADD) /* does this kernel know it? */
        w->has_rename = fanotify_mark(w->fan_fd, how | FAN_MARK_ONLYDIR, CHANGES | FAN_RENAME, AT_FDCWD, path) == 0;
    return fanotify_mark(w->fan_fd, how | FAN_MARK_ONLYDIR, CHANGES | (w->has_rename ? FAN_RENAME : MOVES), AT_FDCWD,
                         path);
}

static void add(struct guest_watch *w, unsigned id, const char *tag, const char *inside)
{
    const char *directory = directory_of(w, tag, &inside);
    struct folder f = {.id = id};

    if (!directory)
        return;
    if (w->count == w->max) {
        if (!w->told_full)
            cli_error("%s: its guest watches more folders than can be watched here", w->name);
        w->told_full = true;
        return;
    }
    f.fd = open_folder(directory, inside);
    f.handle = f.fd >= 0 ? handle_of(f.fd) : NULL;
    f.tag = strdup(tag);
    if (f.tag && f.handle && system_of(f.fd, f.system) && mark(w, f.fd, FAN_MARK_ADD) == 0) {
        w->folder[w->count++] = f;
        return;
    }
    free(f.handle);
    free(f.tag);
    if (f.fd >= 0)
        close(f.fd);
}

static bool is_watched(const struct guest_watch *w, unsigned index);

static void drop(struct guest_watch *w, unsigned i)
{
    struct folder f = w->folder[i];

    if (!is_watched(w, i)) /* the same folder by another tag, or another mount */
        mark(w, f.fd, FAN_MARK_REMOVE);
    close(f.fd);
    free(f.handle);
    free(f.tag);
    w->folder[i] = w->folder[--w->count];
}

static void remove_id(struct guest_watch *w, unsigned id)
{
    for (unsigned i = w->count; i--;) {
        if (w->folder[i].id == id)
            drop(w, i);
    }
}

/* ---- What the agent says -------------------------------------------------------------------- */

/* Records of three texts. False: it is no agent of ours. */
static bool take_records(struct guest_watch *w)
{
    char *at = w->in, *end = w->in + w->in_len;

    for (;;) {
        char *text[3], *p = at;
        unsigned i = 0;

        for (; i < 3 && p < end; i++) {
            text[i] = p;
            p = memchr(p, '\0', (size_t)(end - p));
            if (!p)
                break;
            p++;
        }
        if (i < 3)
            break;
        if (text[0][0] == 'W')
            add(w, (unsigned)strtoul(text[0] + 1, NULL, 10), text[1], text[2]);
        else if (text[0][0] == 'U')
            remove_id(w, (unsigned)strtoul(text[0] + 1, NULL, 10));
        at = p;
    }
    w->in_len = (size_t)(end - at);
    memmove(w->in, at, w->in_len);
    return w->in_len < sizeof(w->in);
}

static bool read_agent(struct guest_watch *w)
{
    ssize_t n = read(w->from_agent[0], w->in + w->in_len, sizeof(w->in) - w->in_len);

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    w->in_len += (size_t)n;
    return take_records(w);
}

/* ---- What the host does --------------------------------------------------------------------- */

static bool is_folder(const struct folder *f, const uint8_t system[8], const struct file_handle *h)
{
    const struct file_handle *own = f->handle;

    return !memcmp(f->system, system, sizeof(f->system)) && own->handle_type == h->handle_type &&
           own->handle_bytes == h->handle_bytes && !memcmp(own->f_handle, h->f_handle, h->handle_bytes);
}

/* By another number, too? */
static bool is_watched(const struct guest_watch *w, unsigned index)
{
    const struct folder *f = &w->folder[index];

    for (unsigned i = 0; i < w->count; i++) {
        if (i != index && is_folder(&w->folder[i], f->system, f->handle))
            return true;
    }
    return false;
}

/* When the guest does not keep up, what it has not been told of is left out. A record is written whole, or not. */
static void tell_agent(struct guest_watch *w, const char *record, int len)
{
    (void)!write(w->to_agent[1], record, (size_t)len);
}

/* A name in a folder, as an event has it. */
struct place {
    bool is;
    uint8_t system[8];
    _Alignas(struct file_handle) char folder[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    char name[NAME_MAX + 1];
};

static bool is_in(const struct folder *f, const struct place *p)
{
    return p->is && is_folder(f, p->system, (const struct file_handle *)(const void *)p->folder);
}

static bool is_there(const struct folder *f, const char *name)
{
    struct stat st;

    return fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Several events of a name may have become one, and it is as it is now. */
static void tell(struct guest_watch *w, const struct place *p, uint64_t mask)
{
    for (unsigned i = 0; i < w->count; i++) {
        const struct folder *f = &w->folder[i];
        char record[320];
        bool there, made, changed;
        int n;

        if (!is_in(f, p))
            continue;
        there = is_there(f, p->name);
        made = there && (mask & (FAN_CREATE | FAN_MOVED_TO));
        changed = there && (mask & (FAN_MODIFY | FAN_MOVED_TO));
        n = snprintf(record, sizeof(record), "%u%s%s%s%s%c%s", f->id, there ? "" : "G", made ? "A" : "",
                     changed ? "M" : "", mask & FAN_ONDIR ? "d" : "", 0, p->name) + 1;
        if (!there || made || changed)
            tell_agent(w, record, n);
    }
}

static const struct folder *other_of(const struct guest_watch *w, const struct folder *f, const struct place *p)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (!strcmp(w->folder[i].tag, f->tag) && is_in(&w->folder[i], p))
            return &w->folder[i];
    }
    return NULL;
}

/* Of folders of which one alone is watched a name went, or came. */
static void tell_moved(struct guest_watch *w, const struct place *old, const struct place *new, uint64_t mask)
{
    const char *kind = mask & FAN_ONDIR ? "d" : "";
    char record[640];

    for (unsigned i = 0; i < w->count; i++) {
        const struct folder *f = &w->folder[i], *to = is_in(f, old) ? other_of(w, f, new) : NULL;

        if (!to || is_there(f, old->name) || !is_there(to, new->name))
            continue;
        tell_agent(w, record, snprintf(record, sizeof(record), "%uF%s%c%s%c%uT%s%c%s", f->id, kind, 0, old->name, 0,
                                       to->id, kind, 0, new->name) + 1);
    }
    for (unsigned i = 0; i < w->count; i++) {
        const struct folder *f = &w->folder[i];

        if (is_in(f, old) && !is_there(f, old->name) && !other_of(w, f, new))
            tell_agent(w, record, snprintf(record, sizeof(record), "%uG%s%c%s", f->id, kind, 0, old->name) + 1);
        if (is_in(f, new) && is_there(f, new->name) && !other_of(w, f, old))
            tell_agent(w, record, snprintf(record, sizeof(record), "%uAM%s%c%s", f->id, kind, 0, new->name) + 1);
    }
}

static bool read_place(const struct fanotify_event_info_fid *info, struct place *ret)
{
    const char *end = (const char *)info + info->hdr.len, *name;
    const struct file_handle *h = (const void *)info->handle;

    if ((const char *)(info + 1) + sizeof(*h) > end || h->handle_bytes > MAX_HANDLE_SZ ||
        (const char *)h->f_handle + h->handle_bytes >= end)
        return false;
    name = (const char *)h->f_handle + h->handle_bytes;
    if (!memchr(name, '\0', (size_t)(end - name)) || strlen(name) > NAME_MAX)
        return false;
    memcpy(ret->system, &info->fsid, sizeof(ret->system));
    memcpy(ret->folder, h, sizeof(*h) + h->handle_bytes); /* which need not be aligned; a name follows it */
    strcpy(ret->name, name);
    ret->is = true;
    return true;
}

static void take_event(struct guest_watch *w, const struct fanotify_event_metadata *m)
{
    const char *at = (const char *)m + m->metadata_len, *end = (const char *)m + m->event_len;
    struct place place[3] = {{.is = false}}; /* a name; it was moved from; to */

    if (m->pid == getpid() || (m->mask & FAN_Q_OVERFLOW))
        return;
    while (at + sizeof(struct fanotify_event_info_fid) <= end) {
        const struct fanotify_event_info_fid *info = (const void *)at;
        unsigned type = info->hdr.info_type, i = type == FAN_EVENT_INFO_TYPE_OLD_DFID_NAME ? 1
                                               : type == FAN_EVENT_INFO_TYPE_NEW_DFID_NAME ? 2 : 0;

        if (info->hdr.len < sizeof(*info) || at + info->hdr.len > end)
            return;
        if ((i || type == FAN_EVENT_INFO_TYPE_DFID_NAME) && !read_place(info, &place[i]))
            return;
        at += info->hdr.len;
    }
    tell(w, &place[0], m->mask);
    tell_moved(w, &place[1], &place[2], m->mask);
}

static void read_changes(struct guest_watch *w)
{
    const struct fanotify_event_metadata *m = (const void *)w->events;
    ssize_t n = read(w->fan_fd, w->events, sizeof(w->events));

    for (; n > 0 && FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n)) {
        take_event(w, m);
        if (m->fd >= 0)
            close(m->fd);
    }
}

/* ---- Its life ------------------------------------------------------------------------------- */

static void *watch_main(void *arg)
{
    struct guest_watch *w = arg;

    for (;;) {
        struct pollfd p[] = {{.fd = w->wake_fd, .events = POLLIN},
                             {.fd = w->from_agent[0], .events = POLLIN},
                             {.fd = w->fan_fd, .events = POLLIN}};

        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[0].revents || atomic_load(w->changes) != w->began || (p[1].revents && !read_agent(w)))
            return NULL;
        if (p[2].revents)
            read_changes(w);
    }
}

static unsigned folders_max(void)
{
    struct rlimit l;
    rlim_t part = getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur != RLIM_INFINITY ? l.rlim_cur / 8 : FOLDERS_MAX;

    return part < FOLDERS_MAX ? (unsigned)part : FOLDERS_MAX;
}

bool guest_watch_possible(const json_t *devices)
{
    const json_t *device;
    bool ret = false;
    size_t i;

    json_array_foreach(devices, i, device) {
        const char *type = json_string_value(json_object_get(json_object_get(device, "share"), "type"));

        ret |= type && strcmp(type, "foreignBinaries") != 0;
    }
    return ret;
}

static bool start(struct guest_watch *w, struct vz_agent *agent)
{
    struct vz_error err;

    w->fan_fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
    w->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (w->fan_fd < 0 || w->wake_fd < 0 || pipe2(w->to_agent, O_CLOEXEC) < 0 || pipe2(w->from_agent, O_CLOEXEC) < 0 ||
        fcntl(w->to_agent[1], F_SETFL, O_NONBLOCK) < 0 || fcntl(w->from_agent[0], F_SETFL, O_NONBLOCK) < 0)
        return false;
    w->process = vz_agent_watch_shares(agent, w->to_agent[0], w->from_agent[1], &err);
    if (!w->process)
        return false;
    w->has_thread = quiet_thread_start(&w->thread, watch_main, w);
    return w->has_thread;
}

struct guest_watch *guest_watch_new(struct vz_agent *agent, json_t *devices, const atomic_uint *changes,
                                    const char *name)
{
    struct guest_watch *w;

    if (!vz_agent_has(agent, "watch") || !(w = calloc(1, sizeof(*w))))
        return NULL;
    w->name = name;
    w->changes = changes;
    w->began = atomic_load(changes);
    w->max = folders_max();
    w->fan_fd = w->wake_fd = w->to_agent[0] = w->to_agent[1] = w->from_agent[0] = w->from_agent[1] = -1;
    w->devices = json_incref(devices);
    if (w->devices && start(w, agent))
        return w;
    guest_watch_free(w);
    return NULL;
}

bool guest_watch_is_over(const struct guest_watch *w)
{
    return w && vz_agent_process_has_ended(w->process);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void guest_watch_free(struct guest_watch *w)
{
    if (!w)
        return;
    if (w->has_thread) {
        (void)!write(w->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
        pthread_join(w->thread, NULL);
    }
    vz_agent_process_free(w->process);
    while (w->count)
        drop(w, w->count - 1);
    close_fd(w->fan_fd);
    close_fd(w->wake_fd);
    for (unsigned i = 0; i < 2; i++) {
        close_fd(w->to_agent[i]);
        close_fd(w->from_agent[i]);
    }
    json_decref(w->devices);
    free(w);
}
