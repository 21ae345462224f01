/* SPDX-License-Identifier: MIT */
/* A machine as a folder: NAME.vz, which holds all there is of it. docs/machines.md lists the files.
 *
 * Folders lie in one place, $VZ_HOME, where a name is enough to find them, or anywhere, where a path
 * is needed. A folder is known by a descriptor while it is used, so that it may be moved meanwhile.
 *
 * Who changes a folder, or runs its machine, holds a lock (bundle_lock()); locks end with the process
 * that has them. What is found in a folder was whole when it was written: files are replaced by
 * rename (bundle_write()), folders appear and go by rename (draft.h). */
#ifndef VZ_TOOLS_BUNDLE_H
#define VZ_TOOLS_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include <vz/error.h>

struct vz_config;

#define BUNDLE_SUFFIX   ".vz"
#define BUNDLE_NAME_MAX 63 /* as of a host: it becomes the guest's */

#define BUNDLE_CONFIG      "config.json"
#define BUNDLE_SOCKET      "control.sock"
#define BUNDLE_LOG         "vz.log"      /* of the process that runs the machine */
#define BUNDLE_CONSOLE_LOG "console.log" /* what the guest wrote to its console */
#define BUNDLE_LAST_RUN    "last-run.json"
#define BUNDLE_STATE       "saved.state" /* from which it goes on */
#define BUNDLE_USER        "user" /* whom it was created with: who logs in by ssh */
#define BUNDLE_AUTO_FORWARD "auto-forward" /* is there: ports that the guest opens are forwarded */
#define BUNDLE_IDENTITY    "identity.json" /* who its guest is to become: identity.h */
#define BUNDLE_COPY        "copy.state"  /* the same, where others go on from it too */

struct bundle {
    char *name; /* without suffix; for people */
    char *path; /* absolute */
    int fd;     /* of the folder */
    int lock_fd; /* -1: none */
    char *draft; /* where it is until draft_publish(); NULL: it is no draft */
};

/* ---- Finding (home.c) ----------------------------------------------------------------------- */

/* The folder of machines, which may not exist yet: text for free(), or NULL without memory. */
char *home_path(void);

/* Can it be a machine's name? false, with what is wrong in err. */
bool bundle_name_check(const char *name, struct vz_error *err);

/* Where the folder of a machine is, or would be: in home_path() by its name, or anything with a slash
 * is a path. Text for free(), or NULL and err. */
char *bundle_path_of(const char *machine, struct vz_error *err);

/* What people call the machine at a path: its last part, without suffix. Text for free(). */
char *bundle_name_of(const char *path);

/* Open a machine's folder. 0, and bundle_close() it; or -1, with VZ_ERROR_IO or VZ_ERROR_INVALID. */
int bundle_open(const char *machine, struct bundle *ret, struct vz_error *err);
/* The same, to remove it: also what a loss of power left of one. */
int bundle_open_lost(const char *machine, struct bundle *ret, struct vz_error *err);
void bundle_close(struct bundle *b); /* and unlock; {.fd = -1, .lock_fd = -1} is fine */

/* Call fn with each machine's name in home_path(), in order, until it returns false. -1 and err where
 * the folder cannot be read; that it is not there is none. */
int home_list(bool (*fn)(void *arg, const char *name), void *arg, struct vz_error *err);

/* ---- Locks (bundle_lock.c) ------------------------------------------------------------------ */

enum bundle_use {
    BUNDLE_RUN,    /* to run the machine, or to move, copy or remove its folder */
    BUNDLE_CHANGE, /* to change its configuration, also while it runs */
    BUNDLE_WARM,   /* to make its warm state (warm.h) */
    BUNDLE_FLATTEN, /* to make one image of many layers (flatten.h) */
};

/* Fails at once where somebody else has it, unless that is for making one image of layers, which waits for an
 * instant: VZ_ERROR_INVALID_STATE, with what they do in the text. */
int bundle_lock(struct bundle *b, enum bundle_use use, struct vz_error *err);
/* Who has it is expected to give it up within wait_ms. */
int bundle_lock_soon(struct bundle *b, enum bundle_use use, int wait_ms, struct vz_error *err);
void bundle_unlock(const struct bundle *b, enum bundle_use use);
/* Who runs it, by the lock and nothing else? false: nobody. */
bool bundle_is_running(const struct bundle *b);

/* ---- Files (bundle_file.c) ------------------------------------------------------------------ */

/* Have a file of the folder hold this, and nothing else: after a crash it is the old or the new. (A draft is there or
 * not.) */
int bundle_write(const struct bundle *b, const char *file, const void *data, size_t len,
                 struct vz_error *err);
/* The whole file, with a 0 behind it, for free(); or NULL and err. */
char *bundle_read(const struct bundle *b, const char *file, size_t *ret_len, struct vz_error *err);

/* Is there such a file? */
bool bundle_has(const struct bundle *b, const char *file);
/* It is gone, also after a crash, when this returns 0. That it was not there is fine. */
int bundle_remove_file(const struct bundle *b, const char *file, struct vz_error *err);

/* ---- Configuration (bundle_config.c) -------------------------------------------------------- */

/* The machine's, with paths as they are in the file: relative ones mean the folder, which must be the
 * working folder when the configuration is used (bundle_enter()). */
struct vz_config *bundle_config(const struct bundle *b, struct vz_error *err);
/* The same as JSON. A reference, or NULL and err. */
json_t *bundle_config_as_is(const struct bundle *b, struct vz_error *err);
/* With all paths absolute. */
json_t *bundle_config_json(const struct bundle *b, struct vz_error *err);
int bundle_set_config(const struct bundle *b, const struct vz_config *config, struct vz_error *err);
int bundle_enter(const struct bundle *b, struct vz_error *err);

#endif
