/* SPDX-License-Identifier: MIT */
/* The server from the inside. A *node* is a file the guest knows of, a *handle* one it has open.
 *
 * Nodes. A node is known by its identity (share directory, mount, device, inode number, time of birth), and
 * remembers its folder and the name by which it was found last. It has a descriptor (O_PATH) only while that
 * is of use: descriptors beyond a limit are closed, the one used longest ago first, and a closed one is
 * opened again by folder and name, when the identity says whether that is still the file. So the guest may
 * know of any number of files, and never gets another one than it looked up: where a name leads to
 * something else by now the answer is ESTALE, at which the guest's kernel looks the name up again.
 * A node whose name the guest removes, and one on a file system that knows no time of birth, keeps its
 * descriptor.
 *
 * Way into the host's file system. Only by an open descriptor of a folder (O_PATH) and one component of a
 * name, which is checked ("/", "." and ".." are none) and never followed if it is a symbolic link; or by a
 * node's or handle's descriptor itself.
 *
 * Locks. share.lock guards nodes, handles, roots and the session; no call into the host's file system is
 * made under it but close(). Taken before it: handle.lock, which guards a folder's reading position; that of share.dax,
 * which guards what the window shows. */
#ifndef VZ_SHARE_SHARE_IMPL_H
#define VZ_SHARE_SHARE_IMPL_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "base/iov.h"
#include "share/fuse_spec.h"
#include "share/share.h"
#include "share/share_pool.h"

#define HEADER_LEN  sizeof(struct fuse_in_header)
#define NO_ANSWER   INT_MIN       /* an operation's result: nothing is sent back */
#define WAITS       (INT_MIN + 1) /* the request is in share.waiting now */
#define PROC_PATH_MAX (32 + SHARE_NAME_MAX)
#define NODE_SYNTHETIC UINT64_C(1) /* FUSE_ROOT_ID; the folder of folders where there are several */

/* One directory of the host. */
struct root {
    char *name; /* NULL: the only one */
    struct node *node;
    bool read_only;
    bool is_text; /* a file in memory */
    int64_t tick_ns; /* for so long a change may have the same time as one before */
    bool no_tags; /* its file system has no extended attributes of users */
    uint32_t dev_major, dev_minor;
};

struct node_key {
    const struct root *root;
    uint64_t mount, ino;
    int64_t born_sec;
    uint32_t born_nsec;
    uint32_t dev_major, dev_minor;
};

/* What the guest sees of a file beyond what the host has. */
struct tag {
    uint32_t uid, gid;
    mode_t mode; /* type and permissions */
    uint32_t rdev_major, rdev_minor;
};

/* What tells the guest whether what it has cached of a file is right: size, and time of the last change. */
struct stamp {
    bool is;
    uint64_t size;
    int64_t sec;
    uint32_t nsec;
};

static inline struct stamp stamp_of(const struct statx *st)
{
    return (struct stamp){true, st->stx_size, st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec};
}

static inline bool is_stamp_of(const struct stamp *a, const struct statx *st)
{
    return a->is && a->size == st->stx_size && a->sec == st->stx_mtime.tv_sec && a->nsec == st->stx_mtime.tv_nsec;
}

