/* SPDX-License-Identifier: MIT */
/* A whole board with one device of every kind, and a driver of all of them that works from outside
 * of any guest: the test is the CPU. See hostile.c.
 *
 * What the driver does goes through the board's bus, as a CPU's accesses do, while the devices work
 * on the loop's own thread. Guest memory is reached by volatile accesses which the thread sanitizer
 * does not look at: guests race with devices as they please. */
#ifndef VZ_TESTS_HOSTILE_H
#define VZ_TESTS_HOSTILE_H

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <pthread.h>

#include "board/pc/board.h"
#include "loop/loop.h"
#include "virtio/virtio.h"

#define RAM_SIZE   (32 * MIB)
#define RINGS_BASE (4 * MIB)  /* of device i, queue q: RINGS_BASE + i MiB + q * 32 KiB */
#define DATA_BASE  (16 * MIB) /* of device i: 1 MiB from here + i MiB */
#define RING_SIZE  16u
#define SLOTS_MAX  8u
#define QUEUES_MAX 10u
#define MARK_LEN   32u

#define unwatched __attribute__((no_sanitize("thread"))) noinline

enum kind { BLK, NET, CONSOLE, RNG, BALLOON, VSOCK, KINDS };

struct ring {
    gpa_t desc, avail, used;
    uint16_t size, free, made, seen; /* next descriptor; requests made available, and answered */
};

struct victim {
    const char *name;
    enum kind kind;
    struct virtio_dev *dev;
    uint32_t config[64]; /* as the firmware left it */
    unsigned msix_cap, window_cap;
    gpa_t bar, msix;
    unsigned queues;
    struct ring ring[QUEUES_MAX];
    unsigned broken; /* times it was found in DEVICE_NEEDS_RESET */
};

struct world {
    struct loop *loop;
    struct loop_work host_work; /* what the host does meanwhile */
    pthread_t loop_thread;
    struct device_slots *slots;
    struct char_dev *line;
    struct blk *blk;
    struct net *net;
    struct board *board;
    struct hv_vcpu *cpu;
    int net_peer, line_peer;
    struct victim device[KINDS];
    uint64_t random;
    bool alone; /* no other thread writes registers */
};

void fail(const char *fmt, ...) printf_like(1, 2) __attribute__((noreturn));

void world_create(struct world *w);
void world_destroy(struct world *w);
void world_begin(struct world *w); /* the loop turns */
void world_end(struct world *w);
/* Put every device's configuration space back, and its BARs with it. */
void world_restore(struct world *w);

uint64_t bus_rd(struct world *w, gpa_t gpa, unsigned size);
void bus_wr(struct world *w, gpa_t gpa, unsigned size, uint64_t value);
uint32_t cfg_rd(struct world *w, const struct victim *d, unsigned reg, unsigned size);
void cfg_wr(struct world *w, const struct victim *d, unsigned reg, unsigned size, uint32_t value);
uint64_t dev_rd(struct world *w, const struct victim *d, unsigned reg, unsigned size);
void dev_wr(struct world *w, const struct victim *d, unsigned reg, unsigned size, uint64_t value);

void ram_put(struct world *w, gpa_t gpa, const void *data, size_t len);
void ram_get(struct world *w, gpa_t gpa, void *data, size_t len);

/* Reset, and wait for its end; the test fails where there is none. */
void dev_reset(struct world *w, struct victim *d);
/* Reset, negotiate, all queues, DRIVER_OK. */
void dev_start(struct world *w, struct victim *d, uint64_t features);
uint64_t dev_offered(struct world *w, const struct victim *d);
uint8_t dev_status(struct world *w, const struct victim *d);

struct buf {
    gpa_t gpa;
    uint32_t len;
    bool in;
};

/* Make a chain available and kick. */
void ring_add(struct world *w, struct victim *d, unsigned queue, const struct buf *buf,
              unsigned count);
void ring_kick(struct world *w, const struct victim *d, unsigned queue);
/* Wait for the next used element, return the bytes written; fails the test after a minute or so. */
uint32_t ring_wait(struct world *w, struct victim *d, unsigned queue);

#endif
