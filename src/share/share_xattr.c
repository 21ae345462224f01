/* SPDX-License-Identifier: MIT */
/* Extended attributes. Those of users are the host file's own. All others mean something to a kernel, and the
 * guest's kernel is not the host's: they are kept under names of ours, which nobody but the guest sees as
 * what they are. Ours and tags are hidden. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "share/share_impl.h"

#define VALUE_MAX 65536u
#define LIST_MAX  65536u

static bool starts(const char *name, const char *with)
{
    return !strncmp(name, with, strlen(with));
}

static bool is_hidden(const char *name)
{
    return starts(name, XATTR_OURS) || !strcmp(name, TAG_NAME);
}

/* Users and groups are the host's, so lists of access are, too. */
static bool has_hosts_lists(const struct share *s)
{
    return s->ownership == SHARE_SAME && session_has(s, FUSE_POSIX_ACL);
}

static bool is_prefix_alone(const char *name)
{
    return !strcmp(name, "trusted.") || !strcmp(name, "security.");
}

/* The host's name of a guest's. 0; -EOPNOTSUPP; -EINVAL; -EPERM: it is not the guest's to name. */
static int host_name(const struct share *s, const struct node *n, const char *name, char ret[XATTR_NAME_MAX + 1])
{
    bool kept = starts(name, "trusted.") || starts(name, "security.") ||
                (session_has(s, FUSE_POSIX_ACL) && starts(name, "system.posix_acl_"));

    if (starts(name, "user.")) {
        if (is_hidden(name))
            return -EPERM;
        snprintf(ret, XATTR_NAME_MAX + 1, "%s", name);
        return 0;
    }
    if (has_hosts_lists(s) && acl_is_hosts(name)) {
        snprintf(ret, XATTR_NAME_MAX + 1, "%s", name);
        return 0;
    }
    if (n->root->no_tags || !kept)
        return -EOPNOTSUPP;
    if (is_prefix_alone(name))
        return -EINVAL;
    return snprintf(ret, XATTR_NAME_MAX + 1, XATTR_OURS "%s", name) > XATTR_NAME_MAX ? -ERANGE : 0;
}

/* What a request is about, until found_done(). */
struct found {
    struct node *node;
    struct hold hold;
    char path[PROC_PATH_MAX];      /* of its descriptor */
    char name[XATTR_NAME_MAX + 1]; /* the host's */
};

static int find(struct call *c, size_t at, bool write, struct found *ret, size_t *ret_next)
{
    char guest_name[XATTR_NAME_MAX + 1];
    struct node *n = node_get(c->s, c->h.nodeid);
    int r = n ? call_text(c, at, guest_name, sizeof(guest_name), ret_next) : -ESTALE;

    if (r == -ENAMETOOLONG)
        r = -ERANGE;
    if (!r && !n->root)
        r = write ? -EPERM : -ENODATA;
    if (!r && write && n->root->read_only)
        r = -EROFS;
    if (!r)
        r = host_name(c->s, n, guest_name, ret->name);
    if (!r)
        r = node_hold(c->s, n, &ret->hold);
    if (r < 0) {
        node_put(c->s, n);
        return r;
    }
    proc_path(ret->path, ret->hold.fd, NULL);
    ret->node = n;
    return 0;
}

static void found_done(struct call *c, struct found *f)
{
    node_let_go(c->s, f->node, &f->hold);
    node_put(c->s, f->node);
}

/* A list of access, which says the mode, too. */
static int set_acl(struct share *s, struct node *n, const char *path, const char *name, const void *value,
                   const struct fuse_setxattr_in *in)
{
    bool is_default = acl_is_default(name);
    mode_t mode = 0;
    int fd, r;

    if (n->type == S_IFLNK || (is_default && n->type != S_IFDIR))
        return n->type == S_IFLNK ? -EOPNOTSUPP : -EACCES;
    r = acl_set(path, name, value, in->size, &mode);
    if (r < 0 || is_default)
        return r;
    r = node_fd(s, n, &fd);
    if (r < 0)
        return r;
    r = set_permissions(s, n, fd, mode, in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID);
    node_fd_put(s, n);
    return r;
}

static int set_value(struct share *s, struct node *n, const char *path, const char *name, const void *value,
                     const struct fuse_setxattr_in *in)
{
    if (acl_is_name(name))
        return set_acl(s, n, path, name, value, in);
    return setxattr(path, name, value, in->size, (int)in->flags & (XATTR_CREATE | XATTR_REPLACE)) < 0 ? -errno : 0;
}