struct handle;
struct node {
    uint64_t id;         /* changes under share.lock: node_take_over() */
    struct node_key key; /* constant, as the next three */
    bool has_birth;
    mode_t type;         /* S_IFMT of the host's file */
    struct root *root;   /* NULL: the synthetic folder */
    /* Under share.lock. */
    struct node *next_by_key, *next_by_id;
    uint64_t lookups;    /* that the guest has not forgotten */
    uint64_t refs;       /* ours: operations, handles, children; one for lookups > 0 */
    struct node *parent; /* NULL: a root's. A reference */
    char *name;
    int fd;              /* O_PATH; -1: not open */
    unsigned fd_users;
    bool pinned;         /* fd stays */
    bool stale;          /* of directories that are not served any more */
    uint32_t saved;      /* by the share_files() of that number */
    bool privileges;     /* may have set-ID bits or capabilities */
    bool tag_known, tag_has; /* its tag, if it has one, while its time of change is: */
    int64_t tag_sec;
    uint32_t tag_nsec;
    struct tag tag;
    bool settled;        /* what it was when opened last, and was for a while: */
    struct stamp seen;
    /* share_belief.c: */
    bool locked;         /* the guest has asked for a lock on it */
    struct stamp told;   /* what the guest was told of it last */
    uint64_t told_ns;    /* when; 0: it has changed it itself since */
    uint64_t older_ns;   /* the same of what it was told before that */
    uint64_t early_ns;   /* since when no lock was granted because of these; 0: none waits for that */
    bool told_in_tick;   /* it may have changed since, and have the same time */
    uint32_t shift_ns;   /* by which that time is told earlier */
    uint64_t grants;     /* of locks: what was seen before one may be old */
    bool names_asked;    /* a folder: of the names in it the guest believes nothing */
    struct stamp believed; /* what it was told last of what it may believe, */
    uint64_t believed_ns;  /* until clock_mono_ns() is that; 0: it does not */
    uint64_t mixed_ns;     /* until then it may believe something else instead, which it was told before */
    TAILQ_ENTRY(node) lru; /* with fd, no users, not pinned */
    LIST_HEAD(, handle) handles;
    struct dax_file *dax;  /* under share.dax's lock: some of it is in the window */
};

struct handle {
    uint64_t fh;
    struct node *node; /* a reference */
    int fd;
    int flags;         /* open()'s */
    bool is_dir;
    _Atomic int flock; /* LOCK_SH, LOCK_EX; 0: none. What it has */
    /* Under share.lock. */
    unsigned refs;
    LIST_ENTRY(handle) link;
    pthread_mutex_t lock; /* one reader of a folder at a time: a position is the descriptor's */
};

struct lock_owner; /* share_locks.c */
struct dax;        /* share_dax.c */
struct share {
    enum share_ownership ownership;
    uid_t uid, self_uid, seen_uid; /* of SHARE_MAP; ours; as what is seen what is ours */
    gid_t gid, self_gid, seen_gid;
    enum share_caching caching;
    uint64_t nodes_max;
    unsigned fds_max, handles_max;

    pthread_mutex_t lock;
    struct root **root; /* root_count of them, and those before them until the end */
    unsigned root_count, roots_ever;
    struct root **old_root;
    bool single;            /* one root, which is node 1 */
    struct node synthetic;  /* else this is */
    struct node **by_key, **by_id;
    size_t buckets; /* a power of two */
    uint64_t node_count, next_node;
    unsigned fd_count;
    TAILQ_HEAD(, node) lru;
    struct handle **handle; /* handles_max slots */
    unsigned handle_count, handle_hint;
    uint32_t handle_generation, lost_generation; /* of handles: the last one; that of the last one saved */
    uint32_t save_count;
    uint64_t resumed_ns; /* since when the guest has run; 0: always */
    struct share_files files; /* under nobody's lock: while nothing is under way */
    struct share_session session;
    TAILQ_HEAD(, lock_owner) owners;
    unsigned owner_count, lock_count;

    struct share_pool *pool;
    struct dax *dax; /* NULL: there is no window */
};

/* A request being served. */
struct call {
    struct share *s;
    const struct share_request *r;
    struct fuse_in_header h;
    size_t out_len, in_len; /* bytes of the request; room for what follows the answer's header */
    bool may_wait;
    bool again; /* it has waited */
};

/* ---- share.c: requests ---- */

/* Copy the operation's fixed part; what a shorter one lacks is zero. -EINVAL: shorter than min. */
int call_args(const struct call *c, void *ret, size_t len, size_t min) must_check;
/* The name at off (from the end of the header), and where the next thing is. 0; -EINVAL, -ENAMETOOLONG: no
 * single component. */
int call_name(const struct call *c, size_t off, char ret[SHARE_NAME_MAX + 1], size_t *ret_next) must_check;
/* Any text, of at most len - 1 bytes. 0, -EINVAL, -ENAMETOOLONG */
int call_text(const struct call *c, size_t off, char *ret, size_t len, size_t *ret_next) must_check;
/* Copy to the answer, off from the end of its header. Returns off + len; -EINVAL: no room. */
int call_put(const struct call *c, size_t off, const void *data, size_t len) must_check;
/* A guest may say FUSE_INIT while other requests of its are under way. */
static inline bool session_has(const struct share *s, uint64_t flag)
{
    return __atomic_load_n(&s->session.flags, __ATOMIC_RELAXED) & flag;
}

