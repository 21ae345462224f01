/* SPDX-License-Identifier: MIT */
/* POSIX access control lists, as extended attributes that the guest sees as the kernel's own
 * ("system.posix_acl_access" and "_default", <linux/posix_acl_xattr.h>).
 *
 * The guest's kernel decides by them. Where users and groups are the host's, too (SHARE_SAME), they are the host's
 * lists, and it does what is to be done. Else whose they are and what they say means nothing on the host, where they
 * are kept as all attributes that are a kernel's (share_xattr.c). Ours to do is then what a local file system does: a
 * list's owner, group class and others are the mode's bits, both ways, and folders hand on their default. */
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/le.h"
#include "share/share_impl.h"

#define HOST_ACCESS  "system.posix_acl_access"
#define HOST_DEFAULT "system.posix_acl_default"
#define HEADER sizeof(struct posix_acl_xattr_header)
#define ENTRY  sizeof(struct posix_acl_xattr_entry)

static struct posix_acl_xattr_entry *entry(struct acl *a, unsigned i)
{
    return (struct posix_acl_xattr_entry *)(void *)(a->data + HEADER + i * ENTRY);
}

static unsigned entries(const struct acl *a)
{
    return (unsigned)((a->len - HEADER) / ENTRY);
}

/* The first entry of that kind; NULL: none. */
static struct posix_acl_xattr_entry *find(struct acl *a, uint16_t tag)
{
    for (unsigned i = 0; i < entries(a); i++) {
        if (load_le16(&entry(a, i)->e_tag) == tag)
            return entry(a, i);
    }
    return NULL;
}

/* What the group's bits of the mode are: all that is granted to named ones and the group at most. */
static struct posix_acl_xattr_entry *group_class(struct acl *a)
{
    struct posix_acl_xattr_entry *mask = find(a, ACL_MASK);

    return mask ? mask : find(a, ACL_GROUP_OBJ);
}

static bool is_sound(struct acl *a)
{
    return a->len >= HEADER && (a->len - HEADER) % ENTRY == 0 &&
           load_le32(a->data) == POSIX_ACL_XATTR_VERSION && find(a, ACL_USER_OBJ) && find(a, ACL_GROUP_OBJ) &&
           find(a, ACL_OTHER);
}

static mode_t perm(const struct posix_acl_xattr_entry *e)
{
    return load_le16(&e->e_perm) & 7u;
}

static mode_t mode_of(struct acl *a)
{
    return perm(find(a, ACL_USER_OBJ)) << 6 | perm(group_class(a)) << 3 | perm(find(a, ACL_OTHER));
}

static void set_perm(struct posix_acl_xattr_entry *e, mode_t bits)
{
    store_le16(&e->e_perm, (uint16_t)(bits & 7u));
}

static void set_mode_of(struct acl *a, mode_t mode)
{
    set_perm(find(a, ACL_USER_OBJ), mode >> 6);
    set_perm(group_class(a), mode >> 3);
    set_perm(find(a, ACL_OTHER), mode);
}

/* Says it no more than a mode does? */
static bool is_minimal(const struct acl *a)
{
    return entries(a) == 3;
}

static bool load(const char *path, const char *name, struct acl *ret)
{
    ssize_t len = getxattr(path, name, ret->data, sizeof(ret->data));

    ret->len = len > 0 ? (size_t)len : 0;
    return len > 0 && is_sound(ret);
}

static int store(const char *path, const char *name, const struct acl *a)
{
    return setxattr(path, name, a->data, a->len, 0) < 0 ? -errno : 0;
}

bool acl_is_name(const char *host_name)
{
    return !strcmp(host_name, ACL_ACCESS) || !strcmp(host_name, ACL_DEFAULT) || acl_is_hosts(host_name);
}

bool acl_is_hosts(const char *name)
{
    return !strcmp(name, HOST_ACCESS) || !strcmp(name, HOST_DEFAULT);
}

bool acl_is_default(const char *host_name)
{
    return !strcmp(host_name, ACL_DEFAULT) || !strcmp(host_name, HOST_DEFAULT);
}

/* ---- Set by the guest ----------------------------------------------------------------------- */

int acl_set(const char *path, const char *host_name, const void *value, size_t len, mode_t *ret_mode)
{
    struct acl a = {.len = len};

    if (len > sizeof(a.data))
        return -E2BIG;
    memcpy(a.data, value, len);
    if (!is_sound(&a))
        return -EINVAL;
    if (acl_is_default(host_name))
        return store(path, host_name, &a);
    *ret_mode = mode_of(&a);
    if (!is_minimal(&a) || acl_is_hosts(host_name))
        return store(path, host_name, &a);
    if (removexattr(path, host_name) == 0 || errno == ENODATA || errno == EPERM)
        return 0; /* there may be none, and a FIFO has none */
    return -errno;
}

int acl_follow_mode(const char *path, mode_t mode)
{
    struct acl a = {.len = 0};

    errno = 0;
    if (!load(path, ACL_ACCESS, &a))
        return !a.len && errno == EACCES ? -EACCES : 0;
    set_mode_of(&a, mode);
    return store(path, ACL_ACCESS, &a);
}

void acl_show_mode(void *list, size_t len, mode_t mode)
{
    struct acl a = {.len = len};

    if (len > sizeof(a.data))
        return;
    memcpy(a.data, list, len);
    if (!is_sound(&a))
        return;
    set_mode_of(&a, mode);
    memcpy(list, a.data, len);
}

/* ---- Handed on ------------------------------------------------------------------------------ */

void acl_of_new(const struct call *c, int dir_fd, uint32_t umask, struct tag *want, struct acl *ret)
{
    char path[PROC_PATH_MAX];
    mode_t mode;

    *ret = (struct acl){.len = 0};
    if (S_ISLNK(want->mode) || !session_has(c->s, FUSE_POSIX_ACL))
        return; /* and the guest's kernel has masked it */
    proc_path(path, dir_fd, NULL);
    if (!load(path, c->s->ownership == SHARE_SAME ? HOST_DEFAULT : ACL_DEFAULT, ret)) {
        ret->len = 0;
        want->mode &= ~(mode_t)(umask & 0777);
        return;
    }
    mode = mode_of(ret) & want->mode & 0777;
    want->mode = (want->mode & ~(mode_t)0777) | mode;
    if (c->s->ownership == SHARE_SAME)
        ret->len = 0; /* the host hands it on */
}

int acl_give(const struct share *s, const struct root *root, const char *path, const struct tag *want, struct acl *a)
{
    int r = 0;

    if (!a->len)
        return 0;
    if ((want->mode & 0600) != 0600) /* nothing could be kept beside it */
        r = owner_open_up(s, root, path);
    if (!r && S_ISDIR(want->mode))
        r = store(path, ACL_DEFAULT, a);
    set_mode_of(a, want->mode);
    return r || is_minimal(a) ? r : store(path, ACL_ACCESS, a);
}
