/* SPDX-License-Identifier: MIT */
/* The controller's life on the loop: enable (3.1.5, 7.6.1), reset (7.3), shutdown (7.6.2), coming to
 * rest, and giving up. While requests are on a disk it may still write to the guest's memory; so a
 * reset ends, and the driver sees CSTS.RDY go, only after the last of them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "nvme/nvme_impl.h"

/* Give up (CSTS.CFS) until the driver resets. Logged once. */
static printf_like(2, 3) void fatal(struct nvme *n, const char *fmt, ...)
{
    char text[200];
    va_list args;

    if (n->failed)
        return;
    TRACE(n->trace, nvme, "nvme", n, "fatal");
    NVME_COUNT(n, fatal, 1);
    n->failed = true;
    nvme_set_csts(n, NVME_CSTS_CFS);
    if (n->warned)
        return;
    n->warned = true;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_warn("nvme: the driver must reset the controller: %s", text);
}

/* ---- Requests ------------------------------------------------------------------------------- */

struct nvme_req *nvme_req_get(struct nvme *n)
{
    struct nvme_req *r = TAILQ_FIRST(&n->free);

    if (!r) {
        n->starved = true;
        return NULL;
    }
    TAILQ_REMOVE(&n->free, r, link);
    TAILQ_INSERT_TAIL(&n->busy, r, link);
    if (!n->inflight++)
        n->busy_since_ms = clock_mono_ns() / NS_PER_MS;
    return r;
}

void nvme_req_free(struct nvme *n, struct nvme_req *r)
{
    TAILQ_REMOVE(&n->busy, r, link);
    TAILQ_INSERT_HEAD(&n->free, r, link);
    if (!--n->inflight)
        n->life.busy_ms += clock_mono_ns() / NS_PER_MS - n->busy_since_ms;
    if (n->stopping || n->starved)
        nvme_work_soon(n);
    n->starved = false;
}

/* ---- Enable and reset ----------------------------------------------------------------------- */

void nvme_release_memory(struct nvme *n)
{
    for (unsigned i = 0; i < ARRAY_SIZE(n->bell); i++)
        bell_stop(&n->bell[i].bell);
    for (unsigned i = 0; i < NVME_QUEUES; i++)
        mem_release(&n->cq[i].held);
    mem_release(&n->shadow_held);
    mem_release(&n->event_held);
    n->shadow = n->event = NULL;
}

static void finish_reset(struct nvme *n)
{
    NVME_COUNT(n, resets, 1);
    nvme_release_memory(n);
    memset(n->sq, 0, sizeof(n->sq));
    memset(n->cq, 0, sizeof(n->cq));
    n->shadow_gpa = n->event_gpa = 0;
    n->active = n->failed = false;
    n->events = n->events_masked = 0;
    n->aer_count = 0;
    n->ns_changed = 0;
    nvme_features_reset(n);
    device_lock(&n->pci.dev);
    n->regs.csts &= ~(NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST);
    if (n->regs.pending.shutdown)
        n->regs.csts |= NVME_CSTS_SHST_BUSY;
    n->regs.intm = 0;
    n->regs.pending.doorbells = 0;
    n->regs.pending.bad_doorbell = false;
    memset(n->regs.doorbell, 0, sizeof(n->regs.doorbell));
    pci_intx_locked(&n->pci, false);
    device_unlock(&n->pci.dev);
}

/* The admin queues, as the registers have them. False: they are not usable. */
static bool make_admin_queues(struct nvme *n, const struct nvme_regs *r)
{
    n->page_size = UINT64_C(4096) << NVME_CC_MPS(r->cc);
    n->sq[0] = (struct nvme_sq){.valid = true, .size = NVME_AQA_ASQS(r->aqa) + 1, .gpa = r->asq};
    n->cq[0] = (struct nvme_cq){.valid = true, .ien = true, .phase = true, .gpa = r->acq,
                                .size = NVME_AQA_ACQS(r->aqa) + 1};
    return n->sq[0].size > 1 && n->cq[0].size > 1 && !(r->asq & (n->page_size - 1)) &&
           !(r->acq & (n->page_size - 1)) && !nvme_sq_map(n, &n->sq[0]) &&
           !nvme_cq_map(n, &n->cq[0]);
}