/* ---- share_nodes.c ---- */

int nodes_init(struct share *s) must_check;
void nodes_fini(struct share *s);
/* Open a directory as a root. */
int root_open(struct share *s, const struct share_directory *d, struct root **ret, struct vz_error *err);
void root_free(struct share *s, struct root *root);
/* Make them the ones that are served. Takes them over; -ENOMEM: not. */
int roots_set(struct share *s, struct root **root, unsigned count);
/* For share_saved.c. Find by number; give another number; make one that the guest knew, in parent, NULL without
 * memory: it has a reference when it is given one. */
struct node *node_find_locked(struct share *s, uint64_t id);
void node_renumber_locked(struct share *s, struct node *n, uint64_t id);
struct node *node_restore_locked(struct share *s, const struct node_key *k, mode_t type, struct node *parent,
                                 const char *name, uint64_t id);
void node_put_locked(struct share *s, struct node *n);
/* Give those that are there numbers that nobody was told. */
void nodes_renumber_locked(struct share *s);
/* Drop all lookups and handles. */
void nodes_forget_all(struct share *s);

/* A reference; NULL: ESTALE. */
struct node *node_get(struct share *s, uint64_t id);
void node_ref(struct share *s, struct node *n);
void node_put(struct share *s, struct node *n); /* NULL is fine */
void node_forget(struct share *s, uint64_t id, uint64_t count);

/* Its O_PATH descriptor, until node_fd_put(). 0 or -errno. */
int node_fd(struct share *s, struct node *n, int *ret) must_check;
void node_fd_put(struct share *s, struct node *n);
/* fd (O_PATH) is a node's that has no name: it stays. 0; -ENFILE: there are too many, and fd is closed. */
int node_adopt(struct share *s, struct node *n, int fd) must_check;
/* Keep the descriptor for as long as the node is known. */
void node_pin(struct share *s, struct node *n);
/* The host says st of it: has that taken its last name away, in which the guest may still believe? It is to look again. */
bool node_was_removed(struct share *s, const struct node *n, const struct statx *st);

/* The node of what statx() said of name in parent, with one lookup more, and a reference. 0 or -errno */
int node_found(struct share *s, struct node *parent, const char *name, const struct statx *st,
               struct node **ret) must_check;
/* The node of that, if there is one: a reference, or NULL. */
struct node *node_known(struct share *s, const struct root *root, const struct statx *st);
/* The folder in which it was found last: a reference, or NULL. */
struct node *node_parent(struct share *s, struct node *n);
/* The same, with its name there. */
struct node *node_place(struct share *s, struct node *n, char ret_name[SHARE_NAME_MAX + 1]);
/* n, which was found just now, is what the guest knows as old from now on: old is gone from the host. */
void node_take_over(struct share *s, struct node *n, struct node *old);
/* It is found by that name now. */
void node_moved(struct share *s, struct node *n, struct node *parent, const char *name);
bool node_is(const struct node *n, const struct statx *st);

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
int stat_in(int fd, const char *name, struct statx *ret) must_check; /* never follows */
int stat_fd(int fd, struct statx *ret) must_check;

/* "/proc/self/fd/N" and "/proc/self/fd/N/name": a way to the file for calls that know no descriptors of
 * O_PATH. It leads to the file that is open as fd whatever it is called by now, and past no link. */
void proc_path(char ret[PROC_PATH_MAX], int fd, const char *name);

/* ---- share_handles.c ---- */

