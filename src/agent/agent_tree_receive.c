/* SPDX-License-Identifier: MIT */
/* A stream to files. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent_tree.h"
#include "agent/agent_wire.h"
#include "base/le.h"

/* An entry, as it was announced. */
struct entry {
    char *name, *target;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct timespec times[2];
    uint64_t size, device;
    uint8_t *fields; /* for its attributes */
    size_t fields_len;
};

struct folder {
    int fd;
    struct entry entry; /* applied when it is left: it may be read-only */
    size_t path_len;
    bool is_new;
};

struct receiver {
    const struct tree_options *o;
    const struct tree_io *io;
    struct tree_result *ret;
    char path[4096]; /* where we are, for messages */
    struct folder folder[TREE_DEPTH_MAX + 1]; /* [0]: that the first entry comes into */
    unsigned depth;  /* of folders that are open; 0: none yet */
    bool first_done;
    /* The file under way: fd -1: none. */
    struct entry file;
    int fd;
    char temporary[32]; /* "": written to directly */
    uint64_t sum, at;
    uint8_t *record;
    uint32_t len;
    uint8_t type;
};

static int fail(struct receiver *r, int err)
{
    if (!r->ret->text[0])
        snprintf(r->ret->text, sizeof(r->ret->text), "%.400s: %s", r->path, strerror(-err));
    return err;
}

static int broken(struct receiver *r, const char *what)
{
    if (!r->ret->text[0])
        snprintf(r->ret->text, sizeof(r->ret->text), "%.400s: damaged stream: %s", r->path, what);
    return -EPROTO;
}

/* ---- Records -------------------------------------------------------------------------------- */

