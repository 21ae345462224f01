/* SPDX-License-Identifier: MIT */
/* Who owns what (docs/shares.md has the table).
 *
 * A *tag* is an extended attribute of a file that says how the guest sees it: owner, permissions, and of a
 * stand-in its type and device. Tags are there only for files whose own owner and mode are not what the guest
 * is to see, so that ordinary use makes none. Files and folders alone can have one; a link or a special file
 * that needs one is kept as a regular file, a *stand-in*.
 *
 * On the host a tagged file has the permissions that the guest gave it, and its owner always may read and
 * write it, since the tag is kept in it; set-ID bits, device nodes and capabilities are only ever in tags and
 * attributes, in all ways of ownership, so that nothing a guest makes has any power on the host. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "share/share_impl.h"

#define PERMISSIONS 07777u
#define POWERS      (S_ISUID | S_ISGID)

/* ---- Tags as text --------------------------------------------------------------------------- */

static const char *type_word(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR: return "dir";
    case S_IFLNK: return "symlink";
    case S_IFIFO: return "pipe";
    case S_IFSOCK: return "socket";
    case S_IFBLK: return "block";
    case S_IFCHR: return "char";
    default: return "file";
    }
}

static void write_tag(const struct tag *t, char ret[96])
{
    int n = snprintf(ret, 96, "%u:%u:%04o:%s", t->uid, t->gid, t->mode & PERMISSIONS, type_word(t->mode));

    if (S_ISBLK(t->mode) || S_ISCHR(t->mode))
        snprintf(ret + n, 96 - (size_t)n, "-%u-%u", t->rdev_major, t->rdev_minor);
}

static mode_t read_type(const char *word, struct tag *t)
{
    static const mode_t types[] = {S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFBLK, S_IFCHR};
    int end = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        const char *name = type_word(types[i]);
        size_t len = strlen(name);

        if (strncmp(word, name, len) || (word[len] && word[len] != '-'))
            continue;
        if (word[len] && sscanf(word + len, "-%u-%u%n", &t->rdev_major, &t->rdev_minor, &end) < 2)
            return S_IFREG;
        return types[i];
    }
    return S_IFREG;
}

/* path is "/proc/self/fd/N", which is a link itself and to be followed, or has a name behind it, which is
 * not if it is one. */
static bool is_descriptor(const char *path)
{
    return !strchr(path + strlen("/proc/self/fd/"), '/');
}

static bool read_tag(const char *path, struct tag *ret)
{
    char text[96];
    ssize_t len = is_descriptor(path) ? getxattr(path, TAG_NAME, text, sizeof(text) - 1)
                                      : lgetxattr(path, TAG_NAME, text, sizeof(text) - 1);
    unsigned mode;
    int at = 0;

    if (len <= 0)
        return false;
    text[len] = '\0';
    *ret = (struct tag){0};
    if (sscanf(text, "%u:%u:%o%n", &ret->uid, &ret->gid, &mode, &at) < 3 || !at)
        return false;
    ret->mode = (mode & PERMISSIONS) | (text[at] == ':' ? read_type(text + at + 1, ret) : S_IFREG);
    return true;
}

/* ---- What is seen --------------------------------------------------------------------------- */

/* Owners of the host's, of files without a tag. */
static uint32_t seen_uid(const struct share *s, uint32_t host)
{
    return host == s->self_uid ? s->seen_uid : host;
}

static uint32_t seen_gid(const struct share *s, uint32_t host)
{
    return host == s->self_gid ? s->seen_gid : host;
}

static bool is_seen_as(const struct share *s, const struct statx *host, const struct tag *want)
{
    return want->uid == seen_uid(s, host->stx_uid) && want->gid == seen_gid(s, host->stx_gid);
}

static bool may_have_tag(const struct root *root, const struct statx *st)
{
    return !root->no_tags && (S_ISREG(st->stx_mode) || S_ISDIR(st->stx_mode));
}

