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
    uint32_t features; /* enum sandbox_feature */
};

struct sandbox {
    struct thread_policy policy; /* for thread_set_policy() */
    struct sandbox_options options;
    int rules[THREAD_KINDS]; /* of files; -1: the kernel has no Landlock */
};

/* 0; or -errno with err: the kernel has no seccomp filters. From then on the process has a handler for SIGSYS,
 * which ends it, and says for which system call of which thread. */
int sandbox_init(struct sandbox *s, const struct sandbox_options *o, struct vz_error *err) must_check;
void sandbox_fini(struct sandbox *s);

/* Before threads of these kinds (SANDBOX_KIND()) enter: what they may open. 0 or -errno. */
int sandbox_allow(struct sandbox *s, uint32_t kinds, const char *path, bool write) must_check;

#endif
