/* SPDX-License-Identifier: MIT */
/* NVM Express Base Specification 1.4: what this controller uses of its registers, commands and data
 * structures. Names and values as there; all fields are little-endian. Nothing else is in here. */
#ifndef VZ_NVME_NVME_SPEC_H
#define VZ_NVME_NVME_SPEC_H

#include "base/compiler.h"

/* ---- Registers (3.1) ------------------------------------------------------------------------ */

enum {
    NVME_REG_CAP = 0x00, NVME_REG_VS = 0x08, NVME_REG_INTMS = 0x0c, NVME_REG_INTMC = 0x10,
    NVME_REG_CC = 0x14, NVME_REG_CSTS = 0x1c, NVME_REG_NSSR = 0x20, NVME_REG_AQA = 0x24,
    NVME_REG_ASQ = 0x28, NVME_REG_ACQ = 0x30, NVME_REG_DOORBELLS = 0x1000,
};

#define NVME_VS_1_4 0x00010400u

#define NVME_CAP_CQR        BIT(16)
#define NVME_CAP_TO(v)      ((uint64_t)(v) << 24) /* in 500 ms */
#define NVME_CAP_CSS_NVM    BIT(37)
#define NVME_CAP_MPSMAX(v)  ((uint64_t)(v) << 52)

#define NVME_CC_EN          0x1u
#define NVME_CC_CSS(cc)     ((cc) >> 4 & 7)
#define NVME_CC_MPS(cc)     ((cc) >> 7 & 0xf)
#define NVME_CC_AMS(cc)     ((cc) >> 11 & 7)
#define NVME_CC_SHN(cc)     ((cc) >> 14 & 3)
#define NVME_CC_IOSQES(cc)  ((cc) >> 16 & 0xf)
#define NVME_CC_IOCQES(cc)  ((cc) >> 20 & 0xf)
#define NVME_CC_FIXED       0x00003ff0u /* CSS, MPS, AMS: not while enabled */
#define NVME_CC_WRITABLE    0x00fffff1u

#define NVME_CSTS_RDY       0x1u
#define NVME_CSTS_CFS       0x2u
#define NVME_CSTS_SHST      0xcu
#define NVME_CSTS_SHST_BUSY 0x4u
#define NVME_CSTS_SHST_DONE 0x8u

#define NVME_AQA_ASQS(aqa)  ((aqa) & 0xfff)
#define NVME_AQA_ACQS(aqa)  ((aqa) >> 16 & 0xfff)

/* ---- Queue entries (4.2, 4.6) --------------------------------------------------------------- */

#define NVME_SQE_SIZE_LOG2 6
#define NVME_CQE_SIZE_LOG2 4

struct nvme_sqe {
    uint8_t opcode;
    uint8_t flags; /* FUSE 1:0, PSDT 7:6 */
    uint16_t cid;
    uint32_t nsid;
    uint32_t cdw2, cdw3;
    uint64_t mptr;
    uint64_t prp1, prp2; /* or an SGL descriptor */
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_sqe) == 1 << NVME_SQE_SIZE_LOG2, "4.2");

#define NVME_SQE_FUSE(flags) ((flags) & 3)
#define NVME_SQE_PSDT(flags) ((flags) >> 6)

struct nvme_cqe {
    uint32_t dw0, dw1;
    uint16_t sq_head, sq_id;
    uint16_t cid;
    uint16_t status; /* phase tag in bit 0 */
};
_Static_assert(sizeof(struct nvme_cqe) == 1 << NVME_CQE_SIZE_LOG2, "4.6");

#define NVME_NSID_ALL 0xffffffffu

/* SGL descriptors (4.4): 16 bytes, of which the last is type and subtype. */
struct nvme_sgl {
    uint64_t address;
    uint32_t len;
    uint8_t reserved[3];
    uint8_t id;
};
_Static_assert(sizeof(struct nvme_sgl) == 16, "4.4");

enum { NVME_SGL_DATA = 0, NVME_SGL_BIT_BUCKET = 1, NVME_SGL_SEGMENT = 2,
       NVME_SGL_LAST_SEGMENT = 3 };