/* t: NULL: it has none. */
static void lay_over(const struct share *s, const struct tag *t, struct statx *st)
{
    if (t) {
        mode_t type = S_ISREG(st->stx_mode) && !S_ISDIR(t->mode) ? t->mode & S_IFMT
                                                                : st->stx_mode & (unsigned)S_IFMT;

        st->stx_mode = (uint16_t)(type | (t->mode & PERMISSIONS));
        if (s->ownership == SHARE_MINE) {
            st->stx_uid = t->uid;
            st->stx_gid = t->gid;
        }
        if (S_ISCHR(type) || S_ISBLK(type)) {
            st->stx_rdev_major = t->rdev_major;
            st->stx_rdev_minor = t->rdev_minor;
            st->stx_size = 0;
        }
    }
    if (s->ownership == SHARE_MAP) {
        st->stx_uid = s->uid;
        st->stx_gid = s->gid;
    } else if (!t) {
        st->stx_uid = seen_uid(s, st->stx_uid);
        st->stx_gid = seen_gid(s, st->stx_gid);
    }
}

void owner_view(const struct share *s, const struct root *root, const char *path, struct statx *st,
                bool *ret_tagged)
{
    struct tag t;
    bool has = may_have_tag(root, st) && read_tag(path, &t);

    if (ret_tagged)
        *ret_tagged = has;
    lay_over(s, has ? &t : NULL, st);
}

void owner_view_plain(const struct share *s, struct statx *st)
{
    lay_over(s, NULL, st);
}

/* ---- Tags that are remembered: to read one takes longer than all the rest of a look-up --------- */

static bool remembered(struct share *s, struct node *n, const struct statx *st, struct tag *ret, bool *ret_has)
{
    bool known;

    pthread_mutex_lock(&s->lock);
    known = n->tag_known && n->tag_sec == st->stx_ctime.tv_sec && n->tag_nsec == st->stx_ctime.tv_nsec;
    *ret = n->tag;
    *ret_has = n->tag_has;
    pthread_mutex_unlock(&s->lock);
    return known;
}

/* Within the same tick of the host's clock it may change once more, and its time does not tell. */
static void remember(struct share *s, struct node *n, const struct statx *st, const struct tag *t)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&s->lock);
    n->tag_known = st->stx_ctime.tv_sec + 1 < now.tv_sec;
    n->tag_sec = st->stx_ctime.tv_sec;
    n->tag_nsec = st->stx_ctime.tv_nsec;
    n->tag_has = t;
    if (t)
        n->tag = *t;
    pthread_mutex_unlock(&s->lock);
}

static bool is_same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Is it still what st is of? */
static bool is_same_still(const struct node *n, int name_in, const char *name, const struct statx *st)
{
    struct statx now;

    return name_in < 0 || (stat_in(name_in, name, &now) == 0 && node_is(n, &now) &&
                           is_same_time(&now.stx_ctime, &st->stx_ctime));
}

void owner_view_node(struct share *s, struct node *n, const char *path, int name_in, const char *name, struct statx *st,
                     bool *ret_tagged)
{
    struct tag t;
    bool has = false;

    if (may_have_tag(n->root, st) && !remembered(s, n, st, &t, &has)) {
        has = read_tag(path, &t);
        if (is_same_still(n, name_in, name, st))
            remember(s, n, st, has ? &t : NULL);
    }
    if (ret_tagged)
        *ret_tagged = has;
    lay_over(s, has ? &t : NULL, st);
}

void owner_tag_changed(struct share *s, struct node *n)
{
    pthread_mutex_lock(&s->lock);
    n->tag_known = false;
    pthread_mutex_unlock(&s->lock);
}

int node_view(struct share *s, struct node *n, struct statx *ret, bool *ret_tagged)
{
    char path[PROC_PATH_MAX];
    struct hold hold;
    int r = node_hold(s, n, &hold);

    if (r < 0)
        return r;
    r = stat_fd(hold.fd, ret);
    proc_path(path, hold.fd, NULL);
    if (!r)
        owner_view_node(s, n, path, -1, NULL, ret, ret_tagged);
    if (!r && (ret->stx_mode & POWERS))
        n->privileges = true;
    node_let_go(s, n, &hold);
    return r;
}

/* ---- What is stored ------------------------------------------------------------------------- */

static bool is_special(mode_t mode)
{
    return !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode);
}

