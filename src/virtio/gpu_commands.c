/* SPDX-License-Identifier: MIT */
/* The control queue's commands [VIRTIO 1.2, 5.7.6.7]: each is copied out once, done, and answered, those
 * that we do not know too. A fence is done when its command is, since nothing is done later. */
#include <endian.h>
#include <string.h>

#include "display/edid.h"
#include "virtio/gpu_impl.h"

/* The largest of those that we know. */
union body {
    struct virtio_gpu_ctrl_hdr hdr;
    struct virtio_gpu_resource_create_2d create_2d;
    struct virtio_gpu_resource_unref unref;
    struct virtio_gpu_set_scanout set_scanout;
    struct virtio_gpu_resource_flush flush;
    struct virtio_gpu_transfer_to_host_2d transfer;
    struct virtio_gpu_resource_attach_backing attach;
    struct virtio_gpu_resource_detach_backing detach;
    struct virtio_gpu_cmd_get_edid get_edid;
    struct virtio_gpu_resource_create_blob create_blob;
    struct virtio_gpu_set_scanout_blob set_scanout_blob;
};

/* What is answered: the header is filled in last. */
union answer {
    struct virtio_gpu_ctrl_hdr hdr;
    struct virtio_gpu_resp_display_info display_info;
    struct virtio_gpu_resp_edid edid;
};

struct request {
    struct virtq_chain *chain;
    union body body;
    union answer answer;
    size_t len; /* of the answer */
};

/* ---- Each one: what it is answered with ------------------------------------------------------ */

/* Monitors stand side by side. */
static uint32_t get_display_info(struct gpu *g, struct request *rq)
{
    uint32_t x = 0;

    for (unsigned i = 0; i < g->scanouts; i++) {
        const struct display_size *size = &g->scanout[i].wish;

        rq->answer.display_info.pmodes[i].r =
            (struct virtio_gpu_rect){.x = htole32(x), .width = htole32(size->width),
                                     .height = htole32(size->height)};
        rq->answer.display_info.pmodes[i].enabled = htole32(1);
        x += size->width;
    }
    g->wish_untold = false;
    rq->len = sizeof(rq->answer.display_info);
    return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

/* Of the size that the host wishes, whatever the guest shows. */
static uint32_t get_edid(struct gpu *g, struct request *rq)
{
    uint32_t i = le32toh(rq->body.get_edid.scanout);

    if (i >= g->scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    edid_make(g->scanout[i].wish.width, g->scanout[i].wish.height, i, rq->answer.edid.edid);
    rq->answer.edid.size = htole32(EDID_SIZE);
    rq->len = sizeof(rq->answer.edid);
    return VIRTIO_GPU_RESP_OK_EDID;
}

static uint32_t create_2d(struct gpu *g, struct request *rq)
{
    return gpu_create_2d(g, &rq->body.create_2d);
}

static uint32_t create_blob(struct gpu *g, struct request *rq)
{
    return gpu_create_blob(g, &rq->body.create_blob, rq->chain);
}

static uint32_t unref(struct gpu *g, struct request *rq)
{
    struct gpu_resource *r = gpu_find(g, le32toh(rq->body.unref.resource_id));

    if (!r)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    gpu_scanouts_forget(g, r->id);
    gpu_resource_destroy(g, r);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t set_scanout(struct gpu *g, struct request *rq)
{
    return gpu_set_scanout(g, &rq->body.set_scanout);
}

static uint32_t set_scanout_blob(struct gpu *g, struct request *rq)
{
    return gpu_set_scanout_blob(g, &rq->body.set_scanout_blob);
}

static uint32_t flush(struct gpu *g, struct request *rq)
{
    return gpu_flush(g, &rq->body.flush);
}

static uint32_t transfer(struct gpu *g, struct request *rq)
{
    return gpu_transfer(g, &rq->body.transfer);
}

static uint32_t attach(struct gpu *g, struct request *rq)
{
    struct gpu_resource *r = gpu_find(g, le32toh(rq->body.attach.resource_id));

    if (!r)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    return gpu_attach(g, r, le32toh(rq->body.attach.nr_entries), rq->chain, sizeof(rq->body.attach));
}

/* A blob without its memory shows nothing. */
static uint32_t detach(struct gpu *g, struct request *rq)
{
    struct gpu_resource *r = gpu_find(g, le32toh(rq->body.detach.resource_id));

    if (!r)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (r->blob)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    gpu_detach(g, r);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* There are no capability sets [5.7.4]. */
static uint32_t no_capset(struct gpu *g, struct request *rq)
{
    return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

/* ---- All of them ---------------------------------------------------------------------------- */

static const struct command {
    uint32_t type;
    size_t size;      /* of what it must have */
    uint64_t feature; /* without which there is no such command */
    uint32_t (*fn)(struct gpu *g, struct request *rq);
} commands[] = {
    {VIRTIO_GPU_CMD_GET_DISPLAY_INFO, sizeof(struct virtio_gpu_ctrl_hdr), 0, get_display_info},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, sizeof(struct virtio_gpu_resource_create_2d), 0, create_2d},
    {VIRTIO_GPU_CMD_RESOURCE_UNREF, sizeof(struct virtio_gpu_resource_unref), 0, unref},
    {VIRTIO_GPU_CMD_SET_SCANOUT, sizeof(struct virtio_gpu_set_scanout), 0, set_scanout},
    {VIRTIO_GPU_CMD_RESOURCE_FLUSH, sizeof(struct virtio_gpu_resource_flush), 0, flush},
    {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, sizeof(struct virtio_gpu_transfer_to_host_2d), 0, transfer},
    {VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, sizeof(struct virtio_gpu_resource_attach_backing), 0,
     attach},
    {VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, sizeof(struct virtio_gpu_resource_detach_backing), 0,
     detach},
    {VIRTIO_GPU_CMD_GET_CAPSET_INFO, sizeof(struct virtio_gpu_ctrl_hdr), 0, no_capset},
    {VIRTIO_GPU_CMD_GET_CAPSET, sizeof(struct virtio_gpu_ctrl_hdr), 0, no_capset},
    {VIRTIO_GPU_CMD_GET_EDID, sizeof(struct virtio_gpu_cmd_get_edid), BIT(VIRTIO_GPU_F_EDID), get_edid},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, sizeof(struct virtio_gpu_resource_create_blob),
     BIT(VIRTIO_GPU_F_RESOURCE_BLOB), create_blob},
    {VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, sizeof(struct virtio_gpu_set_scanout_blob),
     BIT(VIRTIO_GPU_F_RESOURCE_BLOB), set_scanout_blob},
};

static const struct command *find_command(const struct gpu *g, uint32_t type)
{
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].type == type && !(commands[i].feature & ~g->dev.driver_features))
            return &commands[i];
    }
    return NULL;
}

