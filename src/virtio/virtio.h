/* SPDX-License-Identifier: MIT */
/* The core of every virtio device (VIRTIO 1.2): status, features, queues, configuration space.
 *
 * A device is a virtio_ops table and a struct that starts with struct virtio_dev; rng.c is the
 * smallest: copy it. The core allocates it, negotiates features, checks queue addresses, walks the
 * rings (virtq.h), keeps and saves all state. A device author writes only behaviour, and sees
 * neither the transport nor a lock.
 *
 * Threads. All of a device's code runs on the machine's loop thread (or while the loop does not
 * run: init, fini). The guest's register accesses end in the core, on vCPU threads, under the
 * transport's lock: they change registers and queue dev->work, and never wait for the loop. So a
 * driver's kicks coalesce, and a device needs no locking of its own. Register state is read from
 * the loop under the lock by the core's functions below.
 *
 * Reset. A driver that writes 0 to the status sees it read back as 0 only when every chain lent out
 * has been pushed (asynchronous work may still write to its memory until then). Meanwhile
 * virtq_pop() gives nothing. The same machinery quiesces a device before its state is saved. */
#ifndef VZ_VIRTIO_VIRTIO_H
#define VZ_VIRTIO_VIRTIO_H

#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <pthread.h>

#include "base/compiler.h"
#include "base/stats.h"
#include "device_lists.h"
#include "loop/loop.h"
#include "virtio/virtq.h"

struct pci_host;
struct vz_error;

#define VIRTIO_QUEUES_MAX 32u
#define VIRTIO_CONFIG_MAX 256u

/* Device status (2.1). */
enum {
    VIRTIO_S_ACKNOWLEDGE = 1, VIRTIO_S_DRIVER = 2, VIRTIO_S_DRIVER_OK = 4,
    VIRTIO_S_FEATURES_OK = 8, VIRTIO_S_NEEDS_RESET = 64, VIRTIO_S_FAILED = 128,
};

struct virtio_ops {
    const char *name;    /* "virtio-rng"; names its section in a saved state too */
    uint16_t id;         /* VIRTIO_ID_* (section 5) */
    uint32_t class_code; /* PCI class, 24 bits; 0: none fits */
    uint64_t features;   /* offered, besides those of queues and transport; see dev->features */
    unsigned queues;     /* default count, up to VIRTIO_QUEUES_MAX; see virtio_params */
    uint16_t queue_max;  /* slots of each: a power of two up to VIRTQ_SIZE_MAX */
    size_t request_size; /* of virtq_chain.priv; 0: none */
    bool writes_nothing; /* to in buffers, so guest memory is not asked for because of them (mem.h) */
    unsigned config_len; /* bytes of device configuration, up to VIRTIO_CONFIG_MAX */
    size_t size;         /* of the device's struct, which starts with struct virtio_dev */

    /* Optional. dev and all that virtio_params said is set up, the rest of the struct is zero.
     * May change dev->features and dev->config. options: virtio_params.options. 0 or -errno with
     * err filled in; then fini is not called. Before vCPUs run. */
    int (*init)(struct virtio_dev *dev, const void *options, struct vz_error *err);
    /* Optional. The loop is not running; nothing is in flight but what the device itself gives up
     * here without pushing it. */
    void (*fini)(struct virtio_dev *dev);
    /* Optional. The driver has set DRIVER_OK (or a saved state has been restored, or
     * virtio_resume() was called): dev->driver_features are final, queues run. kick of every queue
     * follows. */
    void (*start)(struct virtio_dev *dev);
    /* The driver added requests to queue index, perhaps: pop what there is, or what can be served.
     * Returning with requests left is fine; call again by virtio_kick(). A loop over virtq_pop() is
     * bounded: after some multiple of the queue's size it yields NULL and kick is called again
     * later. Optional for devices without queues. */
    void (*kick)(struct virtio_dev *dev, unsigned index);
    /* Optional: kicks go here, not to kick, while nothing else is to be served before them, in a device that has set
     * dev->any_thread. A vCPU's thread, under the lock: it has some other thread pop. */
    void (*kicked)(struct virtio_dev *dev, unsigned index);
    /* Optional. The driver wrote bytes of the device configuration that dev->config_wmask allows.
     * The new values are read by virtio_config_get(). */
    void (*config_written)(struct virtio_dev *dev);
    /* Optional. A reset or a quiesce waits for chains lent out: finish or cancel what is under way,
     * and give back chains held for later (virtq_unpop(), virtq_keep(), or virtq_push() with 0). Returns at once;
     * the rest may follow by and by. Not given: work in flight ends by itself. */
    void (*drain)(struct virtio_dev *dev);
    /* Optional. A quiesce is done: what waits for the loop does not come before the device goes on, which may be never. */
    void (*rest)(struct virtio_dev *dev);
    /* Optional. Back to the state after init, when the driver (or the machine) resets the device.
     * Nothing is in flight. dev->config is for the device to restore (the core does not). */
    void (*reset)(struct virtio_dev *dev);