/* A handle of an open file; fd is its own from now on, also after a failure. 0, -ENFILE, -ENOMEM */
int handle_new(struct share *s, struct node *n, int fd, int flags, bool is_dir, uint64_t *ret) must_check;
/* The same with the number that it had when it was saved; fd is closed if that is taken. */
void handle_restore(struct share *s, struct node *n, int fd, int flags, bool is_dir, uint64_t fh);
struct handle *handle_get(struct share *s, uint64_t fh); /* a reference; NULL: handle_missing() */
/* Why there is none: -ESTALE: it was not found again after a restore; -EBADF. */
int handle_missing(const struct share *s, uint64_t fh);
struct handle *handle_get_file(struct share *s, uint64_t fh); /* the same, but no folder's */
/* Any that the node has, to ask it something; NULL: none. */
struct handle *handle_of(struct share *s, struct node *n);
void handle_put(struct share *s, struct handle *h);
/* A descriptor of a node, to ask something of: of a handle, if it has one, which is there already and whose name may be
 * gone; else its own. Until node_let_go(). */
struct hold {
    struct handle *handle;
    int fd;
};
int node_hold(struct share *s, struct node *n, struct hold *ret) must_check;
void node_let_go(struct share *s, struct node *n, struct hold *hold);
void handle_close(struct share *s, uint64_t fh);
void handles_close_all(struct share *s);
/* Close all that n has: the guest finds them to be stale after a restore. */
void handles_lose(struct share *s, struct node *n);
/* Open a node's file: a regular one, or a folder. Returns a descriptor or -errno. */
int node_open(struct share *s, struct node *n, int flags) must_check;
/* Open a file (share_files.c) as far as its directory allows it, without a trace if that is only read. */
int file_open(struct share *s, struct node *n, int flags) must_check;

/* ---- share_owner.c: who owns what ---- */

#define TAG_NAME  "user.containers.override_stat" /* "UID:GID:MODE:TYPE", as containers/storage has it */
#define XATTR_OURS "user.vz." /* in front of names that only the guest may have */

/* What the guest sees: st, of the host, with what is said at path (a proc_path()) laid over it.
 * ret_tagged may be NULL. */
void owner_view(const struct share *s, const struct root *root, const char *path, struct statx *st,
                bool *ret_tagged);
/* The same of a file that has no tag. */
void owner_view_plain(const struct share *s, struct statx *st);
/* The same of n, which st is of. What its tag says is remembered as long as the file's time of change stays, if that
 * was a while ago. name_in: path is a name (in that folder), which may have become another file's since; -1: it is a
 * descriptor's. */
void owner_view_node(struct share *s, struct node *n, const char *path, int name_in, const char *name, struct statx *st,
                     bool *ret_tagged);
/* Its tag may be another now. */
void owner_tag_changed(struct share *s, struct node *n);
/* The view of a node. */
int node_view(struct share *s, struct node *n, struct statx *ret, bool *ret_tagged) must_check;
/* Have the file at path, of which the host says host, seen as want says: owner and mode, and, where it is a
 * stand-in, type and device. tagged: it has a tag. 0 or -errno; -EPERM: that owner cannot be. */
int owner_change(const struct share *s, const struct root *root, const char *path, const struct statx *host,
                 bool tagged, const struct tag *want) must_check;
/* What a new file in a folder that is seen as dir is to be. mode: with its type. */
void owner_of_new(const struct call *c, const struct statx *dir, mode_t mode, struct tag *ret);
/* The mode to make it with on the host. */
mode_t owner_host_mode(const struct share *s, const struct tag *want);
/* Is it kept as a regular file with a tag? */
bool owner_needs_stand_in(const struct share *s, const struct root *root, const struct tag *want,
                          const struct statx *dir);
/* Is a regular file or folder of which the host says host what want says, without a tag and without any change? */
bool owner_is_plain(const struct share *s, const struct statx *host, const struct tag *want);
/* It has just been made, is open as fd (O_PATH will do), and the host says st of it. */
int owner_made(const struct share *s, const struct root *root, int fd, const struct tag *want,
               struct statx *st) must_check;
/* Have a tag say what the guest sees of the file at path, of which the host says host, so that the host's mode
 * can be another: with u+rw and without set-ID bits. */
int owner_to_tag(const struct share *s, const struct root *root, const char *path,
                 const struct statx *host) must_check;
/* The same, if it is ours, since nothing can be kept beside a file that its owner cannot write. Else -EACCES. */
int owner_open_up(const struct share *s, const struct root *root, const char *path) must_check;
/* The guest is about to write to the file that is open as fd: if the host gave it set-ID bits they are only
 * the guest's from now on. We may be root, from whom a write does not take them. */