static uint32_t perform(struct gpu *g, struct request *rq, size_t len)
{
    const struct command *c;

    if (len < sizeof(rq->body.hdr))
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    c = find_command(g, le32toh(rq->body.hdr.type));
    if (!c)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    return len < c->size ? VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER : c->fn(g, rq);
}

/* [5.7.6.7]: a fence comes back in the answer. */
static void fill_header(struct request *rq, uint32_t response)
{
    const struct virtio_gpu_ctrl_hdr *from = &rq->body.hdr;

    rq->answer.hdr = (struct virtio_gpu_ctrl_hdr){.type = htole32(response)};
    if (!(le32toh(from->flags) & VIRTIO_GPU_FLAG_FENCE))
        return;
    rq->answer.hdr.flags = from->flags & htole32(VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
    rq->answer.hdr.fence_id = from->fence_id;
    rq->answer.hdr.ctx_id = from->ctx_id;
    rq->answer.hdr.ring_idx = from->ring_idx;
}

void gpu_command(struct gpu *g, struct virtq_chain *c)
{
    struct request rq = {.chain = c, .len = sizeof(rq.answer.hdr)};
    size_t len;

    memset(&rq.body, 0, sizeof(rq.body));
    memset(&rq.answer, 0, sizeof(rq.answer));
    len = virtq_read(c, 0, &rq.body, sizeof(rq.body));
    fill_header(&rq, perform(g, &rq, len));
    virtq_push(c->queue, c, virtq_write(c, 0, &rq.answer, rq.len));
}
