/* SPDX-License-Identifier: MIT */
/* The host's end of a connection to an agent: channels, and a thread that reads for them all. The
 * agent may be anything that a guest runs: whatever it sends, memory is bounded (a stream's window, one
 * frame), and what is no protocol of ours ends the connection. The functions of <vz/agent.h> are made
 * of these. Threads: any; each blocks for as long as it says. */
#ifndef VZ_AGENT_AGENT_CLIENT_H
#define VZ_AGENT_AGENT_CLIENT_H

#include <pthread.h>
#include <sys/types.h>

#include <vz/error.h>

#include "agent/agent_wire.h"

#define AGENT_FOREVER UINT64_MAX

struct vz_agent;

struct agent_stream { /* from the agent */
    struct agent_bytes bytes; /* came, and not taken yet: AGENT_WINDOW at most */
    uint32_t owed;            /* taken, and the agent not told yet */
    bool eof;                 /* behind those */
    bool refused;             /* we take no more */
};

struct agent_channel { /* the client's lock protects it */
    struct vz_agent *agent;
    struct agent_channel *next;
    uint32_t id;
    struct agent_stream in[AGENT_STREAMS];
    uint64_t credit;  /* for bytes of stream 0 */
    bool refused;     /* the agent takes no more of them */
    bool ended;       /* END came, or the connection is over */
    bool answered;    /* END came */
    bool abandoned;   /* nobody wants it: freed when END comes */
    struct agent_bytes end; /* its fields */
    int wake_fd;      /* an eventfd, written to when anything changes; -1: none. The opener's. */
};

struct vz_agent {
    int fd, stop_fd;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t send_lock; /* frames are written whole; before lock */
    pthread_mutex_t lock;      /* a leaf: all below */
    pthread_cond_t changed;
    struct agent_channel *channels;
    uint32_t next_id;
    uint64_t window, timeout_ms;
    bool has_hello, dead;
    char why[VZ_ERROR_TEXT_MAX]; /* it is dead */
    char *version;               /* of the program in the guest */
    char **features;
    size_t feature_count;
    struct agent_channel *frozen; /* the freeze that is under way */
};

/* Send a request and open its channel. f is freed. wake_fd -1: none.
 * 0 or -errno; ret is closed with agent_close(). */
int agent_open(struct vz_agent *a, struct agent_fields *f, int wake_fd, struct agent_channel **ret,
               struct vz_error *err) must_check;
/* Nothing of it is used after this; what the agent still does for it is given up there. */
void agent_close(struct agent_channel *c);

/* Of a stream from the agent: how many bytes, 0 at its end, -EAGAIN when wait is false and there are
 * none. */
ssize_t agent_receive(struct agent_channel *c, unsigned stream, void *to, size_t len, bool wait);
/* Take no more of it. */
void agent_refuse(struct agent_channel *c, unsigned stream);
/* How much may be sent on stream 0 at once: 0: wait; -EPIPE: the agent takes no more, or it is over. */
ssize_t agent_credit(struct agent_channel *c);
/* All of it, waiting for credit. 0, or -EPIPE. */
int agent_send(struct agent_channel *c, const void *data, size_t len) must_check;
void agent_send_eof(struct agent_channel *c);
/* Who waits in agent_send() is let go with -EPIPE, and no more is sent. */
void agent_refuse_input(struct agent_channel *c);
/* f is freed. */
int agent_control(struct agent_channel *c, struct agent_fields *f, struct vz_error *err);
/* 0: END came, in c->end; or -errno with err: no answer in time, connection lost. */
int agent_wait_end(struct agent_channel *c, uint64_t timeout_ms, struct vz_error *err) must_check;
bool agent_has_ended(struct agent_channel *c);
/* What END says: 0, or -errno with err ("WHAT: ..."). */
int agent_end_result(const struct agent_channel *c, const char *what, struct vz_error *err);
/* A request and its end. f is freed. ret: the END's fields, which the caller frees; may be NULL. */
int agent_call(struct vz_agent *a, const char *what, struct agent_fields *f, uint64_t timeout_ms,
               struct agent_bytes *ret, struct vz_error *err);

/* For vz_agent_new() and vz_agent_free(): the thread, the first frame, what is left when the thread
 * is gone. */
void *agent_reader_main(void *agent);
int agent_say_hello(struct vz_agent *a, struct vz_error *err) must_check;
void agent_free_channels(struct vz_agent *a);

/* A guest's text is shown to people: no control characters. In place. */
char *agent_printable(char *text);

/* What came, as the reader does with it; for the fuzz target. False: the connection is over. */
bool agent_client_input(struct vz_agent *a, struct agent_bytes *in);

#endif
