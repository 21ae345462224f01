/* SPDX-License-Identifier: MIT */
/* Asynchronous events (5.2): the driver leaves requests with us, and one is answered when something
 * happens. After an event of a type, those of that type wait until the driver has read the log that the
 * event named. */
#include "base/trace.h"
#include "nvme/nvme_impl.h"

static const struct {
    uint8_t type, info, log;
} kinds[] = {
    [NVME_EV_BAD_DOORBELL] = {NVME_EVENT_ERROR, 0, NVME_LOG_ERRORS},
    [NVME_EV_BAD_VALUE] = {NVME_EVENT_ERROR, 1, NVME_LOG_ERRORS},
    [NVME_EV_TEMPERATURE] = {NVME_EVENT_SMART, 1, NVME_LOG_SMART},
    [NVME_EV_NAMESPACE] = {NVME_EVENT_NOTICE, 0, NVME_LOG_CHANGED},
};

static bool is_wanted(const struct nvme *n, enum nvme_event event)
{
    switch (event) {
    case NVME_EV_TEMPERATURE: return n->features.async_events & NVME_ASYNC_TEMPERATURE;
    case NVME_EV_NAMESPACE: return n->features.async_events & NVME_ASYNC_NAMESPACES;
    default: return true;
    }
}

void nvme_event(struct nvme *n, enum nvme_event event)
{
    if (!n->active || n->failed || !is_wanted(n, event))
        return;
    if (n->events & BIT(event))
        return; /* it waits to be told: a bad value in memory is seen each time that one looks */
    TRACE(n->trace, nvme, "nvme", n, "event %u", event);
    if (kinds[event].type == NVME_EVENT_ERROR)
        (void)nvme_log_error(n, NVME_INTERNAL, 0xffff, 0xffff, 0, 0); /* of no queue, and no command */
    n->events |= (uint32_t)BIT(event);
    nvme_work_soon(n); /* which pushes it */
}

void nvme_events_push(struct nvme *n)
{
    for (unsigned i = 0; i < ARRAY_SIZE(kinds) && n->aer_count && !n->failed; i++) {
        uint32_t dw0 = kinds[i].type | (uint32_t)kinds[i].info << 8 | (uint32_t)kinds[i].log << 16;

        if (!(n->events & BIT(i)) || (n->events_masked & BIT(kinds[i].type)))
            continue;
        if (!nvme_answer_late(n, n->sq, n->aer_cid[n->aer_count - 1], NVME_OK, dw0))
            return; /* again when the driver has made room */
        NVME_COUNT(n, events, 1);
        n->aer_count--;
        n->events &= ~(uint32_t)BIT(i);
        n->events_masked |= (uint32_t)BIT(kinds[i].type);
    }
}

void nvme_event_request(struct nvme *n, uint16_t cid)
{
    if (n->aer_count == NVME_AERL) {
        nvme_answer(n, n->sq, cid, NVME_ASYNC_LIMIT | NVME_DNR, 0);
        return;
    }
    nvme_put_aside(n, n->sq);
    n->aer_cid[n->aer_count++] = cid;
}

bool nvme_event_abort(struct nvme *n, uint16_t cid)
{
    for (unsigned i = 0; i < n->aer_count; i++) {
        if (n->aer_cid[i] != cid)
            continue;
        if (!nvme_answer_late(n, n->sq, cid, NVME_ABORT_REQUESTED, 0))
            return false;
        n->aer_cid[i] = n->aer_cid[--n->aer_count];
        return true;
    }
    return false;
}

void nvme_event_log_read(struct nvme *n, uint8_t log)
{
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].log == log)
            n->events_masked &= ~(uint32_t)BIT(kinds[i].type);
    }
}