/* Would a file of the host with that owner show it, without a tag? Set-ID bits of files never are the host's:
 * it may have them already, but not for this owner, mode and contents. Folders' and sticky bits have no
 * power, and stay where the host has them; those of FIFOs and sockets have none either, and no tag to be in. */
static bool is_plain(const struct share *s, const struct statx *host, const struct tag *want)
{
    mode_t special = want->mode & 07000;

    if (special && !is_special(host->stx_mode) &&
        ((special & POWERS && !S_ISDIR(host->stx_mode)) || special != (host->stx_mode & 07000u)))
        return false;
    return s->ownership != SHARE_MINE || is_seen_as(s, host, want);
}

mode_t owner_host_mode(const struct share *s, const struct tag *want)
{
    mode_t mode = want->mode & 0777;

    if (is_special(want->mode) || S_ISLNK(want->mode))
        return 0600;
    if (s->ownership != SHARE_MINE && !(want->mode & 07000))
        return mode;
    return mode | (S_ISDIR(want->mode) ? 0700 : 0600);
}

bool owner_is_plain(const struct share *s, const struct statx *host, const struct tag *want)
{
    return is_plain(s, host, want) && (want->mode & PERMISSIONS) == (host->stx_mode & PERMISSIONS) &&
           (s->ownership != SHARE_SAME || (want->uid == host->stx_uid && want->gid == host->stx_gid));
}

static int set_mode(const char *path, mode_t mode)
{
    return chmod(path, mode) < 0 ? -errno : 0;
}

/* Its owner must be able to, which the mode may deny. */
static int store_tag(const char *path, const struct tag *want)
{
    char text[96];

    write_tag(want, text);
    return setxattr(path, TAG_NAME, text, strlen(text), 0) < 0 ? -errno : 0;
}

static int change_owner(const struct share *s, const char *path, const struct statx *host,
                        const struct tag *want)
{
    if (s->ownership != SHARE_SAME || (want->uid == host->stx_uid && want->gid == host->stx_gid))
        return 0;
    return chown(path, want->uid, want->gid) < 0 ? -errno : 0;
}

/* Owners that can be neither the host's nor in a tag. */
static bool is_refused(const struct share *s, const struct root *root, const struct statx *host,
                       const struct tag *want)
{
    if (s->ownership == SHARE_MAP)
        return want->uid != s->uid || want->gid != s->gid;
    return s->ownership == SHARE_MINE && (root->no_tags || !(S_ISREG(host->stx_mode) || S_ISDIR(host->stx_mode))) &&
           !is_seen_as(s, host, want);
}

int owner_change(const struct share *s, const struct root *root, const char *path, const struct statx *host,
                 bool tagged, const struct tag *want)
{
    int r;

    if (is_refused(s, root, host, want))
        return -EPERM;
    r = change_owner(s, path, host, want);
    if (r < 0 || S_ISLNK(host->stx_mode))
        return r;
    if (!tagged && is_plain(s, host, want))
        return (want->mode & PERMISSIONS) == (host->stx_mode & PERMISSIONS)
                   ? 0
                   : set_mode(path, want->mode & PERMISSIONS);
    if (root->no_tags || is_special(host->stx_mode))
        return -EPERM;
    r = set_mode(path, owner_host_mode(s, want) | (S_ISDIR(host->stx_mode) ? 0700 : 0600));
    return r < 0 ? r : store_tag(path, want);
}

int owner_to_tag(const struct share *s, const struct root *root, const char *path, const struct statx *host)
{
    struct statx view = *host;
    struct tag want;

    owner_view(s, root, path, &view, NULL);
    want = (struct tag){.uid = view.stx_uid, .gid = view.stx_gid, .mode = view.stx_mode,
                        .rdev_major = view.stx_rdev_major, .rdev_minor = view.stx_rdev_minor};
    return owner_change(s, root, path, host, true, &want);
}

int owner_open_up(const struct share *s, const struct root *root, const char *path)
{
    struct statx host;

    if (s->ownership != SHARE_MINE || root->no_tags || root->read_only)
        return -EACCES;
    if (statx(AT_FDCWD, path, 0, STATX_WANTED, &host) < 0)
        return -errno;
    return host.stx_uid == s->self_uid ? owner_to_tag(s, root, path, &host) : -EACCES;
}

