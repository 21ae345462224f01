/* SPDX-License-Identifier: MIT */
/* A disk on an NBD server, between its loop and its connections: see nbd_client.h.
 *
 * When one connection is lost all are given up: the server may have gone, and forgotten what it had not
 * written down. What was in flight is sent again once there is a connection, but only after the writes of
 * the log (nbd_replay.c). */
#include "block/nbd_dial.h"
#include "block/nbd_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/trace.h"
#include "block/nbd_replay.h"
#include "block/nbd_requests.h"
#include "loop/loop.h"

#define TICK_MS        100
#define LATE_MS        UINT64_C(1000) /* a tick that is later: we were stopped, or somebody held the loop up */
#define BACKOFF_MIN_MS UINT64_C(50)
#define BACKOFF_MAX_MS UINT64_C(1000) /* or a quarter of the timeout, so that there is more than one attempt */
#define CONNECT_MS     30000u     /* where no timeout is given */
#define CANCEL_MS      1000u      /* for the answer to a request that was cancelled */
#define LINK_DEPTH     16u        /* commands in flight on one of several connections */
#define LOG_SOFT       (16 * MIB) /* then a flush of our own makes room */
#define LOG_HARD       (64 * MIB) /* then nothing more is written until there is room */

/* ---- News ----------------------------------------------------------------------------------- */

