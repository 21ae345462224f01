/* SPDX-License-Identifier: MIT */
/* The controller's insides, for the files of nvme/. Section numbers are those of NVM Express 1.4.
 *
 *   nvme.c           registers: what the guest's accesses do at once, and what they leave to the loop
 *   nvme_ctrl.c      the loop's side: enable, reset, shutdown, coming to rest
 *   nvme_queue.c     taking commands from submission queues, putting completions, interrupts
 *   nvme_dma.c       PRP and SGL lists
 *   nvme_io.c        commands of the NVM set: what they become on the disk
 *   nvme_admin.c     commands of the admin set; queues made and deleted
 *   nvme_identify.c, nvme_feature.c, nvme_log.c   data structures
 *   nvme_event.c     asynchronous events
 *   nvme_state.c     what is saved
 *
 * A command is taken from its queue only when there is room in the completion queue for its answer,
 * and memory for what it needs on the way; so nothing can get stuck behind it. */
#ifndef VZ_NVME_NVME_IMPL_H
#define VZ_NVME_NVME_IMPL_H

#include <sys/queue.h>

#include "block/blk.h"
#include "bus/bell.h"
#include "loop/loop.h"
#include "mem/mem.h"
#include "nvme/nvme.h"
#include "nvme/nvme_spec.h"
#include "pci/pci.h"

#define NVME_IO_QUEUES     16u                   /* pairs */
#define NVME_QUEUES        (NVME_IO_QUEUES + 1u) /* with the admin queues */
#define NVME_QUEUE_ENTRIES 1024u                 /* of an I/O queue; the admin's: 4096 (AQA) */
#define NVME_MPS_MAX       4u                    /* memory pages of up to 64 KiB */
#define NVME_MDTS          8u                    /* in minimum pages: */
#define NVME_TRANSFER_MAX  (UINT64_C(4096) << NVME_MDTS)
#define NVME_IOV_MAX       258u                  /* for all pages of a transfer that is not aligned */
#define NVME_REQUESTS      512u                  /* under way at a time, of all queues */
#define NVME_BOUNCE_MAX    UINT64_C(65536) /* of a request, when its data is the host's only */
#define NVME_AERL          4u                    /* asynchronous event requests held */
#define NVME_ERRORS        16u                   /* entries of the error log */
#define NVME_TEMPERATURE   298u                  /* K; nothing gets warm here */
#define NVME_TEMPERATURE_WARNING  343u
#define NVME_TEMPERATURE_CRITICAL 373u

struct nvme_cq {
    bool valid, ien, phase;
    uint16_t vector;
    uint32_t size; /* entries */
    uint16_t head, tail;
    uint64_t gpa;
    /* Derived, or empty at rest. */
    uint8_t *ring;
    struct mem_hold held;
    uint32_t reserved; /* entries for commands under way */
    bool news;         /* completions since the last interrupt, */
    unsigned news_count;
};

struct nvme_sq {
    bool valid;
    uint16_t cqid;
    uint32_t size; /* entries */
    uint16_t head, tail;
    uint64_t gpa;
    /* Derived, or empty at rest. */
    const uint8_t *ring;
    unsigned inflight; /* requests on disks */
    bool deleting;     /* Delete I/O Submission Queue waits for them, */
    uint16_t delete_cid;
};

struct nvme_features {
    uint32_t arbitration, error_recovery, coalescing, atomicity, async_events;
    uint16_t over, under;    /* temperature thresholds, K */
    bool write_cache;
    uint64_t no_coalescing;  /* bit per vector */
    uint64_t timestamp_ms;   /* what was set, at the time */
    uint64_t timestamp_at_ms;/* of the host's clock; saved as what has passed since */
    bool timestamp_set;
    uint8_t host_id[16];
};

struct nvme_error {
    uint64_t count, lba;
    uint16_t sqid, cid, status, location;
    uint32_t nsid;
};

/* Of the SMART log; over the controller's life. */
struct nvme_life {
    uint64_t units_read, units_written; /* of 512 bytes */
    uint64_t reads, writes;             /* commands */
    uint64_t media_errors, errors;
    uint64_t busy_ms, power_on_ms;
    uint64_t power_cycles;
};

struct nvme_ns {
    struct nvme *n;
    uint32_t nsid;
    struct blk *blk;
    bool read_only;
    unsigned lba_log2;
    uint64_t lba_count;
};

struct nvme_range {
    uint64_t offset, len; /* bytes */
};

