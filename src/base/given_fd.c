/* SPDX-License-Identifier: MIT */
#include "base/given_fd.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "base/thread.h"

#define WAITING_MAX 32u /* a process' threads that are at it */

static atomic_uint waiting;

bool given_fd_is_memory(int fd)
{
    return fd >= 0 && fcntl(fd, F_GET_SEALS) >= 0;
}

static void *close_it(void *arg)
{
    close((int)(intptr_t)arg);
    atomic_fetch_sub(&waiting, 1);
    return NULL;
}

void given_fd_close(int fd)
{
    pthread_t thread;

    if (fd < 0)
        return;
    if (given_fd_is_memory(fd)) {
        close(fd);
        return;
    }
    if (atomic_fetch_add(&waiting, 1) < WAITING_MAX &&
        thread_start(&thread, THREAD_VIEW, "vz-close", close_it, (void *)(intptr_t)fd) == 0)
        pthread_detach(thread);
    else
        atomic_fetch_sub(&waiting, 1);
}