/* ---- Status (4.6.1): code type in bits 10:8, code in 7:0, as this controller passes it on ------- */

enum nvme_status {
    NVME_OK = 0,
    NVME_INVALID_OPCODE = 0x001, NVME_INVALID_FIELD = 0x002, NVME_CID_CONFLICT = 0x003,
    NVME_DATA_TRANSFER = 0x004, NVME_INTERNAL = 0x006, NVME_ABORT_REQUESTED = 0x007,
    NVME_ABORT_SQ_DELETION = 0x008, NVME_INVALID_NAMESPACE = 0x00b, NVME_COMMAND_SEQUENCE = 0x00c,
    NVME_SGL_SEGMENT_INVALID = 0x00d, NVME_SGL_COUNT_INVALID = 0x00e,
    NVME_SGL_LENGTH_INVALID = 0x00f, NVME_SGL_TYPE_INVALID = 0x011, NVME_PRP_OFFSET = 0x013,
    NVME_WRITE_PROTECTED = 0x020, NVME_LBA_RANGE = 0x080, NVME_CAPACITY_EXCEEDED = 0x081,
    NVME_CQ_INVALID = 0x100, NVME_QID_INVALID = 0x101, NVME_QUEUE_SIZE = 0x102,
    NVME_ASYNC_LIMIT = 0x105, NVME_FIRMWARE_SLOT = 0x106, NVME_VECTOR_INVALID = 0x108,
    NVME_LOG_PAGE_INVALID = 0x109, NVME_QUEUE_DELETION = 0x10c, NVME_NOT_SAVEABLE = 0x10d,
    NVME_NOT_CHANGEABLE = 0x10e, NVME_NOT_OF_NAMESPACE = 0x10f,
    NVME_WRITE_FAULT = 0x280, NVME_READ_ERROR = 0x281, NVME_COMPARE_FAILURE = 0x285,
    NVME_STATUS_CODE = 0x7ff,
    NVME_MORE = 0x2000, NVME_DNR = 0x4000,
};

/* ---- Commands (5, 6) ------------------------------------------------------------------------ */

enum {
    NVME_ADMIN_DELETE_SQ = 0x00, NVME_ADMIN_CREATE_SQ = 0x01, NVME_ADMIN_GET_LOG = 0x02,
    NVME_ADMIN_DELETE_CQ = 0x04, NVME_ADMIN_CREATE_CQ = 0x05, NVME_ADMIN_IDENTIFY = 0x06,
    NVME_ADMIN_ABORT = 0x08, NVME_ADMIN_SET_FEATURES = 0x09, NVME_ADMIN_GET_FEATURES = 0x0a,
    NVME_ADMIN_ASYNC_EVENT = 0x0c, NVME_ADMIN_DOORBELL_BUFFER = 0x7c,
};
enum {
    NVME_IO_FLUSH = 0x00, NVME_IO_WRITE = 0x01, NVME_IO_READ = 0x02, NVME_IO_COMPARE = 0x05,
    NVME_IO_WRITE_ZEROES = 0x08, NVME_IO_DSM = 0x09, NVME_IO_VERIFY = 0x0c,
};

#define NVME_RW_FUA          BIT(30) /* CDW12 */
#define NVME_WZ_DEAC         BIT(25) /* CDW12 */
#define NVME_DSM_AD          BIT(2)  /* CDW11 */
#define NVME_DSM_RANGES_MAX  256u

struct nvme_dsm_range {
    uint32_t cattr, nlb;
    uint64_t slba;
};
_Static_assert(sizeof(struct nvme_dsm_range) == 16, "6.7");

#define NVME_QUEUE_PC        0x1u /* CDW11 of Create I/O ... Queue */
#define NVME_QUEUE_IEN       0x2u

enum { NVME_CNS_NAMESPACE = 0x00, NVME_CNS_CONTROLLER = 0x01, NVME_CNS_ACTIVE = 0x02,
       NVME_CNS_DESCRIPTORS = 0x03 };

enum {
    NVME_LOG_ERRORS = 0x01, NVME_LOG_SMART = 0x02, NVME_LOG_FIRMWARE = 0x03,
    NVME_LOG_CHANGED = 0x04, NVME_LOG_COMMANDS = 0x05,
};