int owner_disarm(const struct share *s, const struct root *root, int fd)
{
    char path[PROC_PATH_MAX];
    struct statx host;
    int r = stat_fd(fd, &host);

    if (r < 0 || !S_ISREG(host.stx_mode) || !(host.stx_mode & POWERS))
        return r;
    proc_path(path, fd, NULL);
    r = root->no_tags ? set_mode(path, host.stx_mode & 07777u & ~(mode_t)POWERS)
                      : owner_to_tag(s, root, path, &host);
    return s->self_uid ? 0 : r; /* of others than root a write takes them */
}

/* ---- New files ------------------------------------------------------------------------------ */

void owner_of_new(const struct call *c, const struct statx *dir, mode_t mode, struct tag *ret)
{
    const struct share *s = c->s;

    *ret = (struct tag){.uid = c->h.uid, .gid = c->h.gid, .mode = mode};
    if (dir->stx_mode & S_ISGID) {
        ret->gid = dir->stx_gid;
        if (S_ISDIR(mode))
            ret->mode |= S_ISGID;
    }
    if (s->ownership == SHARE_MAP) {
        ret->uid = s->uid;
        ret->gid = s->gid;
    }
}

bool owner_needs_stand_in(const struct share *s, const struct root *root, const struct tag *want,
                          const struct statx *dir)
{
    if (root->no_tags)
        return false;
    if (is_special(want->mode))
        return S_ISCHR(want->mode) || S_ISBLK(want->mode) || s->ownership == SHARE_MINE;
    /* A link has no tag: it is seen as its folder's owner's (owner_view_link()). */
    return S_ISLNK(want->mode) && s->ownership == SHARE_MINE &&
           (want->uid != dir->stx_uid || want->gid != dir->stx_gid);
}

int owner_made(const struct share *s, const struct root *root, int fd, const struct tag *want, struct statx *st)
{
    char path[PROC_PATH_MAX];
    int r;

    proc_path(path, fd, NULL);
    if (s->ownership == SHARE_MINE && S_ISLNK(st->stx_mode))
        return 0;
    if (s->ownership == SHARE_MINE && root->no_tags) { /* nothing but the host's own can be seen */
        struct tag own = *want;

        own.uid = seen_uid(s, st->stx_uid);
        own.gid = seen_gid(s, st->stx_gid);
        own.mode &= ~(mode_t)07000;
        return owner_change(s, root, path, st, false, &own);
    }
    r = owner_change(s, root, path, st, (want->mode & S_IFMT) != (st->stx_mode & (unsigned)S_IFMT), want);
    return r;
}

int owner_drop_privileges(struct share *s, struct node *n, bool by_user)
{
    struct statx st;
    struct tag want;
    char path[PROC_PATH_MAX];
    struct hold hold;
    bool tagged;
    int r;

    if (!n->privileges || n->root->read_only)
        return 0;
    r = node_view(s, n, &st, &tagged);
    if (r < 0 || S_ISDIR(st.stx_mode))
        return r;
    r = node_hold(s, n, &hold);
    if (r < 0)
        return r;
    proc_path(path, hold.fd, NULL);
    removexattr(path, XATTR_OURS "security.capability"); /* there may be none */
    want = (struct tag){.uid = st.stx_uid, .gid = st.stx_gid, .rdev_major = st.stx_rdev_major,
                        .rdev_minor = st.stx_rdev_minor, .mode = st.stx_mode};
    if (by_user) {
        want.mode &= ~(mode_t)S_ISUID;
        if (want.mode & S_IXGRP)
            want.mode &= ~(mode_t)S_ISGID;
    }
    if (want.mode != st.stx_mode) {
        r = stat_fd(hold.fd, &st);
        if (!r)
            r = owner_change(s, n->root, path, &st, tagged, &want);
        owner_tag_changed(s, n);
    }
    node_let_go(s, n, &hold);
    if (by_user && !r)
        n->privileges = false;
    return r;
}