static int read_all(struct receiver *r, void *to, size_t len)
{
    uint8_t *p = to;

    while (len) {
        ssize_t n = r->io->read(r->io->arg, p, len);

        if (n < 0)
            return fail(r, (int)n);
        if (n == 0)
            return broken(r, "it ends too early");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int read_record(struct receiver *r)
{
    uint8_t header[8];
    int e = read_all(r, header, sizeof(header));

    if (e)
        return e;
    r->type = header[0];
    r->len = load_le32(header + 4);
    if (r->len > TREE_RECORD_MAX)
        return broken(r, "a record is too long");
    return read_all(r, r->record, r->len);
}

static void entry_fini(struct entry *e)
{
    free(e->name);
    free(e->target);
    free(e->fields);
    *e = (struct entry){NULL};
}

static uint64_t number(const struct receiver *r, uint16_t key)
{
    return agent_get_number(r->record, r->len, key, 0);
}

static bool is_component(const char *name)
{
    return name && *name && strcmp(name, "..") && !strchr(name, '/') && strlen(name) <= 255;
}

static int read_entry(struct receiver *r, struct entry *ret)
{
    *ret = (struct entry){
        .name = agent_get_text(r->record, r->len, TREE_F_NAME),
        .target = agent_get_text(r->record, r->len, TREE_F_TARGET),
        .mode = (mode_t)number(r, TREE_F_MODE), .uid = (uid_t)number(r, TREE_F_UID),
        .gid = (gid_t)number(r, TREE_F_GID), .size = number(r, TREE_F_SIZE),
        .device = number(r, TREE_F_DEVICE), .fields = malloc(r->len ? r->len : 1), .fields_len = r->len,
        .times = {{.tv_nsec = UTIME_OMIT}, {(time_t)number(r, TREE_F_MTIME),
                                            (long)(number(r, TREE_F_MTIME_NS) % 1000000000)}}};
    if (!ret->fields)
        return fail(r, -ENOMEM);
    memcpy(ret->fields, r->record, r->len);
    if (!agent_fields_sound(r->record, r->len) || !is_component(ret->name) ||
        (S_ISLNK(ret->mode) && (!ret->target || strlen(ret->target) > 4095)) || ret->size > INT64_MAX)
        return broken(r, "an entry");
    if (!strcmp(ret->name, ".") && (r->first_done || !S_ISDIR(ret->mode)))
        return broken(r, "a name");
    return 0;
}

/* ---- What things have besides their bytes --------------------------------------------------- */

static void set_xattrs(const struct receiver *r, int fd, const struct entry *e)
{
    struct agent_field f;
    size_t at = 0;

    while (agent_field_next(e->fields, e->fields_len, &at, &f)) {
        const uint8_t *end = f.key == TREE_F_XATTR ? memchr(f.data, 0, f.len) : NULL;

        /* A file system without them is no reason not to copy. */
        if (end && tree_takes_xattr((const char *)f.data, r->o->owners))
            (void)!fsetxattr(fd, (const char *)f.data, end + 1,
                             f.len - (size_t)(end + 1 - f.data), 0);
    }
}

static int set_attributes(const struct receiver *r, int fd, const struct entry *e)
{
    mode_t mode = e->mode & (r->o->owners ? 07777 : 0777);

    if (S_ISDIR(e->mode) && !r->o->owners)
        mode |= e->mode & S_ISVTX;
    if (r->o->owners && fchown(fd, e->uid, e->gid) < 0)
        return -errno;
    if (fchmod(fd, mode) < 0)
        return -errno;
    set_xattrs(r, fd, e);
    return futimens(fd, e->times) < 0 ? -errno : 0;
}

static int folder_fd(const struct receiver *r)
{
    return r->folder[r->depth - 1].fd;
}

/* A name that nobody has in this folder. */
static void make_temporary(struct receiver *r)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(r->temporary, sizeof(r->temporary), ".vz-%x-%x-%llx", (unsigned)getpid() & 0xffffff,
             (unsigned)t.tv_nsec, (unsigned long long)(r->ret->entries & 0xffffffff));
}

/* What is whole takes its name. */
static int place(struct receiver *r, const char *name)
{
    int e = renameat(folder_fd(r), r->temporary, folder_fd(r), name) < 0 ? -errno : 0;

    if (e)
        unlinkat(folder_fd(r), r->temporary, 0);
    r->temporary[0] = '\0';
    return e;
}

/* ---- Entries -------------------------------------------------------------------------------- */

static int begin_file(struct receiver *r, struct entry *e)
{
    r->sum = TREE_SUM_START;
    r->at = 0;
    make_temporary(r);
    r->fd = openat(folder_fd(r), r->temporary,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (r->fd < 0) {
        r->temporary[0] = '\0';
        return -errno;
    }
    r->file = *e;
    *e = (struct entry){NULL};
    return 0;
}

static int make_link(struct receiver *r, const struct entry *e)
{
    int err;

    make_temporary(r);
    if (symlinkat(e->target, folder_fd(r), r->temporary) < 0)
        return -errno;
    err = utimensat(folder_fd(r), r->temporary, e->times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    if (!err && r->o->owners &&
        fchownat(folder_fd(r), r->temporary, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
        err = -errno;
    if (err) {
        unlinkat(folder_fd(r), r->temporary, 0);
        return err;
    }
    return place(r, e->name);
}

static int make_node(struct receiver *r, const struct entry *e)
{
    dev_t device = makedev((unsigned)(e->device >> 32), (unsigned)e->device);
    int err = 0;

    if (!r->o->devices) {
        r->ret->skipped++;
        return 0;
    }
    make_temporary(r);
    if (mknodat(folder_fd(r), r->temporary, e->mode & (S_IFMT | 0777), device) < 0)
        return -errno;
    if (r->o->owners &&
        fchownat(folder_fd(r), r->temporary, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
        err = -errno;
    if (!err && fchmodat(folder_fd(r), r->temporary, e->mode & 0777, 0) < 0)
        err = -errno;
    if (err) {
        unlinkat(folder_fd(r), r->temporary, 0);
        return err;
    }
    return place(r, e->name);
}

static int enter_folder(struct receiver *r, struct entry *e)
{
    struct folder *f = &r->folder[r->depth];
    bool is_new;

    if (r->depth > TREE_DEPTH_MAX)
        return -ELOOP;
    is_new = mkdirat(folder_fd(r), e->name, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return -errno;
    f->fd = openat(folder_fd(r), e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (f->fd < 0)
        return -errno;
    f->entry = *e;
    f->is_new = is_new;
    f->path_len = strlen(r->path);
    *e = (struct entry){NULL};
    r->depth++;
    return 0;
}

static void pop_folder(struct receiver *r)
{
    struct folder *f = &r->folder[--r->depth];

    close(f->fd);
    entry_fini(&f->entry);
}

/* A folder that was there keeps what it has, unless all is to be as it was sent. */
static int leave_folder(struct receiver *r)
{
    struct folder *f = &r->folder[r->depth - 1];
    int e = 0;

    r->path[f->path_len] = '\0';
    if (f->entry.name && (f->is_new || r->o->owners))
        e = set_attributes(r, f->fd, &f->entry);
    pop_folder(r);
    return e ? fail(r, e) : 0;
}

static int take_entry(struct receiver *r, struct entry *e)
{
    r->ret->entries++;
    switch (e->mode & S_IFMT) {
    case S_IFREG: return begin_file(r, e);
    case S_IFDIR: return enter_folder(r, e);
    case S_IFLNK: return make_link(r, e);
    case S_IFIFO:
    case S_IFCHR:
    case S_IFBLK: return make_node(r, e);
    default: return broken(r, "a type");
    }
}

/* ---- Where the first one goes --------------------------------------------------------------- */

static int open_first(struct receiver *r, const char *path)
{
    r->folder[0] = (struct folder){
        .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path_len = strlen(r->path)};
    if (r->folder[0].fd < 0)
        return -errno;
    r->depth = 1;
    return 0;
}

/* As the last part of path, in the folder before it. */
static int under_its_name(struct receiver *r, struct entry *e, const char *path)
{
    char folder[4096], name[4096];
    char *own;

    snprintf(folder, sizeof(folder), "%s", path);
    snprintf(name, sizeof(name), "%s", path);
    own = strdup(basename(name));
    if (!own || !is_component(own) || !strcmp(own, ".")) {
        free(own);
        return own ? -ENOENT : -ENOMEM;
    }
    free(e->name);
    e->name = own;
    return open_first(r, dirname(folder));
}

/* Written to from its beginning on, as to a device or FIFO. */
static int write_directly(struct receiver *r, struct entry *e, const char *path)
{
    if (!S_ISREG(e->mode))
        return -ENOTDIR;
    r->fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (r->fd < 0)
        return -errno;
    r->sum = TREE_SUM_START;
    r->at = 0;
    r->temporary[0] = '\0';
    r->file = *e;
    *e = (struct entry){NULL};
    r->ret->entries++;
    return open_first(r, "/");
}

/* What comes goes into the folder that is there, which stays as it is. */
static int merge_into(struct receiver *r)
{
    r->folder[1] = (struct folder){.fd = fcntl(r->folder[0].fd, F_DUPFD_CLOEXEC, 0),
                                   .path_len = strlen(r->path)};
    if (r->folder[1].fd < 0)
        return -errno;
    r->depth++;
    r->ret->entries++;
    return 0;
}

static void append_name(struct receiver *r, const char *name)
{
    size_t len = strlen(r->path);

    snprintf(r->path + len, sizeof(r->path) - len, "%s%s", len && r->path[len - 1] == '/' ? "" : "/",
             name);
}

static int take_first(struct receiver *r, struct entry *e, const char *path)
{
    char *real = realpath(path, NULL); /* a link that is there is the receiver's own */
    bool contents = !strcmp(e->name, ".");
    struct stat st;
    int err;

    if (real && stat(real, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            err = open_first(r, real);
            if (!err && contents) {
                free(real);
                return merge_into(r);
            }
            append_name(r, e->name);
        } else if (!S_ISREG(st.st_mode)) {
            err = write_directly(r, e, real);
            free(real);
            return err;
        } else if (S_ISDIR(e->mode) || r->o->into) {
            err = -ENOTDIR;
        } else {
            err = under_its_name(r, e, real);
        }
    } else if (r->o->into && !S_ISDIR(e->mode)) {
        err = -ENOENT;
    } else {
        err = under_its_name(r, e, path);
    }
    free(real);
    return err ? err : take_entry(r, e);
}

static int on_entry(struct receiver *r, const char *path)
{
    unsigned depth = r->depth;
    struct entry e = {NULL};
    int err;

    if (r->fd >= 0 || (r->first_done && depth < 2))
        return broken(r, "an entry in the wrong place");
    err = read_entry(r, &e);
    if (!err && r->first_done) {
        append_name(r, e.name);
        err = take_entry(r, &e);
    } else if (!err) {
        r->first_done = true;
        err = take_first(r, &e, path);
    }
    if (err)
        fail(r, err);
    else if (r->fd < 0 && r->depth == depth)
        r->path[r->folder[depth - 1].path_len] = '\0'; /* it is done already */
    entry_fini(&e);
    return err;
}

/* ---- Bytes of a file ------------------------------------------------------------------------ */

static int write_all(int fd, const uint8_t *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        p += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return 0;
}

/* Up to at: a hole, or zeroes where there can be none. */
static int pass_over(struct receiver *r, uint64_t at)
{
    static const uint8_t zeroes[4096];
    int e = 0;

    if (r->temporary[0]) {
        if (r->at != at && lseek(r->fd, (off_t)at, SEEK_SET) < 0)
            e = -errno;
        r->at = at;
    }
    while (!e && r->at < at) {
        size_t n = (size_t)MIN(at - r->at, (uint64_t)sizeof(zeroes));

        e = write_all(r->fd, zeroes, n);
        r->at += n;
    }
    return e;
}

static int on_data(struct receiver *r)
{
    uint64_t at;
    uint32_t n = r->len - 8;
    int e;

    if (r->fd < 0 || r->len < 8)
        return broken(r, "data in the wrong place");
    at = load_le64(r->record);
    if (at < r->at || at > r->file.size || n > r->file.size - at)
        return broken(r, "data outside its file");
    r->sum = tree_sum(r->sum, at, r->record + 8, n);
    e = pass_over(r, at);
    if (!e)
        e = write_all(r->fd, r->record + 8, n);
    if (e)
        return fail(r, e);
    r->at += n;
    r->ret->bytes += n;
    if (r->io->progress && !r->io->progress(r->io->arg, r->ret->bytes))
        return fail(r, -ECANCELED);
    return 0;
}

static void drop_file(struct receiver *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    if (r->temporary[0])
        unlinkat(folder_fd(r), r->temporary, 0);
    r->temporary[0] = '\0';
    entry_fini(&r->file);
}

static int finish_file(struct receiver *r)
{
    bool direct = !r->temporary[0];
    int e = direct ? pass_over(r, r->file.size)
                   : ftruncate(r->fd, (off_t)r->file.size) < 0 ? -errno : 0;

    if (!e && !direct)
        e = set_attributes(r, r->fd, &r->file);
    if (close(r->fd) < 0 && !e)
        e = -errno;
    r->fd = -1;
    if (!e && !direct)
        e = place(r, r->file.name);
    return e;
}

static int on_sum(struct receiver *r)
{
    int e;

    if (r->fd < 0 || r->len != 8)
        return broken(r, "a sum in the wrong place");
    if (load_le64(r->record) != r->sum)
        return broken(r, "a file's sum is wrong");
    e = finish_file(r);
    if (e)
        return fail(r, e);
    drop_file(r);
    r->path[r->folder[r->depth - 1].path_len] = '\0';
    return 0;
}

static int on_up(struct receiver *r)
{
    if (r->fd >= 0 || r->depth < 2)
        return broken(r, "a folder's end in the wrong place");
    if (leave_folder(r) < 0)
        return -EIO;
    r->path[r->folder[r->depth - 1].path_len] = '\0';
    return 0;
}

static int on_failed(struct receiver *r)
{
    char *text = agent_get_text(r->record, r->len, TREE_F_TEXT);
    uint64_t e = number(r, TREE_F_ERROR);

    snprintf(r->ret->text, sizeof(r->ret->text), "%.400s", text ? text : "the sender failed");
    free(text);
    r->ret->theirs = true;
    return e && e < 4096 ? -(int)e : -EIO;
}

/* 1: it goes on. */
static int take_record(struct receiver *r, const char *path)
{
    int e = read_record(r);

    if (e)
        return e;
    switch (r->type) {
    case TREE_ENTRY: e = on_entry(r, path); break;
    case TREE_DATA: e = on_data(r); break;
    case TREE_SUM: e = on_sum(r); break;
    case TREE_UP: e = on_up(r); break;
    case TREE_FAILED: return on_failed(r);
    case TREE_END:
        r->ret->skipped += MIN(number(r, TREE_F_SKIPPED), UINT64_C(1) << 40);
        return r->fd >= 0 || r->depth > 1 ? broken(r, "its end in the wrong place") : 0;
    default: return broken(r, "an unknown record");
    }
    return e ? e : 1;
}

int tree_receive(const char *path, const struct tree_options *o, const struct tree_io *io,
                 struct tree_result *ret)
{
    struct receiver *r = calloc(1, sizeof(*r));
    int e;

    *ret = (struct tree_result){0};
    if (r)
        r->record = malloc(TREE_RECORD_MAX);
    if (!r || !r->record) {
        free(r);
        snprintf(ret->text, sizeof(ret->text), "out of memory");
        return -ENOMEM;
    }
    r->o = o;
    r->io = io;
    r->ret = ret;
    r->fd = -1;
    snprintf(r->path, sizeof(r->path), "%s", path);
    while ((e = take_record(r, path)) > 0)
        continue;
    drop_file(r);
    while (r->depth)
        pop_folder(r);
    free(r->record);
    free(r);
    return e;
}