enum {
    NVME_FEAT_ARBITRATION = 0x01, NVME_FEAT_POWER = 0x02, NVME_FEAT_TEMPERATURE = 0x04,
    NVME_FEAT_ERROR_RECOVERY = 0x05, NVME_FEAT_WRITE_CACHE = 0x06, NVME_FEAT_QUEUES = 0x07,
    NVME_FEAT_COALESCING = 0x08, NVME_FEAT_VECTOR = 0x09, NVME_FEAT_ATOMICITY = 0x0a,
    NVME_FEAT_ASYNC_EVENTS = 0x0b, NVME_FEAT_TIMESTAMP = 0x0e, NVME_FEAT_HOST_ID = 0x81,
};
#define NVME_FEAT_SAVE 0x80000000u /* CDW10 of Set Features */
enum { NVME_SEL_CURRENT, NVME_SEL_DEFAULT, NVME_SEL_SAVED, NVME_SEL_SUPPORTED };
enum { NVME_FEAT_CAP_NAMESPACE = 2, NVME_FEAT_CAP_CHANGEABLE = 4 };

/* Asynchronous events (5.2.1): type in bits 2:0, information in 15:8, log page in 23:16. */
enum { NVME_EVENT_ERROR = 0, NVME_EVENT_SMART = 1, NVME_EVENT_NOTICE = 2 };
#define NVME_ASYNC_TEMPERATURE 0x02u
#define NVME_ASYNC_NAMESPACES  0x100u

#define NVME_SMART_TEMPERATURE 0x02u /* critical warning */

/* ---- Identify data (5.15) by offset ------------------------------------------------------------ */

#define NVME_IDENTIFY_SIZE 4096u

enum {
    NVME_ID_VID = 0, NVME_ID_SSVID = 2, NVME_ID_SN = 4, NVME_ID_MN = 24, NVME_ID_FR = 64,
    NVME_ID_RAB = 72, NVME_ID_IEEE = 73, NVME_ID_CMIC = 76, NVME_ID_MDTS = 77, NVME_ID_CNTLID = 78,
    NVME_ID_VER = 80, NVME_ID_RTD3R = 84, NVME_ID_RTD3E = 88, NVME_ID_OAES = 92,
    NVME_ID_CTRATT = 96, NVME_ID_CNTRLTYPE = 111, NVME_ID_OACS = 256, NVME_ID_ACL = 258,
    NVME_ID_AERL = 259, NVME_ID_FRMW = 260, NVME_ID_LPA = 261, NVME_ID_ELPE = 262,
    NVME_ID_NPSS = 263, NVME_ID_WCTEMP = 266, NVME_ID_CCTEMP = 268, NVME_ID_SQES = 512,
    NVME_ID_CQES = 513, NVME_ID_MAXCMD = 514, NVME_ID_NN = 516, NVME_ID_ONCS = 520,
    NVME_ID_VWC = 525, NVME_ID_SGLS = 536, NVME_ID_SUBNQN = 768, NVME_ID_PSD0 = 2048,
};
enum { NVME_ID_SN_LEN = 20, NVME_ID_MN_LEN = 40, NVME_ID_FR_LEN = 8 };

enum {
    NVME_NS_NSZE = 0, NVME_NS_NCAP = 8, NVME_NS_NUSE = 16, NVME_NS_NSFEAT = 24, NVME_NS_NLBAF = 25,
    NVME_NS_FLBAS = 26, NVME_NS_DLFEAT = 33, NVME_NS_NPWG = 64, NVME_NS_NPWA = 66,
    NVME_NS_NPDG = 68, NVME_NS_NPDA = 70, NVME_NS_NOWS = 72, NVME_NS_NSATTR = 99,
    NVME_NS_LBAF0 = 128,
};
#define NVME_NSFEAT_OPTPERF   0x10u
#define NVME_DLFEAT_WZ_DEAC   0x08u
#define NVME_NSATTR_PROTECTED 0x01u
#define NVME_NIDT_UUID        3u

#endif