/* err NULL: there is a connection. */
static void tell(struct nbd_client *c, const struct vz_error *err)
{
    struct nbd_news news = {.connected = !err};

    if (err)
        news.err = *err;
    if (!c->is_open || c->news_count == NBD_NEWS_MAX)
        return;
    c->news[c->news_count++] = news;
    loop_work_queue(c->b->loop, &c->tell);
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

/* The connection, or the attempt to make one, has come to nothing. */
static void fail(struct nbd_client *c, const struct vz_error *err, uint64_t now_ns)
{
    bool was_there = c->state == NBD_UP || c->state == NBD_REPLAYING;
    struct vz_error e = *err;

    TRACE(c->b->trace, block, "nbd", c->b, "lost: %s", e.text);
    go_down(c, now_ns);
    if (!c->is_open) {
        c->first_err = e;
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

static void turn(void *arg);

static void start_link(struct nbd_client *c)
{
    struct nbd_link *l = &c->link[c->link_count++];

    nbd_link_init(l, c->b->loop, &c->answered, turn, c);
    nbd_link_connect(l, c->by, &c->uri, c->maps, c->dial);
    c->dial = NULL;
}

void nbd_client_go_up(struct nbd_client *c)
{
    c->state = NBD_UP;
    c->replayed = NULL;
    c->is_open = true;
    if (c->was_lost) {
        struct blk *top = blk_top(c->b);

        STATS_ADD(&top->stats, reconnects, 1);
        STATS_ADD(top->sum, reconnects, 1);
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
    const struct nbd_export e = c->link[0].export;
    struct vz_error err = {.text = ""};

    if (nbd_client_check(c, &e, &err) < 0) {
        fail(c, &err, now_ns);
        return;
    }
    c->export = e;
    c->write_through = !e.can_flush && e.can_fua;
    if (!c->is_open) { /* nobody else knows the disk yet */
        c->b->block_size = MAX(BLK_SECTOR, e.block_min);
        c->b->read_only = c->b->read_only || e.read_only;
    }
    c->size = align_down(e.size, c->b->block_size);
    c->replayed = NULL;
    c->replayed_bytes = 0;
    c->state = NBD_REPLAYING;
}

static void look_at_links(struct nbd_client *c, uint64_t now_ns)
{
    uint64_t limit_ns = (c->timeout_ms ? c->timeout_ms : CONNECT_MS) * NS_PER_MS;

    for (unsigned i = 0; i < c->link_count; i++) {
        struct nbd_link *l = &c->link[i];

        if (l->state == NBD_LINK_CONNECTING && now_ns > l->since_ns + limit_ns)
            nbd_link_give_up(l);
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
    struct blk_req *req = c->todo;

    if (!req)
        return NULL;
    c->todo = req->next;
    if (!c->todo)
        c->todo_last = &c->todo;
    return req;
}

static void take_todo(struct nbd_client *c)
{
    struct blk_req *req;

    trim_log(c);
    while (c->log.bytes < LOG_HARD && free_link(c) && nbd_requests_have_room(c)) {
        if (c->making)
            nbd_requests_go_on(c);
        else if ((req = next_todo(c)))
            nbd_requests_make(c, req);
        else
            break;
        send_waiting(c);
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
static void expire_todo(struct nbd_client *c, uint64_t now_ns, int err)
{
    struct blk_req *over = NULL, *req;

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
    while ((req = over)) {
        over = req->next;
        blk_finish(req, err);
    }
}

/* A connection that owes an answer for too long is no connection; and only when it is closed can libnbd touch
 * the request's memory no more. */
static void expire(struct nbd_client *c, uint64_t now_ns)
{
    const struct vz_error silent = {VZ_ERROR_NBD_DISCONNECTED, "the server does not answer"};
    uint64_t at_ns = now_ns - c->lost_ns;
    int err = c->is_abandoned ? -ECANCELED : -ETIMEDOUT;
    bool over = false;

    if (c->is_abandoned) {
        at_ns = UINT64_MAX; /* its time is over, whatever it is */
        go_down(c, 0);
    } else if (!c->timeout_ms && !c->has_cancelled) {
        return;
    }
    for (unsigned i = 0; i < c->link_count; i++)
        over = over || is_over(&c->link[i].inflight, at_ns);
    if (over)
        fail(c, &silent, now_ns);
    nbd_requests_expire(c, at_ns, err);
    expire_todo(c, at_ns, err);
}

/* ---- Turns ---------------------------------------------------------------------------------- */

static bool is_busy(const struct nbd_client *c)
{
    bool busy = !TAILQ_EMPTY(&c->wait) || !TAILQ_EMPTY(&c->answered) || c->todo || c->making;

    for (unsigned i = 0; i < c->link_count; i++)
        busy = busy || c->link[i].count;
    return busy;
}

static bool is_connecting(const struct nbd_client *c)
{
    bool connecting = c->state != NBD_UP && !c->is_abandoned;

    for (unsigned i = 0; i < c->link_count; i++)
        connecting = connecting || c->link[i].state == NBD_LINK_CONNECTING;
    return connecting;
}

/* The timer goes off when there is to be another attempt and, while time could run out for anything, every tick. */
static void arm(struct nbd_client *c, uint64_t now_ns)
{
    uint64_t at_ns = now_ns + TICK_MS * NS_PER_MS;

    if (c->timer_ns && c->timer_ns <= at_ns && c->state != NBD_DOWN)
        return;
    if (!is_connecting(c) && !is_busy(c))
        return;
    if (c->state == NBD_DOWN && !c->is_abandoned)
        at_ns = MIN(c->retry_ns, at_ns);
    if (c->timer_ns && c->timer_ns <= at_ns)
        return;
    c->timer_ns = at_ns;
    loop_timer_arm(c->timer, at_ns);
}

/* Send what can be sent, and see to it that there is another turn when there is more to do. */
static void send_all(struct nbd_client *c, uint64_t now_ns)
{
    bool lost = false;

    if (c->state == NBD_REPLAYING)
        nbd_replay(c);
    if (c->state == NBD_UP) {
        send_waiting(c);
        take_todo(c);
    }
    for (unsigned i = 0; i < c->link_count; i++) {
        nbd_link_push(&c->link[i]);
        lost = lost || c->link[i].state == NBD_LINK_LOST;
    }
    if (lost || !TAILQ_EMPTY(&c->answered) || (c->is_abandoned && c->todo))
        loop_work_queue(c->b->loop, &c->again);
    arm(c, now_ns);
}

static void take_turn(struct nbd_client *c, bool is_tick)
{
    uint64_t now_ns = clock_mono_ns();

    c->turning = true;
    blk_plug(c->b); /* what is submitted in answer is sent at the end */
    take_answers(c, now_ns);
    if (is_tick || c->is_abandoned)
        expire(c, now_ns);
    look_at_links(c, now_ns);
    if (c->state == NBD_DOWN && c->is_open && !c->is_abandoned && now_ns >= c->retry_ns) {
        c->state = NBD_CONNECTING;
        start_link(c);
        look_at_links(c, now_ns);
    }
    blk_unplug(c->b);
    c->turning = false;
    send_all(c, now_ns);
}

static void turn(void *arg)
{
    take_turn(arg, false);
}

static void on_timer(void *arg)
{
    struct nbd_client *c = arg;
    uint64_t now_ns = clock_mono_ns();

    /* What has come meanwhile is read before the next tick. */
    if (now_ns > c->timer_ns + LATE_MS * NS_PER_MS)
        c->lost_ns += now_ns - c->timer_ns;
    c->timer_ns = 0;
    take_turn(c, true);
}

bool nbd_client_wait(struct nbd_client *c)
{
    struct pollfd p[NBD_LINKS_MAX];
    uint64_t now_ns = clock_mono_ns(), left_ns;

    if (!is_busy(c))
        return false;
    arm(c, now_ns);
    left_ns = c->timer_ns > now_ns && TAILQ_EMPTY(&c->answered) && !c->is_abandoned ? c->timer_ns - now_ns : 0;
    for (unsigned i = 0; i < c->link_count; i++)
        p[i].fd = nbd_link_fd(&c->link[i], &p[i].events);
    if (poll(p, c->link_count, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS)) < 0)
        return true; /* a signal */
    for (unsigned i = 0, count = c->link_count; i < count; i++)
        nbd_link_turn(&c->link[i], p[i].revents);
    (c->timer_ns <= clock_mono_ns() ? on_timer : turn)(c);
    return true;
}

/* ---- Life ----------------------------------------------------------------------------------- */

/* The first attempt; there is no other. */
static int connect_first(struct nbd_client *c)
{
    struct pollfd p;

    c->state = NBD_CONNECTING;
    start_link(c);
    while (c->state == NBD_CONNECTING) {
        if (c->goes_on && !c->goes_on(c->goes_on_arg))
            return error_set(&c->first_err, ECANCELED, VZ_ERROR_CANCELLED, "stopped");
        p.fd = nbd_link_fd(&c->link[0], &p.events);
        if (p.fd >= 0 && poll(&p, 1, TICK_MS) > 0)
            nbd_link_turn(&c->link[0], p.revents);
        look_at_links(c, clock_mono_ns());
    }
    if (c->state == NBD_DOWN)
        return c->first_err.code == VZ_ERROR_UNSUPPORTED ? -ENOTSUP : -EIO;
    nbd_replay(c); /* of nothing: it is up */
    return 0;
}

int nbd_client_start(struct nbd_client *c, struct vz_error *err)
{
    int r;

    c->todo_last = &c->todo;
    TAILQ_INIT(&c->wait);
    TAILQ_INIT(&c->answered);
    write_log_init(&c->log, &c->buffers);
    c->again = (struct loop_work){.fn = turn, .arg = c};
    r = loop_timer_create(c->b->loop, on_timer, c, &c->timer);
    if (r < 0) {
        nbd_dial_abandon(c->dial);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make a disk's timer: %s", strerror(-r));
    }
    r = connect_first(c);
    if (!r)
        return 0;
    nbd_client_stop(c);
    return error_set(err, -r, c->first_err.code, "%s", c->first_err.text);
}

void nbd_client_stop(struct nbd_client *c)
{
    go_down(c, 0);
    loop_work_cancel(c->b->loop, &c->again);
    loop_timer_destroy(c->timer);
    write_log_fini(&c->log);
    buffers_fini(&c->buffers);
    free(c->zeroes);
}

/* The clock of deadlines: of what the server takes, and not what held us up. */
static uint64_t deadline_in(const struct nbd_client *c, uint64_t ms)
{
    return clock_mono_ns() - c->lost_ns + ms * NS_PER_MS;
}

uint64_t nbd_client_deadline_ns(const struct nbd_client *c)
{
    return c->timeout_ms ? deadline_in(c, c->timeout_ms) : UINT64_MAX;
}

void nbd_client_submit(struct nbd_client *c, struct blk_req *req)
{
    req->next = NULL;
    req->deadline_ns = nbd_client_deadline_ns(c);
    *c->todo_last = req;
    c->todo_last = &req->next;
}

/* What has come meanwhile, or goes wrong here, is for the next turn: nothing completes inside a submission. */
void nbd_client_kick(struct nbd_client *c)
{
    if (!c->todo || c->turning)
        return;
    if (c->is_abandoned)
        loop_work_queue(c->b->loop, &c->again);
    else
        send_all(c, clock_mono_ns());
}

static void hurry(struct nbd_commands *list, const struct blk_req *req, uint64_t by_ns)
{
    struct nbd_command *cmd;

    TAILQ_FOREACH(cmd, list, link) {
        if (!req || cmd->req == req)
            cmd->deadline_ns = MIN(cmd->deadline_ns, by_ns);
    }
}

/* Of one request, or of all those that are commands already. */
static void hurry_commands(struct nbd_client *c, const struct blk_req *req, uint64_t by_ns)
{
    hurry(&c->wait, req, by_ns);
    for (unsigned i = 0; i < c->link_count; i++)
        hurry(&c->link[i].inflight, req, by_ns);
    if (c->making && (!req || c->making == req))
        c->making->deadline_ns = MIN(c->making->deadline_ns, by_ns);
}

/* A request's memory may be a command's that the server has. It is free when the answer is there, or the connection is
 * not: a server that does not answer soon loses it. */
void nbd_client_cancel(struct nbd_client *c, struct blk_req *req)
{
    struct blk_req **at = &c->todo;

    while (*at && *at != req)
        at = &(*at)->next;
    if (!*at) {
        hurry_commands(c, req, deadline_in(c, CANCEL_MS));
        c->has_cancelled = true;
        arm(c, clock_mono_ns());
        return;
    }
    *at = req->next;
    if (!*at)
        c->todo_last = at;
    blk_complete(req, -ECANCELED);
}

void nbd_client_abandon(struct nbd_client *c)
{
    c->is_abandoned = true;
    loop_work_queue(c->b->loop, &c->again);
}

void nbd_client_hurry(struct nbd_client *c, uint32_t ms)
{
    uint64_t by_ns = deadline_in(c, ms);

    c->timeout_ms = c->timeout_ms ? MIN(c->timeout_ms, ms) : ms;
    hurry_commands(c, NULL, by_ns);
    for (struct blk_req *req = c->todo; req; req = req->next)
        req->deadline_ns = MIN(req->deadline_ns, by_ns);
}

bool nbd_client_look(struct nbd_client *c, struct blk_nbd_look *look)
{
    if (!c->export.can_map || !nbd_requests_look(c, look))
        return false;
    send_all(c, clock_mono_ns());
    return true;
}
