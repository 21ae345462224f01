/* SPDX-License-Identifier: MIT */
/* A process of our own for what a machine's should not do itself. Its program is data of the library, so it is there
 * wherever that is, and it begins with nothing of this process but a socket by which it is asked, and an end of another
 * one: no memory, no descriptors, no environment but what the dynamic linker and the log need, and whose it is. It ends when that one's
 * other end is closed. What it does with them is src/child/.
 *
 * Threads: one at a time. */
#ifndef VZ_BASE_CHILD_H
#define VZ_BASE_CHILD_H

#include <vz/error.h>

#include <errno.h>
#include <sys/types.h>

#include "base/compiler.h"

/* In the child. */
#define CHILD_SOCKET 0 /* SOCK_SEQPACKET: a question is a message, and so is its answer */
#define CHILD_LIFE   1 /* end of file: the end */

struct child {
    pid_t pid;        /* 0: there is none, or none any more */
    int pidfd;        /* of it, or -errno (pidfd.h) */
    int socket, life; /* -1: none */
};
#define CHILD_NONE                               \
    {                                            \
        .pidfd = -ESRCH, .socket = -1, .life = -1 \
    }

/* Every answer begins so; data may follow. */
struct child_answer {
    int32_t result; /* or -errno, */
    uint32_t code;  /* and enum vz_error_code with */
    char text[VZ_ERROR_TEXT_MAX];
};

/* Start image[len], an executable, as process `name`. 0 or -errno with err. The calling thread's signals are no matter.
 */
int child_start(struct child *ret, const char *name, const uint8_t *image, size_t len, struct vz_error *err) must_check;

/* Say something that has no answer here, handing over fd unless it is -1. 0; or with err (may be NULL): -EPIPE: it has
 * ended; -EAGAIN: there is no room, and nothing was said. */
int child_tell(struct child *c, const void *data, size_t len, int fd, struct vz_error *err) must_check;

/* Wait until it has read enough for child_tell() to have room, or has ended; false: it does not in time. */
bool child_has_time(const struct child *c);

/* Ask, handing over fd unless it is -1, and wait for the answer, of which data gets the data_len bytes that follow its
 * result. The result, at least 0; or -errno with err (may be NULL). Who does not answer in time, or not as he should,
 * is ended: -EPIPE then, and whenever there is none. */
int child_ask(struct child *c, const void *question, size_t len, int fd, void *data, size_t data_len,
              struct vz_error *err);

/* It is gone when this returns, which is soon, whether it likes to or not. Without one nothing happens. */
void child_end(struct child *c);

#endif