static void enable(struct nvme *n, const struct nvme_regs *r)
{
    bool good = !NVME_CC_CSS(r->cc) && !NVME_CC_AMS(r->cc) && NVME_CC_MPS(r->cc) <= NVME_MPS_MAX;

    n->active = true;
    if (!good || !make_admin_queues(n, r)) {
        n->sq[0] = (struct nvme_sq){0}; /* such as are none are not to be saved */
        n->cq[0] = (struct nvme_cq){0};
        fatal(n, "it was enabled with CC %#x, AQA %#x, ASQ %#llx, ACQ %#llx", r->cc, r->aqa,
                   (unsigned long long)r->asq, (unsigned long long)r->acq);
        return;
    }
    nvme_set_csts(n, NVME_CSTS_RDY);
}

/* After a load: what the tables do not have. Addresses were right when they were saved, or the state
 * is none that a controller can be in. */
static void restore(struct nvme *n)
{
    bool good = true;

    nvme_release_memory(n); /* it may have been in use before */
    for (unsigned i = 0; i < n->ns_count; i++)
        nvme_ns_size(&n->ns[i]);
    if (!n->active)
        return;
    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        if (n->sq[i].valid)
            good = good && !nvme_sq_map(n, &n->sq[i]);
        if (n->cq[i].valid)
            good = good && !nvme_cq_map(n, &n->cq[i]);
    }
    if (n->shadow_gpa)
        good = good && nvme_shadow_map(n);
    for (unsigned i = 1; good && n->shadow && i < NVME_QUEUES; i++) {
        if (n->sq[i].valid)
            nvme_shadow_start(n, i, false, false);
        if (n->cq[i].valid)
            nvme_shadow_start(n, i, true, false);
    }
    if (!good)
        fatal(n, "its saved queues are not in memory");
}

/* ---- Stopping ------------------------------------------------------------------------------- */

static void cancel_all(struct nvme *n)
{
    struct nvme_req *r;

    TAILQ_FOREACH(r, &n->busy, link) {
        if (r->ns)
            blk_cancel(r->ns->blk, &r->req);
    }
}

static void finish_quiesce(struct nvme *n)
{
    void (*done)(void *arg) = n->quiesced;

    n->quiesced = NULL;
    n->quiet = true;
    nvme_tick(n); /* it may be saved now */
    if (done)
        done(n->quiesced_arg);
}

/* Whoever waits for the last request. */
static void try_stop(struct nvme *n)
{
    if (n->inflight)
        return; /* work comes again with the last */
    n->stopping = false;
    if (n->resetting)
        finish_reset(n);
    n->resetting = false;
    if (n->quiesced)
        finish_quiesce(n);
}

void nvme_quiesce(struct nvme *n, void (*done)(void *arg), void *arg)
{
    n->quiesced = done;
    n->quiesced_arg = arg;
    n->stopping = true;
    try_stop(n);
}

void nvme_resume(struct nvme *n)
{
    n->quiet = false;
    n->quiesced = NULL;
    n->stopping = n->resetting;
    nvme_work_soon(n);
}

/* ---- The work ------------------------------------------------------------------------------- */

static bool take_reset(struct nvme *n)
{
    bool wanted;

    device_lock(&n->pci.dev);
    wanted = n->regs.pending.reset;
    n->regs.pending.reset = false;
    device_unlock(&n->pci.dev);
    return wanted;
}

static void begin_reset(struct nvme *n)
{
    n->stopping = n->resetting = true;
    cancel_all(n);
}

static void serve(struct nvme *n, const struct nvme_regs *r)
{
    if (n->active && !n->failed) {
        nvme_doorbells(n, r);
        if (r->pending.bad_doorbell)
            nvme_event(n, NVME_EV_BAD_DOORBELL);
        nvme_serve(n);
        nvme_update_intx(n);
    }
    if (r->pending.shutdown)
        nvme_shutdown(n);
}

void nvme_work(void *arg)
{
    struct nvme *n = arg;
    struct nvme_regs r;

    if (n->quiet || !n->ready)
        return; /* what is pending waits for nvme_resume() */
    if (!n->resetting && take_reset(n))
        begin_reset(n);
    if (n->stopping)
        try_stop(n);
    if (n->stopping || n->quiet)
        return;
    device_lock(&n->pci.dev);
    r = n->regs;
    n->regs.pending = (struct nvme_pending){.reset = r.pending.reset};
    device_unlock(&n->pci.dev);
    if (r.pending.restored)
        restore(n);
    if (!n->active && (r.cc & NVME_CC_EN))
        enable(n, &r);
    serve(n, &r);
    if (r.pending.reset)
        nvme_work_soon(n); /* written meanwhile */
}