int owner_disarm(const struct share *s, const struct root *root, int fd) must_check;
/* What a write or a change of owner does to set-ID bits (if by_user: who may not keep them) and to
 * capabilities. */
int owner_drop_privileges(struct share *s, struct node *n, bool by_user) must_check;

/* ---- share_acl.c: access control lists, of sessions with FUSE_POSIX_ACL ---- */

#define ACL_ACCESS  XATTR_OURS "system.posix_acl_access" /* where they are kept */
#define ACL_DEFAULT XATTR_OURS "system.posix_acl_default"
#define ACL_MAX     8192u /* bytes: a thousand entries */

struct acl {
    size_t len; /* 0: none */
    _Alignas(4) uint8_t data[ACL_MAX];
};

bool acl_is_name(const char *host_name);
bool acl_is_default(const char *host_name);
/* Is it one that the host's kernel obeys? */
bool acl_is_hosts(const char *name);
/* Keep what the guest gives; -EINVAL: it is no list. *ret_mode: the permissions that it says the file has now. */
int acl_set(const char *path, const char *host_name, const void *value, size_t len, mode_t *ret_mode) must_check;
/* The file has another mode: so has its list, if there is one. */
int acl_follow_mode(const char *path, mode_t mode) must_check;
/* Have what is read of an access list say that mode: where a tag is the host's, which a host's list says, is another. */
void acl_show_mode(void *list, size_t len, mode_t mode);
/* What a folder hands on to want, which is to be made in it, and whose mode is not masked yet. */
void acl_of_new(const struct call *c, int dir_fd, uint32_t umask, struct tag *want, struct acl *ret);
/* It has been made: that is its list. */
int acl_give(const struct share *s, const struct root *root, const char *path, const struct tag *want,
             struct acl *a) must_check;

/* ---- share_stand_in.c ---- */

/* n is a symbolic link (open as fd, of which the host says host) that is to be want's owner's: a stand-in takes
 * its place on the host, and n's in what the guest knows. -EPERM: it has other names. */
int link_give_to(struct share *s, struct node *n, int fd, const struct statx *host,
                 const struct tag *want) must_check;
/* Rename, with flags, and leave a whiteout of want's owner where it was. */
int rename_to_whiteout(const struct share *s, const struct root *root, const struct tag *want, int from_fd,
                       const char *from, int to_fd, const char *to, unsigned flags) must_check;

/* ---- share_dax.c ---- */

#define DAX_FILE_LEAST ((uint64_t)256 * KIB) /* smaller ones are quicker to read than to show: see fill_attr() */

/* The window shows nothing. */
void dax_clear(struct share *s);
/* Files may have grown: before the guest can be told. */
void dax_regain(struct share *s);
/* The guest has opened n, which the host may have changed. */
void dax_opened(struct share *s, struct node *n);
/* Has something of n that was in the window been lost since the last time? */
bool dax_lost(struct share *s, struct node *n);
/* A piece that shows something. */
struct dax_mapping {
    struct node *node;
    unsigned piece;
    bool writable;
    uint64_t offset;
};
/* All of them, while nothing is under way; and show it again, if it can be. */
void dax_each(struct share *s, void (*fn)(void *arg, const struct dax_mapping *m), void *arg);
void dax_again(struct share *s, const struct dax_mapping *m);

/* ---- share_saved.c ---- */

/* Find again what s->files has. There are roots, and nothing else. */
void share_files_load(struct share *s);

/* ---- share_belief.c: what the guest believes without asking ---- */

