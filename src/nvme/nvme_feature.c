/* SPDX-License-Identifier: MIT */
/* Features (5.14, 5.21): what the driver may choose. None is saved by the controller itself: after a
 * reset they are as at the beginning. */
#include <string.h>

#include "base/clock.h"
#include "base/le.h"
#include "nvme/nvme_impl.h"

#define ASYNC_KNOWN    (0xffu | NVME_ASYNC_NAMESPACES)
#define TIMESTAMP_MASK (BIT(48) - 1)
#define HOST_ID_LEN    8u /* without CTRATT's extended ones */

static uint64_t now_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}

void nvme_features_reset(struct nvme *n)
{
    n->features = (struct nvme_features){.write_cache = true, .over = NVME_TEMPERATURE_WARNING,
                                         .timestamp_at_ms = now_ms()};
}

/* What kind a feature is (5.21.1): its answer to "supported"; 0: there is none such. */
static uint32_t capabilities_of(uint8_t fid)
{
    switch (fid) {
    case NVME_FEAT_ERROR_RECOVERY: return NVME_FEAT_CAP_CHANGEABLE | NVME_FEAT_CAP_NAMESPACE;
    case NVME_FEAT_ARBITRATION:
    case NVME_FEAT_POWER:
    case NVME_FEAT_TEMPERATURE:
    case NVME_FEAT_WRITE_CACHE:
    case NVME_FEAT_QUEUES:
    case NVME_FEAT_COALESCING:
    case NVME_FEAT_VECTOR:
    case NVME_FEAT_ATOMICITY:
    case NVME_FEAT_ASYNC_EVENTS:
    case NVME_FEAT_TIMESTAMP:
    case NVME_FEAT_HOST_ID: return NVME_FEAT_CAP_CHANGEABLE;
    default: return 0;
    }
}

/* Of a namespace: which, or all of them to set it. Others are the controller's: it is asked without one, and set
 * for none alone (5.21). */
static unsigned check_namespace(struct nvme *n, uint8_t fid, uint32_t nsid, bool sets)
{
    bool any = !nsid || nsid == NVME_NSID_ALL;

    if (!any && !nvme_ns_find(n, nsid))
        return NVME_INVALID_NAMESPACE | NVME_DNR;
    if (capabilities_of(fid) & NVME_FEAT_CAP_NAMESPACE)
        return !nsid || (any && !sets) ? NVME_INVALID_NAMESPACE | NVME_DNR : NVME_OK;
    return !any && sets ? NVME_NOT_OF_NAMESPACE | NVME_DNR : NVME_OK;
}

/* ---- Temperature (5.21.1.4) ----------------------------------------------------------------- */

/* The threshold that cdw11 names; NULL: of a sensor that we have not. Sensor 0 is the composite, 15 all. */
static uint16_t *threshold(struct nvme_features *f, uint32_t cdw11)
{
    uint32_t sensor = cdw11 >> 16 & 0xf, type = cdw11 >> 20 & 3;

    if ((sensor && sensor != 15) || type > 1)
        return NULL;
    return type ? &f->under : &f->over;
}

bool nvme_is_warm(const struct nvme *n)
{
    return NVME_TEMPERATURE >= n->features.over || NVME_TEMPERATURE <= n->features.under;
}

/* ---- Time (5.21.1.14) ----------------------------------------------------------------------- */

static unsigned set_timestamp(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint8_t data[8];
    unsigned status = nvme_dma_take(n, cmd, data, sizeof(data));

    if (status)
        return status;
    n->features.timestamp_ms = load_le64(data) & TIMESTAMP_MASK;
    n->features.timestamp_at_ms = now_ms();
    n->features.timestamp_set = true;
    return NVME_OK;
}

static unsigned get_timestamp(struct nvme *n, const struct nvme_sqe *cmd)
{
    const struct nvme_features *f = &n->features;
    uint8_t data[8];

    store_le64(data, (f->timestamp_ms + now_ms() - f->timestamp_at_ms) & TIMESTAMP_MASK);
    data[6] = f->timestamp_set ? 2 : 0; /* where it comes from */
    return nvme_dma_give(n, cmd, data, sizeof(data), sizeof(data));
}

/* ---- Set ------------------------------------------------------------------------------------ */

/* 5.21.1.7: before there are any. Both numbers are less one; more than we have are not given. */
static unsigned set_queues(struct nvme *n, uint32_t wanted, uint32_t *dw0)
{
    uint32_t sq = wanted & 0xffff, cq = wanted >> 16;

    if (sq == 0xffff || cq == 0xffff)
        return NVME_INVALID_FIELD | NVME_DNR;
    for (unsigned i = 1; i < NVME_QUEUES; i++) {
        if (n->sq[i].valid || n->cq[i].valid)
            return NVME_COMMAND_SEQUENCE | NVME_DNR;
    }
    *dw0 = (NVME_IO_QUEUES - 1) * 0x10001;
    return NVME_OK;
}

static unsigned set_vector(struct nvme *n, uint32_t value)
{
    uint32_t vector = value & 0xffff;

    if (vector >= NVME_QUEUES)
        return NVME_INVALID_FIELD | NVME_DNR;
    if (value & 0x10000)
        n->features.no_coalescing |= BIT(vector);
    else
        n->features.no_coalescing &= ~BIT(vector);
    return NVME_OK;
}

static unsigned set_temperature(struct nvme *n, uint32_t value)
{
    uint16_t *at = threshold(&n->features, value);

    if (!at)
        return NVME_INVALID_FIELD | NVME_DNR;
    *at = (uint16_t)value;
    if (nvme_is_warm(n))
        nvme_event(n, NVME_EV_TEMPERATURE);
    return NVME_OK;
}

