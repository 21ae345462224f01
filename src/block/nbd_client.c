/* SPDX-License-Identifier: MIT */
/* The thread of a disk on an NBD server: see nbd_client.h.
 *
 * When one connection is lost all are given up: the server may have gone, and forgotten what it had not
 * written down. What was in flight is sent again once there is a connection, but only after the writes of
 * the log, in their order: otherwise an old write could come on top of a newer one. */
#include "block/nbd_client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/trace.h"
#include "block/nbd_requests.h"

#define TICK_MS        100
#define BACKOFF_MIN_MS UINT64_C(50)
#define BACKOFF_MAX_MS UINT64_C(1000) /* or a quarter of the timeout, so that there is more than one attempt */
#define CONNECT_MS     30000u     /* where no timeout is given */
#define LINK_DEPTH     16u        /* commands in flight on one of several connections */
#define LOG_SOFT       (16 * MIB) /* then a flush of our own makes room */
#define LOG_HARD       (64 * MIB) /* then nothing more is written until there is room */
#define REPLAY_DEPTH   32u
#define REPLAY_STEP    (1 * MIB)  /* written again, then flushed: what a server that soon dies again cannot undo */

/* ---- News for the loop thread --------------------------------------------------------------- */

/* err NULL: there is a connection. */
static void tell(struct nbd_client *c, const struct vz_error *err)
{
    struct nbd_news news = {.connected = !err};

    if (err)
        news.err = *err;
    pthread_mutex_lock(&c->lock);
    if (c->is_open && c->news_count < NBD_NEWS_MAX) {
        c->news[c->news_count++] = news;
        loop_work_queue(c->b->loop, &c->tell);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- Connections ---------------------------------------------------------------------------- */

static void go_down(struct nbd_client *c, uint64_t now_ns)
{
    uint64_t most_ms = c->timeout_ms ? MIN(BACKOFF_MAX_MS, MAX(c->timeout_ms / 4, BACKOFF_MIN_MS))
                                     : BACKOFF_MAX_MS;

    for (unsigned i = c->link_count; i-- > 0;) /* backwards: those of the first come first */
        nbd_link_close(&c->link[i], &c->wait);
    nbd_requests_drop_own(c);
    c->link_count = 0;
    c->replayed = NULL;
    c->backoff_ms = c->backoff_ms ? MIN(c->backoff_ms * 2, most_ms) : BACKOFF_MIN_MS;
    c->retry_ns = now_ns + c->backoff_ms * NS_PER_MS;
    c->state = NBD_DOWN;
}

static void fail_first(struct nbd_client *c, const struct vz_error *err)
{
    pthread_mutex_lock(&c->lock);
    c->first_err = *err;
    c->has_failed = true;
    pthread_cond_signal(&c->opened);
    pthread_mutex_unlock(&c->lock);
}

/* The connection, or the attempt to make one, has come to nothing. */
static void fail(struct nbd_client *c, const struct vz_error *err, uint64_t now_ns)
{
    bool was_there = c->state == NBD_UP || c->state == NBD_REPLAYING;
    struct vz_error e = *err;

    TRACE(c->b->trace, block, "nbd", c->b, "lost: %s", e.text);
    go_down(c, now_ns);
    if (!c->is_open) { /* only this thread sets it */
        fail_first(c, &e);
        return;
    }
    if (was_there && !c->was_lost) {
        c->was_lost = true;
        e.code = VZ_ERROR_NBD_DISCONNECTED;
        tell(c, &e);
    } else if (e.code == VZ_ERROR_NBD_NEGOTIATION_FAILED && ++c->refusals == 2) {
        tell(c, &e); /* one may be a server that is just ending, or starting */
    }
}

static void start_link(struct nbd_client *c)
{
    struct nbd_link *l = &c->link[c->link_count++];

    nbd_link_init(l, &c->answered);
    nbd_link_connect(l, &c->uri);
}

static void go_up(struct nbd_client *c)
{
    c->state = NBD_UP;
    c->replayed = NULL;
    pthread_mutex_lock(&c->lock);
    c->is_open = true;
    pthread_cond_signal(&c->opened);
    pthread_mutex_unlock(&c->lock);
    if (c->was_lost) {
        STATS_ADD(&c->b->stats, reconnects, 1);
        STATS_ADD(c->b->sum, reconnects, 1);
        tell(c, NULL);
    }
    c->was_lost = false;
    c->refusals = 0;
    while (c->export.can_multi && c->link_count < NBD_LINKS_MAX)
        start_link(c);
}

/* The first connection is there: is it the disk that it was? */
static void look_at_export(struct nbd_client *c, uint64_t now_ns)
{
    struct nbd_export e;
    struct vz_error err = {.text = ""};

    if (nbd_link_export(&c->link[0], &e, &err) < 0 || nbd_client_check(c, &e, &err) < 0) {
        fail(c, &err, now_ns);
        return;
    }
    c->export = e;
    c->write_through = !e.can_flush && e.can_fua;
    if (!c->is_open) { /* nobody else knows the disk yet */
        c->b->block_size = MAX(BLK_SECTOR, e.block_min);
        c->b->read_only = c->b->read_only || e.read_only;
    }
    pthread_mutex_lock(&c->lock);
    c->size = align_down(e.size, c->b->block_size);
    pthread_mutex_unlock(&c->lock);
    c->replayed = NULL;
    c->replayed_bytes = 0;
    c->state = NBD_REPLAYING;
}

static void look_at_links(struct nbd_client *c, uint64_t now_ns)
{
    uint64_t limit_ns = (c->timeout_ms ? c->timeout_ms : CONNECT_MS) * NS_PER_MS;

    for (unsigned i = 0; i < c->link_count; i++) {
        struct nbd_link *l = &c->link[i];

        if (l->state == NBD_LINK_CONNECTING && now_ns > l->since_ns + limit_ns) {
            l->state = NBD_LINK_LOST;
            error_set(&l->err, 0, VZ_ERROR_NBD_DISCONNECTED, "the server does not answer");
        }
        if (l->state != NBD_LINK_LOST)
            continue;
        if (i && !l->was_ready) { /* one of several that never came to be: fewer will do */
            nbd_link_close(l, &c->wait);
            c->export.can_multi = false;
            continue;
        }
        fail(c, &l->err, now_ns);
        return;
    }
    if (c->state == NBD_CONNECTING && c->link[0].state == NBD_LINK_READY)
        look_at_export(c, now_ns);
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* The connection that has the least to do, and room; NULL: none. */
static struct nbd_link *free_link(struct nbd_client *c)
{
    unsigned ready = 0;
    struct nbd_link *best = NULL;

    for (unsigned i = 0; i < c->link_count; i++) {
        struct nbd_link *l = &c->link[i];

        if (l->state != NBD_LINK_READY)
            continue;
        ready++;
        if (!best || l->count < best->count)
            best = l;
    }
    return best && ready > 1 && best->count >= LINK_DEPTH ? NULL : best;
}

static void send_waiting(struct nbd_client *c)
{
    struct nbd_command *cmd;
    struct nbd_link *l;

    while ((cmd = TAILQ_FIRST(&c->wait)) && (l = free_link(c))) {
        TAILQ_REMOVE(&c->wait, cmd, link);
        if (cmd->op == BLK_FLUSH)
            cmd->covers = c->log.last;
        nbd_link_send(l, cmd);
    }
}

static void trim_log(struct nbd_client *c)
{
    struct nbd_command *cmd;

    if (c->log.bytes < LOG_SOFT || c->trimming_log)
        return;
    cmd = nbd_requests_own(c, BLK_FLUSH);
    if (!cmd)
        return;
    c->trimming_log = true;
    TAILQ_INSERT_TAIL(&c->wait, cmd, link);
}

static struct blk_req *next_todo(struct nbd_client *c)
{
    struct blk_req *req;

    pthread_mutex_lock(&c->lock);
    req = c->todo;
    if (req) {
        c->todo = req->next;
        if (!c->todo)
            c->todo_last = &c->todo;
    }
    pthread_mutex_unlock(&c->lock);
    return req;
}

static void take_todo(struct nbd_client *c)
{
    struct blk_req *req;

    trim_log(c);
    while (c->log.bytes < LOG_HARD && free_link(c) && (req = next_todo(c))) {
        nbd_requests_make(c, req);
        send_waiting(c);
    }
}

/* ---- Writing again -------------------------------------------------------------------------- */

static bool overlaps_inflight(const struct nbd_link *l, const struct write_log_entry *e)
{
    const struct nbd_command *cmd;

    TAILQ_FOREACH(cmd, &l->inflight, link) {
        if (cmd->offset < e->offset + e->len && e->offset < cmd->offset + cmd->len)
            return true;
    }
    return false;
}

/* The data stays the log's. */
static struct nbd_command *replay_of(const struct nbd_client *c, const struct write_log_entry *e)
{
    struct nbd_command *cmd = nbd_requests_own(c, e->data || !c->export.can_zero ? BLK_WRITE : BLK_ZERO);

    if (!cmd)
        return NULL;
    cmd->is_replay = true;
    cmd->offset = e->offset;
    cmd->len = e->len;
    cmd->may_unmap = e->may_unmap;
    cmd->data = e->data;
    if (cmd->op == BLK_WRITE && !e->data) {
        cmd->data = calloc(1, e->len);
        cmd->own_data = true;
        if (!cmd->data) {
            nbd_command_free(cmd);
            return NULL;
        }
    }
    return cmd;
}

/* What was written again up to now is made stable, and forgotten by nbd_requests_answered(). */
static void flush_replayed(struct nbd_client *c, struct nbd_link *l)
{
    struct nbd_command *cmd = l->count ? NULL : nbd_requests_own(c, BLK_FLUSH);

    if (!cmd)
        return;
    cmd->covers = c->replayed->number;
    c->replayed = NULL; /* nothing is sent before the answer, and then the log begins behind it */
    c->replayed_bytes = 0;
    nbd_link_send(l, cmd);
}

static void replay(struct nbd_client *c)
{
    struct nbd_link *l = &c->link[0];

    while (l->state == NBD_LINK_READY && l->count < REPLAY_DEPTH) {
        struct write_log_entry *e = c->replayed ? TAILQ_NEXT(c->replayed, link) : TAILQ_FIRST(&c->log.entries);
        struct nbd_command *cmd = TAILQ_FIRST(&l->inflight);

        if (cmd && cmd->op == BLK_FLUSH)
            return;
        if (!e) {
            if (!l->count)
                go_up(c);
            return;
        }
        if (c->replayed_bytes >= REPLAY_STEP) {
            flush_replayed(c, l);
            return;
        }
        if (overlaps_inflight(l, e) || !(cmd = replay_of(c, e)))
            return; /* without memory: again after an answer, or at the next turn */
        c->replayed = e;
        c->replayed_bytes += e->len;
        nbd_link_send(l, cmd);
    }
}

/* ---- Answers and time ----------------------------------------------------------------------- */

static void take_answers(struct nbd_client *c, uint64_t now_ns)
{
    const struct vz_error leaving = {VZ_ERROR_NBD_DISCONNECTED, "the server is shutting down"};
    struct nbd_command *cmd;
    bool leaves = false;

    while ((cmd = TAILQ_FIRST(&c->answered))) {
        TAILQ_REMOVE(&c->answered, cmd, link);
        if (cmd->err != -ESHUTDOWN) {
            nbd_requests_answered(c, cmd);
            continue;
        }
        TAILQ_INSERT_HEAD(&c->wait, cmd, link); /* to be sent again */
        leaves = true;
    }
    if (leaves && c->state != NBD_DOWN)
        fail(c, &leaving, now_ns);
}

static bool is_over(const struct nbd_commands *list, uint64_t now_ns)
{
    const struct nbd_command *cmd;

    TAILQ_FOREACH(cmd, list, link) {
        if (cmd->deadline_ns <= now_ns)
            return true;
    }
    return false;
}

/* Requests that nobody took in time. */
static void expire_todo(struct nbd_client *c, uint64_t now_ns)
{
    struct blk_req *over = NULL, *req;

    pthread_mutex_lock(&c->lock);
    c->todo_last = &c->todo;
    while ((req = *c->todo_last)) {
        if (req->deadline_ns > now_ns) {
            c->todo_last = &req->next;
            continue;
        }
        *c->todo_last = req->next;
        req->next = over;
        over = req;
    }
    pthread_mutex_unlock(&c->lock);
    while ((req = over)) {
        over = req->next;
        blk_complete(req, -ETIMEDOUT);
    }
}

/* A connection that owes an answer for too long is no connection; and only when it is closed can libnbd touch
 * the request's memory no more. */
static void expire(struct nbd_client *c, uint64_t now_ns)
{
    const struct vz_error silent = {VZ_ERROR_NBD_DISCONNECTED, "the server does not answer"};
    bool over = false;

    if (!c->timeout_ms)
        return;
    for (unsigned i = 0; i < c->link_count; i++)
        over = over || is_over(&c->link[i].inflight, now_ns);
    if (over)
        fail(c, &silent, now_ns);
    nbd_requests_expire(c, now_ns);
    expire_todo(c, now_ns);
}

/* ---- The thread ----------------------------------------------------------------------------- */

/* Whether there is anything that time could run out for. */
static bool is_busy(const struct nbd_client *c)
{
    bool busy = c->state != NBD_UP || !TAILQ_EMPTY(&c->wait) || c->todo;

    for (unsigned i = 0; i < c->link_count; i++)
        busy = busy || c->link[i].count || c->link[i].state == NBD_LINK_CONNECTING;
    return busy;
}

/* False: stop. */
static bool sleep_some(struct nbd_client *c)
{
    struct pollfd p[1 + NBD_LINKS_MAX] = {{.fd = c->wake_fd, .events = POLLIN}};
    int timeout_ms = -1;
    uint64_t count;
    bool stop;

    for (unsigned i = 0; i < c->link_count; i++)
        p[1 + i].fd = nbd_link_fd(&c->link[i], &p[1 + i].events);
    pthread_mutex_lock(&c->lock);
    if (is_busy(c))
        timeout_ms = TICK_MS;
    if (c->state == NBD_UP && c->todo && free_link(c) && c->log.bytes < LOG_HARD)
        timeout_ms = 0;
    stop = c->stop;
    c->asleep = true;
    pthread_mutex_unlock(&c->lock);
    if (c->state == NBD_DOWN)
        timeout_ms = (int)MIN((uint64_t)TICK_MS, c->backoff_ms);
    if (stop)
        return false;
    poll(p, 1 + c->link_count, timeout_ms);
    pthread_mutex_lock(&c->lock);
    c->asleep = false;
    pthread_mutex_unlock(&c->lock);
    if (p[0].revents & POLLIN && read(c->wake_fd, &count, sizeof(count)) < 0)
        return true; /* nobody woke us, then */
    for (unsigned i = 0; i < c->link_count; i++)
        nbd_link_turn(&c->link[i], p[1 + i].revents);
    return true;
}

static void turn(struct nbd_client *c, uint64_t now_ns)
{
    take_answers(c, now_ns);
    look_at_links(c, now_ns);
    if (c->state == NBD_DOWN && (c->is_open || !c->has_failed) && now_ns >= c->retry_ns) {
        c->state = NBD_CONNECTING;
        start_link(c);
        look_at_links(c, now_ns);
    }
    if (c->state == NBD_REPLAYING)
        replay(c);
    if (c->state == NBD_UP) {
        send_waiting(c);
        take_todo(c);
    }
}

static void *run(void *arg)
{
    struct nbd_client *c = arg;
    uint64_t looked_ns = 0;

    do {
        uint64_t now_ns = clock_mono_ns();

        turn(c, now_ns);
        if (now_ns - looked_ns >= TICK_MS * NS_PER_MS) {
            expire(c, now_ns);
            looked_ns = now_ns;
        }
    } while (sleep_some(c));
    go_down(c, 0);
    return NULL;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static int start_thread(struct nbd_client *c)
{
    sigset_t all, old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = -pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!r)
        pthread_setname_np(c->thread, "vz-nbd");
    return r;
}

static void fini(struct nbd_client *c)
{
    write_log_fini(&c->log);
    close(c->wake_fd);
    pthread_cond_destroy(&c->opened);
    pthread_mutex_destroy(&c->lock);
}

int nbd_client_start(struct nbd_client *c, struct vz_error *err)
{
    bool failed;
    int r;

    c->todo_last = &c->todo;
    TAILQ_INIT(&c->wait);
    TAILQ_INIT(&c->answered);
    write_log_init(&c->log);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->opened, NULL);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = c->wake_fd < 0 ? -errno : start_thread(c);
    if (r < 0) {
        fini(c);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make a disk's thread: %s", strerror(-r));
    }
    pthread_mutex_lock(&c->lock);
    while (!c->is_open && !c->has_failed)
        pthread_cond_wait(&c->opened, &c->lock);
    failed = !c->is_open;
    pthread_mutex_unlock(&c->lock);
    if (!failed)
        return 0;
    nbd_client_stop(c);
    return error_set(err, c->first_err.code == VZ_ERROR_UNSUPPORTED ? ENOTSUP : EIO, c->first_err.code, "%s",
                     c->first_err.text);
}

static void wake_locked(struct nbd_client *c)
{
    const uint64_t one = 1;

    if (c->asleep && write(c->wake_fd, &one, sizeof(one)) < 0)
        return; /* it is awake already */
}

void nbd_client_stop(struct nbd_client *c)
{
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    wake_locked(c);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    fini(c);
}

void nbd_client_submit(struct nbd_client *c, struct blk_req *req)
{
    req->next = NULL;
    req->deadline_ns = c->timeout_ms ? clock_mono_ns() + c->timeout_ms * NS_PER_MS : UINT64_MAX;
    pthread_mutex_lock(&c->lock);
    *c->todo_last = req;
    c->todo_last = &req->next;
    pthread_mutex_unlock(&c->lock);
}

void nbd_client_kick(struct nbd_client *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->todo)
        wake_locked(c);
    pthread_mutex_unlock(&c->lock);
}

void nbd_client_cancel(struct nbd_client *c, struct blk_req *req)
{
    struct blk_req **at = &c->todo;
    bool found;

    pthread_mutex_lock(&c->lock);
    while (*at && *at != req)
        at = &(*at)->next;
    found = *at;
    if (found) {
        *at = req->next;
        if (!*at)
            c->todo_last = at;
    }
    pthread_mutex_unlock(&c->lock);
    if (found)
        blk_complete(req, -ECANCELED);
}
