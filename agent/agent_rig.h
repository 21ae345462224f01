/* SPDX-License-Identifier: MIT */
/* For tests: an agent as a process of this host, at the other end of a socket pair. */
#ifndef VZ_AGENT_AGENT_RIG_H
#define VZ_AGENT_AGENT_RIG_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vz/agent.h>

#include "unit.h"

struct rig {
    pid_t pid;
    int fd; /* ours */
    char folder[64];
};

static inline void rig_start(struct rig *r)
{
    char path[4096], number[16];
    int pair[2];

    snprintf(path, sizeof(path), "%s/agent/vz-agent", getenv("VZ_BUILD"));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    strcpy(r->folder, "/tmp/vz-agent-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(r->folder));
    r->pid = fork();
    if (!r->pid) {
        snprintf(number, sizeof(number), "%d", dup(pair[1]));
        execl(path, path, "--fd", number, "--root", r->folder, NULL);
        perror(path);
        _exit(99);
    }
    close(pair[1]);
    r->fd = pair[0];
}

static inline struct vz_agent *rig_connect(struct rig *r)
{
    struct vz_error err = {.text = ""};
    struct vz_agent *a = vz_agent_new(r->fd, NULL, &err);

    ck_assert_msg(a != NULL, "%s", err.text);
    return a;
}

/* The agent must end by itself when its host is gone. */
static inline void rig_end(struct rig *r)
{
    char command[128];
    int status;

    ck_assert_int_eq(waitpid(r->pid, &status, 0), r->pid);
    ck_assert_int_eq(status, 0);
    snprintf(command, sizeof(command), "rm -rf %s", r->folder);
    ck_assert_int_eq(system(command), 0);
}

/* A test with an agent of its own, made by set_up. */
static inline void rig_add(Suite *s, const TTest *test, void (*set_up)(void), void (*tear_down)(void))
{
    TCase *c = tcase_create(test->name);

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, test);
    suite_add_tcase(s, c);
}

#endif
