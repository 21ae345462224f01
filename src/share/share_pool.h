/* SPDX-License-Identifier: MIT */
/* The threads of a share, and the requests that wait for locks. */
#ifndef VZ_SHARE_SHARE_POOL_H
#define VZ_SHARE_SHARE_POOL_H

#include "share/share.h"

struct share_pool;

/* 0 or -errno. */
int pool_create(struct share *s, unsigned threads, struct share_pool **ret) must_check;
/* Other threads in place of those that there are, which finish what they are at: for a pool whose caller lets them open
 * something else (base/thread.h). 0; or -errno: nothing has changed. */
int pool_renew(struct share_pool *p) must_check;
/* Idle. NULL is fine. */
void pool_destroy(struct share_pool *p);
void pool_submit(struct share_pool *p, struct share_request *r);
/* Have fn called on one of its threads, which may open files where others of the process may not, and wait. */
void pool_run(struct share_pool *p, void (*fn)(struct share *s));
/* As share_set_source() and share_wake(). */
void pool_set_source(struct share_pool *p, struct share_source *source);
void pool_wake(struct share_pool *p);
/* As share_ask_waiters(). */
void pool_ask_waiters(struct share_pool *p);
/* The request of that number is told -EINTR, if it waits for a lock. */
void pool_interrupt(struct share_pool *p, uint64_t unique);

/* share.c: serve r, once more if again. False: it has to wait for a lock, and is to be served again. */
bool share_serve_or_wait(struct share *s, const struct share_request *r, bool again, size_t *ret_written) must_check;
/* The answer that says -errno instead. */
size_t share_refuse(const struct share_request *r, int error);
/* The request's number. */
uint64_t share_unique(const struct share_request *r);

#endif
