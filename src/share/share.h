/* SPDX-License-Identifier: MIT */
/* Directories of the host, served to a guest by the FUSE protocol (docs/shares.md). It knows requests
 * and answers as bytes; virtio/virtio_fs.c brings them.
 *
 * Whatever the requests say, nothing outside the directories is reached, and what the guest can take of
 * descriptors and memory is bounded: docs/security.md has the argument.
 *
 * Threads. A share has threads of its own, on which requests are served and their ends are told; all
 * functions may be called from any thread, but not while share_close() runs. */
#ifndef VZ_SHARE_SHARE_H
#define VZ_SHARE_SHARE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "state/state.h"

struct mem_window;
struct share;
struct vz_error;

enum share_ownership {
    SHARE_MINE, /* the user's who runs this; what the guest wants otherwise is in extended attributes */
    SHARE_SAME, /* numbers are the host's; needs the privilege to change owners */
    SHARE_MAP,  /* the guest sees everything as uid's and gid's */
};

enum share_caching { SHARE_CACHE_AUTO, SHARE_CACHE_NEVER, SHARE_CACHE_ALWAYS };

struct share_directory {
    const char *name; /* in the share; NULL: it is the share's root, and the only one */
    const char *path; /* on the host */
    bool read_only;
    /* With a name: a file in the folder of folders instead, which is only read. path leads to a regular file of the
     * host, or text, where it is not NULL, is what is in it: then it is on no disk of the host's. */
    bool is_file;
    const char *text;
};

struct share_options {
    const struct share_directory *directory;
    unsigned count;
    enum share_ownership ownership;
    bool mine_is_root; /* SHARE_MINE: what is this process' user's and group's is seen as root's, unless it is tagged */
    uid_t uid; /* SHARE_MAP */
    gid_t gid;
    enum share_caching caching;
    unsigned threads;   /* 0: as many as are good */
    bool no_threads;    /* for tests: share_submit() serves, and calls done() */
    uint64_t nodes_max; /* files that the guest may know of at a time; 0: a million */
    unsigned sharers;   /* shares between which what this process may open is divided; 0: this one alone */
};

/* Open the directories. 0, or -errno with err. */
int share_open(const struct share_options *options, struct share **ret, struct vz_error *err) must_check;
/* No request is under way. NULL is fine. */
void share_close(struct share *s);

/* Serve other directories from now on: whatever the guest knew of the ones before is stale. 0, or -errno
 * with err, and nothing has changed. */
int share_replace(struct share *s, const struct share_directory *directory, unsigned count,
                  struct vz_error *err) must_check;

/* A request: the caller's memory until done() is called, exactly once. */
struct share_request {
    const struct iovec *out, *in; /* the guest's request; room for the answer, both in its memory */
    unsigned out_count, in_count;
    /* A thread of the share's. written: bytes of the answer, which are at in's beginning; 0: none. */
    void (*done)(struct share_request *r, size_t written);
    /* Optional. A thread of the share's, without locks: it has to wait for a lock, or to go on waiting. False: it is the
     * caller's again, and done() is not called; submitted anew it is served from its beginning. */
    bool (*may_wait)(struct share_request *r);
    struct share_request *next; /* the share's */
};
void share_submit(struct share *s, struct share_request *r);

bool share_has_threads(const struct share *s);

/* Where requests come from, if the share's threads are to fetch them by themselves: that spares a change of thread. */
struct share_source {
    /* A thread of the share's: the next one, or NULL. *ret_more: there may be others. */
    struct share_request *(*take)(struct share_source *source, bool *ret_more);
};
/* From now on, until it is NULL; then nothing is under way any more that came from it, and what waited for a lock has had
 * EINTR. Only if the share has threads. */
void share_set_source(struct share *s, struct share_source *source);
/* There may be requests. Any thread; takes no lock but a leaf. */
void share_wake(struct share *s);

/* Have those that wait for a lock tried again, and asked whether they may go on: at once, or within 50 ms. Any thread;
 * takes no lock but a leaf. */
void share_ask_waiters(struct share *s);
/* The guest, which has stood, goes on. */
void share_resumes(struct share *s);

/* Forget the guest: its files are closed, its locks are gone, and it has to say FUSE_INIT again. No
 * request is under way. */
void share_reset(struct share *s);

/* Let the guest have parts of files in the window (mem/mem_window.h), which is the share's from now on. There is none
 * yet, and nothing is under way. 0; or -ENOMEM, and the window is the caller's. */
int share_set_window(struct share *s, struct mem_window *w) must_check;
/* Not any more: the window is destroyed, if there is one. Nothing is under way. */
void share_drop_window(struct share *s);

/* What the guest may be told after it was restored from a saved state: the session, as FUSE_INIT left it,
 * and the number from which new files are counted, so that none is taken for another. */
struct share_session {
    uint64_t next_node; /* at most SHARE_NODES_EVER */
    uint64_t flags; /* of FUSE_INIT */
    uint32_t minor; /* 0: there was no FUSE_INIT */
};
void share_save(struct share *s, struct share_session *ret);
/* Nothing is under way, and there was no request yet. What share_files() has is found again. */
void share_load(struct share *s, const struct share_session *session);

/* The files that the guest knows and has open, as they are saved; a load puts others there, for share_load().
 * The share's own, good until it is asked for again. */
struct share_files {
    struct state_blob list;
};
#define SHARE_FILES_MAX ((uint64_t)16 * MIB)
struct share_files *share_files(struct share *s);

/* Serve one request on the calling thread, which must have called share_thread_init(); requests that
 * would wait for a lock wait here. For tests and share_pool.c. Returns what done() gets. */
size_t share_serve(struct share *s, const struct share_request *r);
/* The thread's own file mode mask, which is none: modes come from the guest. */
void share_thread_init(void);

#define SHARE_DATA_MAX  ((uint32_t)MIB) /* bytes of a read or a write */
#define SHARE_NAME_MAX  255u
#define SHARE_NODES_EVER (UINT64_MAX / 2) /* a guest does not live to see it */

#endif