int op_setxattr(struct call *c)
{
    bool extended = session_has(c->s, FUSE_SETXATTR_EXT);
    size_t at = extended ? sizeof(struct fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE, next;
    struct fuse_setxattr_in in = {0};
    struct found f;
    void *value;
    int r = call_args(c, &in, at, at);

    if (!r && in.size > VALUE_MAX)
        r = -E2BIG;
    if (!r)
        r = find(c, HEADER_LEN + at, true, &f, &next);
    if (r < 0)
        return r == -ENODATA ? -EPERM : r;
    value = malloc(in.size + 1);
    if (!value)
        r = -ENOMEM;
    else if (next > c->out_len ||
             iov_read(c->r->out, c->r->out_count, next, value, MIN(in.size, c->out_len - next)) < in.size)
        r = -EINVAL;
    else
        r = set_value(c->s, f.node, f.path, f.name, value, &in);
    if (r == -EACCES && (f.node->type == S_IFREG || f.node->type == S_IFDIR) &&
        !owner_open_up(c->s, f.node->root, f.path))
        r = set_value(c->s, f.node, f.path, f.name, value, &in);
    if (!r && !strcmp(f.name, XATTR_OURS "security.capability"))
        f.node->privileges = true;
    free(value);
    found_done(c, &f);
    return r;
}

/* A guest's kernel that is told that there are lists takes an error for one that forbids everything: there is none. */
static bool asks_for_list(const struct call *c)
{
    char name[XATTR_NAME_MAX + 1];
    size_t next;

    return session_has(c->s, FUSE_POSIX_ACL) &&
           !call_text(c, HEADER_LEN + sizeof(struct fuse_getxattr_in), name, sizeof(name), &next) && acl_is_hosts(name);
}

int op_getxattr(struct call *c)
{
    struct fuse_getxattr_in in;
    struct found f;
    struct statx st;
    bool tagged;
    char *value;
    size_t next;
    ssize_t len;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!r)
        r = find(c, HEADER_LEN + sizeof(in), false, &f, &next);
    if (r == -EOPNOTSUPP && asks_for_list(c))
        return -ENODATA;
    if (r < 0)
        return r == -EPERM ? -ENODATA : r;
    in.size = MIN(in.size, VALUE_MAX);
    value = malloc(in.size + 1);
    len = value ? getxattr(f.path, f.name, value, in.size) : -1;
    r = len < 0 ? -errno : 0;
    if (r == -EOPNOTSUPP && acl_is_name(f.name))
        r = -ENODATA;
    if (!r && !strcmp(f.name, XATTR_OURS "security.capability"))
        f.node->privileges = true;
    if (!r && in.size && acl_is_hosts(f.name) && !acl_is_default(f.name) && !node_view(c->s, f.node, &st, &tagged) && tagged)
        acl_show_mode(value, (size_t)len, st.stx_mode);
    found_done(c, &f);
    if (!r && !in.size) {
        const struct fuse_getxattr_out out = {.size = (uint32_t)len};

        r = call_put(c, 0, &out, sizeof(out));
    } else if (!r) {
        r = call_put(c, 0, value, (size_t)len);
    }
    free(value);
    return r;
}

/* The guest's names of the host's: in place, since none is longer. Returns their length. */
static size_t guest_names(const struct share *s, char *list, size_t len)
{
    size_t to = 0, next;

    for (size_t at = 0; at < len; at = next) {
        const char *name = list + at;
        size_t size;

        next = at + strlen(name) + 1;
        if (starts(name, XATTR_OURS))
            name += strlen(XATTR_OURS);
        else if (!(starts(name, "user.") || (has_hosts_lists(s) && acl_is_hosts(name))) || is_hidden(name))
            continue;
        size = strlen(name) + 1;
        memmove(list + to, name, size);
        to += size;
    }
    return to;
}

int op_listxattr(struct call *c)
{
    struct node *n = node_get(c->s, c->h.nodeid);
    char path[PROC_PATH_MAX], *list = malloc(LIST_MAX + 1);
    struct fuse_getxattr_in in;
    size_t size = 0;
    ssize_t len = 0;
    struct hold hold;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!n || !list)
        r = n ? -ENOMEM : -ESTALE;
    if (!r && n->root)
        r = node_hold(c->s, n, &hold);
    if (!r && n->root) {
        proc_path(path, hold.fd, NULL);
        len = listxattr(path, list, LIST_MAX);
        r = len < 0 && errno != EOPNOTSUPP ? -errno : 0;
        node_let_go(c->s, n, &hold);
    }
    if (!r && len > 0) {
        list[len] = '\0';
        size = guest_names(c->s, list, (size_t)len);
    }
    if (!r && !in.size) {
        const struct fuse_getxattr_out out = {.size = (uint32_t)size};

        r = call_put(c, 0, &out, sizeof(out));
    } else if (!r) {
        r = size > in.size ? -ERANGE : call_put(c, 0, list, size);
    }
    free(list);
    node_put(c->s, n);
    return r;
}

int op_removexattr(struct call *c)
{
    struct found f;
    size_t next;
    int r = find(c, HEADER_LEN, true, &f, &next);

    if (r < 0)
        return r;
    r = removexattr(f.path, f.name) < 0 ? -errno : 0;
    if (r == -EACCES && !owner_open_up(c->s, f.node->root, f.path))
        r = removexattr(f.path, f.name) < 0 ? -errno : 0;
    if (r == -ENODATA && acl_is_name(f.name))
        r = 0; /* a file without a list has that of its mode */
    else if (r == -EPERM && starts(f.name, XATTR_OURS) && f.node->type != S_IFREG && f.node->type != S_IFDIR)
        r = -ENODATA; /* nothing can be kept beside a link */
    found_done(c, &f);
    return r;
}