static unsigned get_host_id(struct nvme *n, const struct nvme_sqe *cmd, struct nvme_features *f)
{
    if (cmd->cdw11 & 1)
        return NVME_INVALID_FIELD | NVME_DNR; /* as below */
    return nvme_dma_give(n, cmd, f->host_id, HOST_ID_LEN, HOST_ID_LEN);
}

static unsigned set_host_id(struct nvme *n, const struct nvme_sqe *cmd)
{
    if (cmd->cdw11 & 1)
        return NVME_INVALID_FIELD | NVME_DNR; /* an extended one: CTRATT has no such thing */
    return nvme_dma_take(n, cmd, n->features.host_id, HOST_ID_LEN);
}

unsigned nvme_set_features(struct nvme *n, const struct nvme_sqe *cmd, uint32_t *dw0)
{
    struct nvme_features *f = &n->features;
    uint8_t fid = (uint8_t)cmd->cdw10;
    uint32_t v = cmd->cdw11;
    unsigned status;

    if (!capabilities_of(fid))
        return NVME_INVALID_FIELD | NVME_DNR;
    if (cmd->cdw10 & NVME_FEAT_SAVE)
        return NVME_NOT_SAVEABLE | NVME_DNR;
    status = check_namespace(n, fid, cmd->nsid, true);
    if (status)
        return status;
    switch (fid) {
    case NVME_FEAT_ARBITRATION: f->arbitration = v; break;
    case NVME_FEAT_POWER: return v & 0x1f ? NVME_INVALID_FIELD | NVME_DNR : NVME_OK; /* state 0 */
    case NVME_FEAT_TEMPERATURE: return set_temperature(n, v);
    case NVME_FEAT_ERROR_RECOVERY:
        if (v & 0x10000)
            return NVME_INVALID_FIELD | NVME_DNR; /* reads of deallocated blocks do not fail here */
        f->error_recovery = v & 0xffff;
        break;
    case NVME_FEAT_WRITE_CACHE: f->write_cache = v & 1; break;
    case NVME_FEAT_QUEUES: return set_queues(n, v, dw0);
    case NVME_FEAT_COALESCING: f->coalescing = v & 0xffff; break;
    case NVME_FEAT_VECTOR: return set_vector(n, v);
    case NVME_FEAT_ATOMICITY: f->atomicity = v & 1; break;
    case NVME_FEAT_ASYNC_EVENTS: f->async_events = v & ASYNC_KNOWN; break;
    case NVME_FEAT_TIMESTAMP: return set_timestamp(n, cmd);
    default: return set_host_id(n, cmd);
    }
    return NVME_OK;
}

/* ---- Get ------------------------------------------------------------------------------------ */

static unsigned get_vector(const struct nvme_features *f, uint32_t vector, uint32_t *dw0)
{
    if (vector >= NVME_QUEUES)
        return NVME_INVALID_FIELD | NVME_DNR;
    *dw0 = vector | (f->no_coalescing & BIT(vector) ? 0x10000 : 0);
    return NVME_OK;
}

static unsigned get_temperature(struct nvme_features *f, uint32_t cdw11, uint32_t *dw0)
{
    const uint16_t *at = threshold(f, cdw11);

    if (!at)
        return NVME_INVALID_FIELD | NVME_DNR;
    *dw0 = *at;
    return NVME_OK;
}

/* f: the current ones, or those of the beginning. */
static unsigned get(struct nvme *n, const struct nvme_sqe *cmd, struct nvme_features *f,
                    uint32_t *dw0)
{
    switch (cmd->cdw10 & 0xff) {
    case NVME_FEAT_ARBITRATION: *dw0 = f->arbitration; break;
    case NVME_FEAT_TEMPERATURE: return get_temperature(f, cmd->cdw11, dw0);
    case NVME_FEAT_ERROR_RECOVERY: *dw0 = f->error_recovery; break;
    case NVME_FEAT_WRITE_CACHE: *dw0 = f->write_cache; break;
    case NVME_FEAT_QUEUES: *dw0 = (NVME_IO_QUEUES - 1) * 0x10001; break;
    case NVME_FEAT_COALESCING: *dw0 = f->coalescing; break;
    case NVME_FEAT_VECTOR: return get_vector(f, cmd->cdw11 & 0xffff, dw0);
    case NVME_FEAT_ATOMICITY: *dw0 = f->atomicity; break;
    case NVME_FEAT_ASYNC_EVENTS: *dw0 = f->async_events; break;
    case NVME_FEAT_TIMESTAMP: return get_timestamp(n, cmd);
    case NVME_FEAT_HOST_ID: return get_host_id(n, cmd, f);
    default: break; /* power: state 0 */
    }
    return NVME_OK;
}

unsigned nvme_get_features(struct nvme *n, const struct nvme_sqe *cmd, uint32_t *dw0)
{
    struct nvme_features initial = {.write_cache = true, .over = NVME_TEMPERATURE_WARNING};
    uint8_t fid = (uint8_t)cmd->cdw10;
    unsigned status;

    if (!capabilities_of(fid))
        return NVME_INVALID_FIELD | NVME_DNR;
    status = check_namespace(n, fid, cmd->nsid, false);
    if (status)
        return status;
    switch (cmd->cdw10 >> 8 & 7) {
    case NVME_SEL_CURRENT: return get(n, cmd, &n->features, dw0);
    case NVME_SEL_DEFAULT:
    case NVME_SEL_SAVED: return get(n, cmd, &initial, dw0); /* nothing is: then the defaults */
    case NVME_SEL_SUPPORTED: *dw0 = capabilities_of(fid); return NVME_OK;
    default: return NVME_INVALID_FIELD | NVME_DNR;
    }
}
