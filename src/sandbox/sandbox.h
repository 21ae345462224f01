/* SPDX-License-Identifier: MIT */
/* A machine's threads give up what they do not need: each kind its system calls (sandbox_calls.h), files
 * (sandbox_files.h) and capabilities. docs/security.md says against whom, and what it does not promise.
 *
 * Who runs a machine prepares a sandbox, makes it the policy of the thread that makes all others (base/thread.h),
 * and that enters last, when all is open. */
#ifndef VZ_SANDBOX_SANDBOX_H
#define VZ_SANDBOX_SANDBOX_H

#include "base/thread.h"

struct vz_error;

enum sandbox_mode {
    SANDBOX_OFF,
    SANDBOX_ON,
    SANDBOX_LOG, /* nothing is refused: the first of each call that would be is told on standard error */
};

struct sandbox_options {
    enum sandbox_mode mode;
    bool process;      /* the process too: no core files, not dumpable */
    bool is_child;     /* a process of ours that has no machine (src/child/): whoever enters first closes it */
    bool others_folders; /* of those in which it may make files one is not root's */
    uint32_t features; /* enum sandbox_feature */
    unsigned world;    /* of the loop's thread, and of those that it makes then: enum sandbox_world, where it may */
    uint32_t uid, gid; /* root's threads become this, but those that need what is root's; 0: they stay */
};

struct sandbox {
    struct thread_policy policy; /* for thread_set_policy() */
    struct sandbox_options options;
    int rules[THREAD_KINDS]; /* of files; -1: the kernel has no Landlock */
};

/* Has the kernel what it is made of? */
bool sandbox_is_possible(void);

/* 0; or -errno with err: the kernel has no seccomp filters. From then on the process has a handler for SIGSYS,
 * which ends it, and says for which system call of which thread. */
int sandbox_init(struct sandbox *s, const struct sandbox_options *o, struct vz_error *err) must_check;
void sandbox_fini(struct sandbox *s);

/* Before threads of these kinds (SANDBOX_KIND()) enter: what they may open. 0 or -errno. */
int sandbox_allow(struct sandbox *s, uint32_t kinds, const char *path, bool write) must_check;
/* Those of these kinds that enter from now on may open nothing of that, but what they are allowed from now on. 0 or -errno:
 * nothing has changed. */
int sandbox_forget(struct sandbox *s, uint32_t kinds) must_check;

/* The calling thread, a program's, is of this kind from now on: TALK, SERVE, WATCH, CONTROL; and so are those that it makes by
 * thread_start(), of theirs. folder (may be NULL): what SERVE may read, WATCH and CONTROL write. 0 or -errno; 0 and
 * nothing on a kernel that has no filters. */
int sandbox_lock_program(enum thread_kind kind, bool logs, const char *folder) must_check;

#endif
