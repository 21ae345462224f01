/* SPDX-License-Identifier: MIT */
/* The devices of a machine: opened, made, quieted and closed together; and one by one while it
 * runs.
 *
 * Order of life: device_slots_open() asks the host for everything; then there is a line, behind
 * which nothing is opened any more (machine/parts.c); device_slots_create() makes the models.
 * Threads as in device_kind.h. */
#ifndef VZ_DEVICE_DEVICE_SLOTS_H
#define VZ_DEVICE_DEVICE_SLOTS_H

#include "base/stats.h"
#include "device/device_kind.h"

struct config_device;
struct device_slots;
struct state_writer;
struct vz_config;

/* *env is copied; the board adds its part by device_slots_env(). 0 or -errno. */
int device_slots_new(const struct device_env *env, struct device_slots **ret) must_check;
struct device_env *device_slots_env(struct device_slots *slots);

/* Open a slot for each object of config (which outlives them) whose kind is in the list (ended by
 * NULL), in the list's order. 0 or -errno; device_slots_free() follows in any case. */
int device_slots_open(struct device_slots *slots, const struct device_kind *const kinds[],
                      const struct vz_config *config, struct vz_error *err) must_check;

/* Make the models of all slots that have none, in their order. The board has filled in its part of
 * the env. device_slots_start(), once all is there, starts those that were not. 0 or -errno. */
int device_slots_create(struct device_slots *slots, struct vz_error *err) must_check;
int device_slots_start(struct device_slots *slots, struct vz_error *err) must_check;

/* Close what is open. The models are gone, with the bus. NULL is fine. */
void device_slots_free(struct device_slots *slots);

/* ---- One by one ----------------------------------------------------------------------------- */

/* Open one more, which the configuration describes so (NULL: it does not): PCI kinds get the lowest
 * free place. Nothing of it is on the bus until device_slots_create(). 0 or -errno, and there is no
 * slot: -ENOSPC. */
int device_slots_add(struct device_slots *slots, const struct device_kind *kind,
                     const struct config_device *device, struct device_slot **ret,
                     struct vz_error *err) must_check;
/* The same of a disk on an NBD server, whose dial (disk_kind.h) it takes over, whatever comes. */
int device_slots_add_dialled(struct device_slots *slots, const struct device_kind *kind,
                             const struct config_device *device, struct nbd_dial *dial, struct device_slot **ret,
                             struct vz_error *err) must_check;

/* Take one away: its model off the bus, its host's end closed, its place free. It is quiet
 * (device_slots_quiesce()), no vCPU runs, nor does the loop. -ENOTSUP: its kind cannot be removed,
 * and nothing has changed. */
int device_slots_remove(struct device_slots *slots, struct device_slot *s) must_check;

/* The same while all goes on, for kinds that have unplug(): the guest sees it go at once, and done(arg) comes, on the loop
 * thread, maybe from inside, when the slot is gone. Until then it comes to rest with the others. */
void device_slots_unplug(struct device_slots *slots, struct device_slot *s, void (*done)(void *arg), void *arg);

/* NULL: there is none. list: as in a configuration. */
struct device_slot *device_slots_find(struct device_slots *slots, const char *list, unsigned index);
struct device_slot *device_slots_find_kind(struct device_slots *slots,
                                           const struct device_kind *kind);

/* ---- All ------------------------------------------------------------------------------------ */

/* Let all devices finish what they have under way and take nothing new: before anything that needs
 * guest memory to stand still. done(arg) comes on the loop thread, maybe from inside. */
void device_slots_quiesce(struct device_slots *slots, void (*done)(void *arg), void *arg);
/* Go on, soon, on the loop. Any thread. */
void device_slots_resume(struct device_slots *slots);

void device_slots_drain(struct device_slots *slots);
/* The machine ends: disks that depend on others (NBD servers) need not be waited for for long. Loop thread. */
void device_slots_hurry(struct device_slots *slots);
/* The loop does not turn: finish making disks longer, which it would have to hear of. */
void device_slots_settle(struct device_slots *slots);
/* All that can be. 0, or the first failure. */
int device_slots_flush(struct device_slots *slots, struct vz_error *err) must_check;
/* The state of the hosts' ends. What the other machine had and this one has not is passed over. 0 or
 * -errno. */
int device_slots_save(struct device_slots *slots, struct state_writer *w) must_check;
int device_slots_load(struct device_slots *slots, const void *data, size_t len,
                      struct vz_error *err) must_check;
/* Call fn for each slot that has something outside of the machine. */
void device_slots_identify(struct device_slots *slots,
                           void (*fn)(void *arg, const struct device_slot *s,
                                      const struct device_identity *id),
                           void *arg);
/* Any thread, these four. Copy where a peer finds the host's end of a part: 0, or -ENOENT: there is
 * no such thing, or no room for it. */
unsigned device_slots_lost_output(struct device_slots *slots);
/* Tell the counters of all layers, devices that are gone included. Any thread. */
void device_slots_stats(const struct device_slots *slots, stats_fn *fn, void *arg);
int device_slots_path(struct device_slots *slots, const char *list, unsigned index, unsigned part,
                      char *ret, size_t len);
/* What the disk has done: false: there is none. */
bool device_slots_disk_stats(struct device_slots *slots, unsigned index, struct vz_disk_stats *ret);
void device_slots_resize_stdio(struct device_slots *slots, uint16_t columns, uint16_t rows);

#endif
