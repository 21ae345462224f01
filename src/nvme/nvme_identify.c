/* SPDX-License-Identifier: MIT */
/* Identify (5.15): what the controller and its namespaces are. */
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "nvme/nvme_impl.h"

#define MODEL    "vz NVMe controller"
#define FIRMWARE "1"

enum { OACS_DOORBELL_BUFFER = 0x100, OAES_NAMESPACE = 0x100, CNTRLTYPE_IO = 1 };
enum { FRMW_ONE_READ_ONLY_SLOT = 3, LPA_COMMANDS = 2, LPA_EXTENDED = 4 };
enum { ONCS_COMPARE = 1, ONCS_DSM = 4, ONCS_WRITE_ZEROES = 8, ONCS_SELECT = 16, ONCS_TIMESTAMP = 64,
       ONCS_VERIFY = 128 };
enum { VWC_PRESENT = 1, VWC_FLUSH_ALL = 6 };
enum { SGLS_ANY_ALIGNMENT = 1, SGLS_LONGER_IS_FINE = 0x40000 };
enum { POWER_CENTIWATTS = 2500, POWER_MICROSECONDS = 10 };

/* ASCII, padded with spaces, without a NUL (1.5). */
static void put_text(uint8_t *to, size_t len, const char *text)
{
    size_t n = strnlen(text, len);

    memset(to, ' ', len);
    memcpy(to, text, n);
}

/* An identity that is the same each time: a name-based UUID (RFC 9562, version 8) of the machine's, the
 * serial number, and which of its namespaces; 0: the controller. */
static void make_uuid(const struct nvme *n, uint32_t nsid, uint8_t ret[16])
{
    uint64_t h[2] = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x9ae16a3b2f90404f)};
    uint8_t name[16 + NVME_SERIAL_MAX + 4] = {0};

    memcpy(name, n->uuid, 16);
    memcpy(name + 16, n->serial, strnlen(n->serial, NVME_SERIAL_MAX));
    store_le32(name + 16 + NVME_SERIAL_MAX, nsid);
    for (unsigned i = 0; i < 2 * sizeof(name); i++) { /* FNV-1a, twice over, with two beginnings */
        h[0] = (h[0] ^ name[i % sizeof(name)]) * UINT64_C(0x100000001b3);
        h[1] = (h[1] ^ name[i % sizeof(name)]) * UINT64_C(0x100000001b3);
    }
    memcpy(ret, h, 16);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x80);
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

/* The controller's name for the world: Linux refuses a second one of the same name. */
static void put_nqn(const struct nvme *n, uint8_t *at)
{
    uint8_t u[16];

    make_uuid(n, 0, u);
    snprintf((char *)at, 256,
             "nqn.2014-08.org.nvmexpress:uuid:"
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
             u[14], u[15]);
}

static void describe_controller(const struct nvme *n, uint8_t *d)
{
    store_le16(d + NVME_ID_VID, n->pci.ops->vendor);
    store_le16(d + NVME_ID_SSVID, n->pci.ops->subsystem_vendor);
    put_text(d + NVME_ID_SN, NVME_ID_SN_LEN, n->serial);
    put_text(d + NVME_ID_MN, NVME_ID_MN_LEN, MODEL);
    put_text(d + NVME_ID_FR, NVME_ID_FR_LEN, FIRMWARE);
    d[NVME_ID_MDTS] = NVME_MDTS;
    store_le32(d + NVME_ID_VER, NVME_VS_1_4);
    store_le32(d + NVME_ID_OAES, OAES_NAMESPACE);
    d[NVME_ID_CNTRLTYPE] = CNTRLTYPE_IO;
    store_le16(d + NVME_ID_OACS, OACS_DOORBELL_BUFFER);
    d[NVME_ID_ACL] = 3;
    d[NVME_ID_AERL] = NVME_AERL - 1;
    d[NVME_ID_FRMW] = FRMW_ONE_READ_ONLY_SLOT;
    d[NVME_ID_LPA] = LPA_COMMANDS | LPA_EXTENDED;
    d[NVME_ID_ELPE] = NVME_ERRORS - 1;
    store_le16(d + NVME_ID_WCTEMP, NVME_TEMPERATURE_WARNING);
    store_le16(d + NVME_ID_CCTEMP, NVME_TEMPERATURE_CRITICAL);
    d[NVME_ID_SQES] = NVME_SQE_SIZE_LOG2 * 0x11;
    d[NVME_ID_CQES] = NVME_CQE_SIZE_LOG2 * 0x11;
    store_le32(d + NVME_ID_NN, n->ns_count);
    store_le16(d + NVME_ID_ONCS, ONCS_COMPARE | ONCS_DSM | ONCS_WRITE_ZEROES | ONCS_SELECT |
                                     ONCS_TIMESTAMP | ONCS_VERIFY);
    d[NVME_ID_VWC] = VWC_PRESENT | VWC_FLUSH_ALL;
    store_le32(d + NVME_ID_SGLS, SGLS_ANY_ALIGNMENT | SGLS_LONGER_IS_FINE);
    put_nqn(n, d + NVME_ID_SUBNQN);
    store_le16(d + NVME_ID_PSD0, POWER_CENTIWATTS);
    store_le32(d + NVME_ID_PSD0 + 4, POWER_MICROSECONDS);
    store_le32(d + NVME_ID_PSD0 + 8, POWER_MICROSECONDS);
}

