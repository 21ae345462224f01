/* SPDX-License-Identifier: MIT */
/* What this computer offers to virtual machines, in sentences, with the commands that mend what it
 * does not. `vz doctor` prints it.
 * Lifetime: vz_host_examine() makes a report, vz_host_free() frees it. Threads: any; a report does
 * not change. */
#ifndef VZ_HOST_H
#define VZ_HOST_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vz_host_level {
    VZ_HOST_GOOD = 0,    /* works as well as it can */
    VZ_HOST_NOTE = 1,    /* works, but slower, or with a limit worth knowing */
    VZ_HOST_PROBLEM = 2, /* does not work; machines do without it */
};

/* The report's, as are the strings, of which none is NULL. Words may be added; those there are keep
 * their meaning. */
struct vz_host_finding {
    size_t size;         /* of this struct, as the library knows it: it may grow */
    enum vz_host_level level;
    /* What it is about: "accelerator" (always the first: what "auto" chooses), "kvm",
     * "software-cpu", "direct", "sandbox", "io_uring", "huge-pages", "memory", "tap", "ping". */
    const char *topic;
    const char *code;    /* for programs: one word of a topic, such as "no-permission" */
    const char *text;    /* for people: one or more sentences */
    const char *command; /* shell command lines that mend it, or "" */
};

struct vz_host;

/**
 * Look at this computer, as the calling process sees it. Takes some milliseconds, more where /dev/kvm is
 * there: a throw-away machine is run on it. Changes nothing.
 * Returns a report, or NULL with VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_host *vz_host_examine(struct vz_error *err);
/* NULL is fine. Since 0.2. */
VZ_PUBLIC void vz_host_free(struct vz_host *host);

/* Since 0.2. */
VZ_PUBLIC size_t vz_host_finding_count(const struct vz_host *host);
/* NULL behind the last one. Since 0.2. */
VZ_PUBLIC const struct vz_host_finding *vz_host_finding(const struct vz_host *host, size_t index);

/**
 * The same as JSON: {"accelerator": NAME, "findings": [{"level": "good"|"note"|"problem",
 * "topic": ..., "code": ..., "text": ..., "command": ...}, ...]}; without a command there is no such member.
 * Returns text for free(), or NULL with VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC char *vz_host_to_json(const struct vz_host *host, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