/* A command under way on a disk. */
struct nvme_req {
    struct blk_req req;
    struct nvme_ns *ns; /* NULL: a flush of all, at range_next */
    struct nvme_sq *sq; /* NULL: the controller's own flush at shutdown */
    uint16_t cid;
    uint8_t opcode;
    uint32_t nsid;
    uint64_t slba;
    unsigned next, count;    /* ranges, or namespaces to flush */
    unsigned iov_count;      /* of the guest's memory */
    uint8_t *bounce;         /* COMPARE, VERIFY */
    struct iovec bounce_iov;
    uint64_t bounce_done, bounce_len; /* bytes of the command's */
    TAILQ_ENTRY(nvme_req) link;
    union {
        struct iovec iov[NVME_IOV_MAX];
        struct nvme_range range[NVME_DSM_RANGES_MAX];
    };
};
TAILQ_HEAD(nvme_reqs, nvme_req);

/* What registers leave to the loop. */
struct nvme_pending {
    bool reset, shutdown, restored;
    bool bad_doorbell;  /* of a queue that never is */
    uint64_t doorbells; /* bit per doorbell register that was written */
};

/* Guarded by pci.dev.lock. */
struct nvme_regs {
    uint32_t cc, csts, aqa, intm;
    uint64_t asq, acq;
    uint32_t doorbell[2 * NVME_QUEUES]; /* the last value written: SQ 0, CQ 0, SQ 1, ... (3.1.24) */
    struct nvme_pending pending;
};

struct nvme_bell {
    struct bell bell;
    struct nvme *n;
};

struct nvme {
    struct pci_dev pci;
    struct nvme_regs regs;

    /* Constant. */
    struct loop *loop;
    struct mem *mem;
    struct nvme_stats *sum;
    uint32_t trace;
    struct nvme_ns ns[NVME_NAMESPACES_MAX];
    unsigned ns_count;
    char serial[NVME_SERIAL_MAX + 1];
    uint8_t uuid[16];
    bool ready; /* whole: the loop may look at it */

    /* The loop thread's. */
    bool active;  /* between enable and reset: CSTS.RDY, */
    bool failed;  /* but broken: CSTS.CFS */
    bool warned;
    bool stopping, resetting, quiet;
    void (*quiesced)(void *arg);
    void *quiesced_arg;
    struct loop_work work, interrupt_work;
    struct loop_timer *coalesce;
    bool coalescing; /* it is armed */
    uint64_t page_size; /* bytes: CC.MPS */
    struct nvme_sq sq[NVME_QUEUES];
    struct nvme_cq cq[NVME_QUEUES];
    /* The doorbell buffer (5.7): two pages in guest memory in place of the doorbells; 0: none. */
    uint64_t shadow_gpa, event_gpa;
    uint8_t *shadow, *event; /* derived, held */
    struct mem_hold shadow_held, event_held;
    struct nvme_bell bell[2 * NVME_QUEUES];
    struct nvme_features features;
    uint32_t events, events_masked; /* nvme_event.c */
    uint16_t aer_cid[NVME_AERL];
    unsigned aer_count;
    uint32_t ns_changed; /* bit per namespace: the log */
    struct nvme_error error[NVME_ERRORS];
    struct nvme_life life;
    uint64_t since_ms; /* power_on_ms goes up to here, */
    uint64_t busy_since_ms; /* and with requests under way, busy_ms */
    /* Requests. */
    struct nvme_req *reqs;
    struct nvme_reqs free, busy;
    unsigned inflight;
    bool starved; /* somebody waits for a free one */
};

#define NVME_COUNT(n, name, k) STATS_ADD((n)->sum, name, k)

extern const struct state_field nvme_state[]; /* nvme_state.c */
int nvme_loaded(void *object, struct vz_error *err);

/* nvme.c */
void nvme_set_csts(struct nvme *n, uint32_t set);
void nvme_shutdown_done(struct nvme *n);

/* nvme_ctrl.c. Loop thread. */
void nvme_work(void *arg);
void nvme_work_soon(struct nvme *n);
/* A request is at its end. */
void nvme_req_free(struct nvme *n, struct nvme_req *r);
/* NULL: there is none left; then the queues are looked at again once there is. */
struct nvme_req *nvme_req_get(struct nvme *n);
void nvme_release_memory(struct nvme *n);