    /* The device's own fields (offsets in its struct), beyond what the core saves: registers,
     * negotiated features, config bytes, queues. NULL: none. */
    const struct state_field *state;
    uint32_t state_version;
    /* Optional. After a load, under the transport's lock: check what spans fields. 0 or -EINVAL. */
    int (*loaded)(struct virtio_dev *dev, struct vz_error *err);
};

/* What the transport does for the core. */
struct virtio_transport {
    /* Loop thread, or with any_thread whichever has queue_lock; lock not held. */
    void (*queue_interrupt)(struct virtio_dev *dev, unsigned index);
    /* Under the lock. */
    void (*config_interrupt_locked)(struct virtio_dev *dev);
    /* Under the lock: clear what the transport itself keeps (interrupt status, vectors). */
    void (*reset_locked)(struct virtio_dev *dev);
    /* Optional; loop thread, or while the loop does not run; lock not held. The queue has started
     * (perhaps again); all of them have stopped. */
    void (*queue_started)(struct virtio_dev *dev, unsigned index);
    void (*queues_stopped)(struct virtio_dev *dev);
};

/* What vCPU threads have asked of the loop thread. Under the lock. */
struct virtio_pending {
    bool start, reset, config;
    uint32_t kick, queue_start, queue_reset; /* bit per queue */
};

/* Memory that the driver and the device share beside queues (2.10): number 0, a mem window. len 0: none. */
struct virtio_shared_memory {
    uint64_t gpa, len;
};

struct virtio_stats;
struct virtio_dev {
    /* Constant. */
    const struct virtio_ops *ops;
    const struct virtio_transport *transport;
    pthread_mutex_t *lock; /* the transport's; guards what says so */
    struct loop *loop;
    struct mem *mem;
    unsigned queue_count;
    uint64_t features;     /* offered; init may change it */
    uint8_t config_wmask[VIRTIO_CONFIG_MAX]; /* bits the driver may write; init sets them */

    /* Under the lock. */
    uint8_t status;
    uint64_t driver_features; /* what the driver accepted; constant from start to reset */
    uint32_t feature_select, driver_feature_select;
    uint16_t queue_select, config_vector;
    uint8_t config_generation;
    uint8_t isr;
    uint8_t config[VIRTIO_CONFIG_MAX]; /* little-endian, as the driver reads it */
    struct virtio_pending pending;

    /* Its queues are used by other threads, too: under queue_lock, which is taken before the lock, and which the loop's
     * thread holds in all that it does to them. Set by init. */
    bool any_thread;
    pthread_mutex_t queue_lock; /* recursive */

    /* The loop thread's; with any_thread under queue_lock. */
    struct loop_work work;
    bool active;   /* between start and the end of reset */
    bool stopping; /* reset or quiesce is under way */
    bool quiet;    /* quiesced */
    bool ready;    /* init is done */
    bool warned;   /* the driver's mistake was logged */
    uint32_t trace; /* base/trace.h */
    struct virtio_stats *sum; /* NULL: nobody counts; any thread */
    void (*quiesced)(void *arg);
    void *quiesced_arg;

    struct virtq queue[VIRTIO_QUEUES_MAX];
};

#define VIRTIO_COUNTERS(X)                                                                         \
    X(queue_turns) X(interrupts) X(resets)                                                         \
    X(broken) /* times that a driver's mistake had a device ask for a reset */

struct virtio_stats {
    VIRTIO_COUNTERS(STATS_FIELD)
};
void virtio_stats_tell(const struct virtio_stats *s, stats_fn *fn, void *arg);

struct virtio_params {
    struct loop *loop;   /* outlives the device */
    struct mem *mem;     /* likewise */
    unsigned queues;     /* 0: ops->queues */
    uint16_t queue_max;  /* 0: ops->queue_max */
    const void *options; /* for ops->init, read only there */
    struct virtio_shared_memory shared;
    struct virtio_stats *sum; /* to count into, with other devices; NULL: nowhere */
};

