/* SPDX-License-Identifier: MIT */
/* The agent, inside: a loop, connections to the host, and for each request a job, which is a process:
 * a program that the host wants, or a fork of the agent that does one thing and may block at it. So
 * nothing that a request does can hold up another one, and it all ends as processes end. */
#ifndef VZ_AGENT_JOB_H
#define VZ_AGENT_JOB_H

#include <poll.h>
#include <sys/types.h>

#include "agent/agent_wire.h"

#define CONNECTIONS_MAX 64u
#define JOBS_MAX        256u /* of a connection */
#define OUT_MAX         ((size_t)1 << 20) /* bytes that wait for the host, before nothing is taken any more */
#define HANG_UP_MS      5000u /* from SIGHUP to SIGKILL for a program whose client is gone */
#define PTY_DRAIN_MS    100u  /* what a program wrote to a terminal may come a moment after its end */

struct guest;
struct connection;

/* The request's fields, and where files of the system are ("" but in tests). */
struct request {
    const uint8_t *data;
    size_t len;
    const char *root;
};

/* What a request is. */
struct request_kind {
    const char *name;
    /* In a process of its own: input at descriptor 0, output at 1. What it puts into ret is the
     * result. NULL: "exec" and "ping". */
    void (*work)(const struct request *q, struct agent_fields *ret);
    bool streams; /* it has input and output */
    bool hang_up; /* it is ended when the host gives up; others see the end of their input */
};

extern const struct request_kind request_kinds[]; /* ended by a NULL name */

struct job_input { /* stream 0, to the process */
    int fd;        /* -1: closed */
    struct agent_bytes bytes;
    bool eof;      /* behind those */
    uint32_t owed; /* written, and the host not told yet */
};

struct job_output { /* streams 1 and 2, from the process */
    int fd;
    uint64_t credit;
};

struct job {
    struct job *next;
    struct connection *connection; /* NULL: it is gone */
    const struct request_kind *kind;
    uint32_t id;
    pid_t pid;
    bool exited, is_pty, detached, given_up;
    int wait_status;
    struct job_input in;
    struct job_output out[AGENT_STREAMS]; /* [1], [2] */
    int result_fd; /* -1: all is in result */
    struct agent_bytes result;
    uint64_t exited_ms, kill_ms; /* 0: not */
};

struct connection {
    struct connection *next;
    struct guest *guest;
    int fd;
    struct agent_bytes in, out;
    bool has_hello, over;
    unsigned jobs;
};

struct guest {
    const char *root;
    int listen_fd; /* -1: it serves one connection */
    int signal_fd;
    struct connection *connections;
    struct job *jobs;
};

uint64_t now_ms(void);

/* connection.c: frames. ------------------------------------------------------------------------ */

struct connection *connection_new(struct guest *g, int fd); /* NULL: fd is closed */
void connection_input(struct connection *c);
void connection_flush(struct connection *c);
/* Frames that were received, in c->in; for the fuzz target too. */
void connection_frames(struct connection *c);
void connection_send(struct connection *c, uint8_t type, uint8_t stream, uint32_t id,
                     const void *data, size_t len);
/* Jobs that are left lose their host. */
void connection_free(struct connection *c);

/* job.c: what flows between a process and the host. --------------------------------------------- */

/* Start what a REQUEST asks for, or answer that it cannot be. */
void job_start(struct connection *c, uint32_t id, const uint8_t *data, size_t len);
struct job *job_find(struct guest *g, const struct connection *c, uint32_t id);
void job_data(struct job *j, const uint8_t *data, size_t len);
void job_eof(struct job *j, unsigned stream);
void job_credit(struct job *j, unsigned stream, uint32_t bytes);
void job_control(struct job *j, const uint8_t *data, size_t len);
void job_give_up(struct job *j);
void job_exited(struct guest *g, pid_t pid, int wait_status);

/* Up to JOB_POLLS descriptors to wait for; events 0: not. Then what they are ready for. */
#define JOB_POLLS 4u
void job_poll(const struct job *j, struct pollfd *p);
void job_ready(struct job *j, const struct pollfd *p);
/* Milliseconds until something is due; -1: nothing. */
int job_timeout(const struct job *j);
/* Is it done? Then its END has been queued, and it is freed. */
bool job_finish(struct job *j);

/* spawn.c: processes. ---------------------------------------------------------------------------- */

/* Start the job's process, with its descriptors. 0, or -errno with nothing started. */
int spawn_job(struct job *j, const struct request *q) must_check;

/* user.c ------------------------------------------------------------------------------------------ */

#define GROUPS_MAX 64u

struct user {
    char name[64], home[256], shell[256];
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    unsigned group_count;
};

/* By name or number, [:group], from /etc/passwd and /etc/group. NULL or "": root; or, where the agent is
 * not root, who it is. 0 or -errno. */
int user_find(const char *text, struct user *ret) must_check;
/* Become it, for ever. 0 or -errno. */
int user_become(const struct user *u) must_check;

/* work_*.c: what request_kinds names -------------------------------------------------------------- */

void work_put(const struct request *q, struct agent_fields *ret);
void work_get(const struct request *q, struct agent_fields *ret);
void work_status(const struct request *q, struct agent_fields *ret);
void work_booted(const struct request *q, struct agent_fields *ret);
void work_clock(const struct request *q, struct agent_fields *ret);
void work_mount(const struct request *q, struct agent_fields *ret);
void work_watch(const struct request *q, struct agent_fields *ret);
void work_foreign(const struct request *q, struct agent_fields *ret);
void work_freeze(const struct request *q, struct agent_fields *ret);
void work_identity(const struct request *q, struct agent_fields *ret);
void work_sync(const struct request *q, struct agent_fields *ret);
void work_power(const struct request *q, struct agent_fields *ret);

/* The process that froze the guest was killed: a fork thaws what may be frozen. */
void freeze_rescue(void);

/* The result of a failure. text may be NULL: what errno means. */
void work_failed(struct agent_fields *ret, int err, const char *stage, const char *text);
/* A program, found in PATH, without input and output; its exit status, or -1. */
int work_run(const char *const *argv);
/* Text into a file that appears when it is whole. 0 or -errno. */
int work_write_file(const char *path, const char *text, mode_t mode);
/* All of a small file, up to room - 1 bytes, ended by NUL. 0 or -errno. */
int work_read_file(const char *path, char *ret, size_t room);
/* Each line of a file; none, if it cannot be read. */
void work_each_line(const char *path, void (*take)(void *arg, const char *line), void *arg);
/* What the kernel wrote with some characters in octal ("\040" is a blank), as in mountinfo. In place. */
void work_unescape(char *text);

#endif