/* nvme_queue.c */
int nvme_sq_map(struct nvme *n, struct nvme_sq *q); /* 0 or -EFAULT */
int nvme_cq_map(struct nvme *n, struct nvme_cq *q);
void nvme_doorbells(struct nvme *n, const struct nvme_regs *r); /* those that were written */
void nvme_serve(struct nvme *n);
/* Answer a command that was taken from sq. status: with NVME_DNR where it is of no use to try again. */
void nvme_answer(struct nvme *n, struct nvme_sq *sq, uint16_t cid, unsigned status, uint32_t dw0);
/* Of one that holds no place in the completion queue (an event); false: there is no room. */
bool nvme_answer_late(struct nvme *n, struct nvme_sq *sq, uint16_t cid, unsigned status,
                      uint32_t dw0) must_check;
/* A command is put aside, and holds no place from here on. */
void nvme_put_aside(struct nvme *n, struct nvme_sq *sq);
void nvme_interrupt_work(void *arg);
void nvme_coalesce_timer(void *arg);
void nvme_update_intx(struct nvme *n);
/* The doorbell buffer at shadow_gpa and event_gpa: find it; false: not in memory. Begin to use it for a
 * queue; fresh: it says where the queue is from now on. */
bool nvme_shadow_map(struct nvme *n) must_check;
void nvme_shadow_start(struct nvme *n, unsigned qid, bool cq, bool fresh);
void nvme_shadow_stop(struct nvme *n, unsigned qid, bool cq);

/* nvme_dma.c. len bytes of the guest's memory that cmd names, to read or to write: their pieces in iov.
 * For as long as the request lasts. */
unsigned nvme_dma_map(struct nvme *n, const struct nvme_sqe *cmd, uint64_t len,
                      enum mem_access access, struct iovec *iov, unsigned *ret_count) must_check;
void nvme_dma_written(struct nvme *n, const struct iovec *iov, unsigned count);
/* Copy a data structure out to the guest, or in. Up to NVME_TRANSFER_MAX. */
unsigned nvme_dma_give(struct nvme *n, const struct nvme_sqe *cmd, const void *data, uint64_t have,
                       uint64_t len) must_check; /* zeroes behind the first have bytes */
unsigned nvme_dma_take(struct nvme *n, const struct nvme_sqe *cmd, void *data,
                       uint64_t len) must_check;

/* nvme_io.c, nvme_admin.c: a command was taken from q. They answer it, at once or later. */
void nvme_io(struct nvme *n, struct nvme_sq *q, const struct nvme_sqe *cmd);
void nvme_admin(struct nvme *n, const struct nvme_sqe *cmd);
void nvme_sq_drained(struct nvme *n, struct nvme_sq *q);
void nvme_shutdown(struct nvme *n);
struct nvme_ns *nvme_ns_find(struct nvme *n, uint32_t nsid); /* NULL: none */
void nvme_ns_size(struct nvme_ns *ns); /* look at the disk's */

/* What the rest of nvme_admin.c's commands are in. They return a status; dw0 is the answer's. */
unsigned nvme_identify(struct nvme *n, const struct nvme_sqe *cmd);
unsigned nvme_get_features(struct nvme *n, const struct nvme_sqe *cmd, uint32_t *dw0);
unsigned nvme_set_features(struct nvme *n, const struct nvme_sqe *cmd, uint32_t *dw0);
void nvme_features_reset(struct nvme *n);
unsigned nvme_get_log(struct nvme *n, const struct nvme_sqe *cmd);
/* Should an error be in the log? Then put it there. Returns the status, with NVME_MORE in that case. */
unsigned nvme_log_error(struct nvme *n, unsigned status, uint16_t sqid, uint16_t cid, uint32_t nsid,
                        uint64_t lba);
void nvme_tick(struct nvme *n); /* bring what counts time up to date */

/* nvme_event.c */
enum nvme_event {
    NVME_EV_BAD_DOORBELL,   /* of a queue that is not there */
    NVME_EV_BAD_VALUE,      /* outside of the queue */
    NVME_EV_TEMPERATURE,
    NVME_EV_NAMESPACE,
};
void nvme_event(struct nvme *n, enum nvme_event event);
void nvme_events_push(struct nvme *n); /* what waits for a request, or for room */
void nvme_event_request(struct nvme *n, uint16_t cid);
bool nvme_event_abort(struct nvme *n, uint16_t cid);
void nvme_event_log_read(struct nvme *n, uint8_t log);
bool nvme_is_warm(const struct nvme *n); /* a threshold is crossed */

static inline uint16_t nvme_sq_id(const struct nvme *n, const struct nvme_sq *q)
{
    return (uint16_t)(q - n->sq);
}

#endif