/* virtio_pci.c: make a device and its PCI function at devfn (INTA, MSI-X vector per queue and one
 * for the configuration). It belongs to the bus. 0 or -errno with err filled in. No vCPU runs. */
int virtio_pci_create(struct pci_host *host, unsigned devfn, const struct virtio_ops *ops,
                      const struct virtio_params *params, struct virtio_dev **ret,
                      struct vz_error *err) must_check;
/* Take it off the bus and free it, while the machine goes on. It is quiet, and no vCPU runs. */
void virtio_pci_destroy(struct virtio_dev *dev);

/* --- for devices; loop thread, or where the loop does not run --- */

static inline bool virtio_has(const struct virtio_dev *dev, unsigned feature_bit)
{
    return dev->driver_features & BIT(feature_bit);
}

/* Around virtq_*() on other threads, with any_thread. */
void virtio_lock_queues(struct virtio_dev *dev);
void virtio_unlock_queues(struct virtio_dev *dev);

/* Has the driver set DRIVER_OK, and is the device neither broken nor being reset? */
bool virtio_is_live(const struct virtio_dev *dev);

/* Have ops->kick(dev, index) called soon, from the loop. */
void virtio_kick(struct virtio_dev *dev, unsigned index);

/* Change len bytes of configuration space at off, and tell the driver if they are different now
 * (config interrupt, 2.5.1). Takes the lock. */
void virtio_config_set(struct virtio_dev *dev, unsigned off, const void *data, unsigned len);
/* The same, and the driver is not told: it has caused that itself. */
void virtio_config_put(struct virtio_dev *dev, unsigned off, const void *data, unsigned len);
void virtio_config_get(struct virtio_dev *dev, unsigned off, void *data, unsigned len);

/* The driver broke the rules: DEVICE_NEEDS_RESET, queues stop. Logged once. */
void virtio_broken(struct virtio_dev *dev, const char *fmt, ...) printf_like(2, 3);

/* --- for the machine; loop thread, or where the loop does not run --- */

/* Stop taking requests, and call done(arg) once none is in flight: from the loop, or from inside
 * when that is so already. One at a time. Then the device may be saved. */
void virtio_quiesce(struct virtio_dev *dev, void (*done)(void *arg), void *arg);
/* Go on: also before done was called, which then does not come any more. */
void virtio_resume(struct virtio_dev *dev);

/* --- for transports --- */

/* Constant fields are set by the transport first. 0 or -errno. */
int virtio_init(struct virtio_dev *dev, const struct virtio_params *params,
                struct vz_error *err) must_check;
void virtio_fini(struct virtio_dev *dev);

/* Registers; vCPU threads, under the lock. */
uint8_t virtio_status_read_locked(const struct virtio_dev *dev);
void virtio_status_write_locked(struct virtio_dev *dev, uint8_t value);
uint64_t virtio_offered(const struct virtio_dev *dev);
void virtio_driver_features_locked(struct virtio_dev *dev, unsigned word, uint32_t value);
void virtio_config_read_locked(struct virtio_dev *dev, unsigned off, unsigned len, void *data);
void virtio_config_write_locked(struct virtio_dev *dev, unsigned off, unsigned len,
                                const void *data);
void virtio_notify_locked(struct virtio_dev *dev, unsigned index);
/* The same from the loop thread, lock not held: served at once if it can be. */
void virtio_notified(struct virtio_dev *dev, unsigned index);
/* NULL when queue_select names none. */
struct virtq *virtio_selected_queue_locked(struct virtio_dev *dev);
void virtio_queue_enable_locked(struct virtio_dev *dev);
void virtio_queue_reset_locked(struct virtio_dev *dev);
/* The machine is being reset: at once for the registers, and as soon as nothing is in flight for
 * the rest. A machine quiesces its devices first. */
void virtio_machine_reset_locked(struct virtio_dev *dev);
/* After a load. */
int virtio_loaded_locked(struct virtio_dev *dev, struct vz_error *err);

extern const struct state_field virtio_dev_state[];

/* --- the devices; what params.options points to is in balloon.h, vsock.h, virtio_NAME.h --- */

#define VIRTIO_DEVICE_DECLARE(name) extern const struct virtio_ops virtio_##name##_ops;
VIRTIO_DEVICES(VIRTIO_DEVICE_DECLARE)

#endif