/* In blocks less one, of 1 block at least. */
static void put_granularity(uint8_t *at, const struct nvme_ns *ns, uint32_t bytes)
{
    uint32_t blocks = MAX(bytes >> ns->lba_log2, 1u);

    store_le16(at, (uint16_t)(MIN(blocks, 0x10000u) - 1));
}

static void describe_namespace(const struct nvme_ns *ns, uint8_t *d)
{
    const struct blk *b = ns->blk;

    store_le64(d + NVME_NS_NSZE, ns->lba_count);
    store_le64(d + NVME_NS_NCAP, ns->lba_count);
    store_le64(d + NVME_NS_NUSE, ns->lba_count);
    d[NVME_NS_NSFEAT] = NVME_NSFEAT_OPTPERF;
    d[NVME_NS_DLFEAT] = NVME_DLFEAT_WZ_DEAC;
    put_granularity(d + NVME_NS_NPWG, ns, b->physical_block_size);
    put_granularity(d + NVME_NS_NPWA, ns, b->physical_block_size);
    put_granularity(d + NVME_NS_NPDG, ns, b->discard_granularity);
    put_granularity(d + NVME_NS_NPDA, ns, b->discard_granularity);
    put_granularity(d + NVME_NS_NOWS, ns, b->physical_block_size);
    d[NVME_NS_NSATTR] = ns->read_only ? NVME_NSATTR_PROTECTED : 0;
    d[NVME_NS_LBAF0 + 2] = (uint8_t)ns->lba_log2;
}

/* 5.15.2.1; one that is not there, but might be, is all zeroes; here all are there. */
static unsigned identify_namespace(struct nvme *n, uint32_t nsid, uint8_t *d)
{
    const struct nvme_ns *ns = nvme_ns_find(n, nsid);

    if (!ns)
        return NVME_INVALID_NAMESPACE | NVME_DNR;
    describe_namespace(ns, d);
    return NVME_OK;
}

static unsigned list_active(struct nvme *n, uint32_t above, uint8_t *d)
{
    if (above >= NVME_NSID_ALL - 1)
        return NVME_INVALID_NAMESPACE | NVME_DNR; /* 5.15.2.3 */
    for (uint32_t nsid = above + 1, i = 0; nsid <= n->ns_count; nsid++, i++)
        store_le32(d + 4 * i, nsid);
    return NVME_OK;
}

static unsigned list_descriptors(struct nvme *n, uint32_t nsid, uint8_t *d)
{
    if (!nvme_ns_find(n, nsid))
        return NVME_INVALID_NAMESPACE | NVME_DNR;
    d[0] = NVME_NIDT_UUID;
    d[1] = 16;
    make_uuid(n, nsid, d + 4);
    return NVME_OK;
}

unsigned nvme_identify(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint8_t data[NVME_IDENTIFY_SIZE] = {0};
    unsigned status = NVME_OK;

    switch (cmd->cdw10 & 0xff) {
    case NVME_CNS_NAMESPACE: status = identify_namespace(n, cmd->nsid, data); break;
    case NVME_CNS_CONTROLLER: describe_controller(n, data); break;
    case NVME_CNS_ACTIVE: status = list_active(n, cmd->nsid, data); break;
    case NVME_CNS_DESCRIPTORS: status = list_descriptors(n, cmd->nsid, data); break;
    default: status = NVME_INVALID_FIELD | NVME_DNR;
    }
    return status ? status : nvme_dma_give(n, cmd, data, sizeof(data), sizeof(data));
}