/* For how long can a file change on such a file system (statfs()) and have the same time? 0: not at all. */
int64_t belief_tick_ns(uint64_t magic);
/* For how many seconds it may believe in names in that folder (NULL: that of folders), and that there are none. */
uint32_t belief_in_names(struct share *s, const struct node *folder);
/* The same of n's name. */
uint32_t belief_in_name_of(struct share *s, const struct node *n);
/* It is about to be told st of n, whose times and size may be changed: for how many seconds it may believe that. */
uint32_t belief_told(struct share *s, struct node *n, struct statx *st);
/* The same of an answer to a change of n's attributes, where st is changed so that the guest misses nothing. */
uint32_t belief_told_of_change(struct share *s, struct node *n, struct statx *st);
/* It has written to n, and so its kernel asks before it believes anything of its size and times again. */
void belief_ends(struct share *s, struct node *n);
/* It asks for a lock on n: from now on it believes nothing of it. */
void belief_locked(struct share *s, struct node *n);
/* Has it a lock on n, which is open as fd, and still believes what is not so any more? Else it will see what is there. */
bool belief_misleads(struct share *s, struct node *n, int fd);
/* For share_saved.c: what of that is to be so in a restored guest, too: flags, and as much of them as there is. */
enum {
    BELIEF_IS_OVER = 2,     /* it believes nothing of n */
    BELIEF_NAMES_ASKED = 4, /* nor of names in it */
    BELIEF_IN_TICK = 8,     /* what it was told may be of a file that has changed since */
    BELIEF_SHIFT = 8,       /* by so many bits: the time that it was told, in the rest */
};
uint32_t belief_saved_locked(const struct share *s, const struct node *n);
void belief_restored_locked(struct node *n, uint32_t saved);
/* It goes on after a pause, in which its clock stood. */
void belief_resumes(struct share *s);

/* ---- share_attr.c ---- */

void fill_attr(const struct share *s, const struct root *root, const struct statx *st, struct fuse_attr *ret);
/* The answer to a lookup that found n. */
void fill_entry(struct share *s, struct node *n, struct statx *view, struct fuse_entry_out *ret);
/* Give the file, open as fd, another mode: its permissions, and without the set-group-ID bit if that is to go. */
int set_permissions(struct share *s, struct node *n, int fd, mode_t permissions, bool no_sgid) must_check;
/* What is seen of n, where it is a symbolic link; of all others, what st says. */
void view_link(struct share *s, struct node *n, struct statx *st);
/* One of several directories, likewise. */
int look_up_root(struct share *s, const char *name, struct fuse_entry_out *ret) must_check;
/* Look up name in parent (open as fd), and fill in the answer, with one lookup more. */
int look_up(struct share *s, struct node *parent, int fd, const char *name, struct fuse_entry_out *ret) must_check;

/* ---- Operations: 0 or more bytes behind the answer's header, -errno, NO_ANSWER or WAITS. ---- */

typedef int operation(struct call *c);
operation op_lookup, op_forget, op_batch_forget, op_getattr, op_setattr, op_statx, op_access, op_statfs;
operation op_readlink, op_symlink, op_mknod, op_mkdir, op_unlink, op_rmdir, op_rename, op_rename2, op_link;
operation op_open, op_create, op_tmpfile, op_read, op_write, op_flush, op_release, op_fsync, op_fallocate,
    op_lseek, op_copy_file_range, op_syncfs;
operation op_opendir, op_readdir, op_readdirplus, op_releasedir, op_fsyncdir;
operation op_setxattr, op_getxattr, op_listxattr, op_removexattr;
operation op_getlk, op_setlk, op_setlkw;
operation op_setupmapping, op_removemapping;

/* share_tell.c: is it the agent's, to have watchers told? Then that is served, in the operation's place. */
bool is_telling(const struct call *c);
int told(struct call *c, operation *op);

/* share_locks.c: the owner of POSIX locks of that node is gone (owner), or anybody's (NULL). */
void locks_drop(struct share *s, const struct node *n, const uint64_t *owner);
/* The guest closes h: what is locked by it still are locks of open files. */
void locks_drop_of_file(struct share *s, const struct handle *h);
/* A POSIX lock that is held. */
struct held_lock {
    struct node *node;
    uint64_t owner, start, end; /* end is the last byte */
    uint32_t type;
    uint32_t pid; /* the guest's process; 0: not known */
    uint64_t fh;  /* by which it was asked for; 0: not known */
};
/* All of them; under share.lock, while nothing is under way. */
void locks_each(struct share *s, void (*fn)(void *arg, const struct held_lock *l), void *arg);
/* Take it. 0 or -errno: somebody else has one. */
int lock_again(struct share *s, const struct held_lock *l) must_check;

#endif
