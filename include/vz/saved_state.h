/* SPDX-License-Identifier: MIT */
/* Saved states: a paused machine in a file, from which one of the same configuration goes on. Apple's:
 * saveMachineStateTo(), restoreMachineStateFrom().
 *
 *     save:     paused -> saving -> paused
 *     restore:  stopped -> restoring -> paused     (or stopped, when it fails)
 *
 * The guest notices nothing but a pause: CPUs, memory and devices go on where they were, and its clocks
 * from what they showed; only the real-time clock tells the time of day. What leads out of the machine
 * does not come along: connections of its sockets and through NAT are reset, and it hears of that.
 *
 * A state goes with what the disks held at that moment: saving flushes them, but copies nothing. Who
 * wants to come back to a state after the machine has gone on keeps copies of its disks.
 *
 * A file is sealed: nobody but this user on this host can read it, or change a byte of it unnoticed; or
 * whoever knows its passphrase, anywhere. docs/state-format.md has the format. */
#ifndef VZ_SAVED_STATE_H
#define VZ_SAVED_STATE_H

#include <vz/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How far it is: bytes of memory. Comes as events do, some ten times a second. */
typedef void vz_machine_progress_fn(void *arg, struct vz_machine *machine, uint64_t done,
                                    uint64_t total);

struct vz_save_options { /* start from VZ_SAVE_OPTIONS_INIT */
    size_t size;
    const char *passphrase; /* copied; NULL: only this user on this host can restore it. The key is in
                               $XDG_DATA_HOME/vz/state.key (~/.local/share/vz), and made at need */
    bool compress;          /* memory: some three times smaller, and slower */
    /* Leave memory as it is, neither sealed nor compressed, without a passphrase: a restore maps the file
     * (where the memory is not preallocated, of huge pages, or shared with programs that run directly), and the
     * guest goes on at once, whatever its size, reading what it uses. Who can read the file can read the
     * guest's memory; the file must not be changed while a machine that was restored from it runs. */
    bool plain_memory;
    vz_machine_progress_fn *progress; /* may be NULL */
    void *progress_arg;
    /* Have the saving end when the machine's state is taken, some milliseconds, so that the machine may go on, and the file be
     * written meanwhile: by a child process, for which the kernel keeps memory as it was. written is called then, as a
     * completion, exactly once: NULL, or what went wrong; not if the saving itself failed. Of plain memory, and not where
     * programs of the guest run directly or memory is of the host's pool: there it is written first. What the guest has written to its
     * disks is for vz_machine_set_disks() to write out. */
    bool background;
    vz_machine_done_fn *written;
    void *written_arg;
    bool unsynced; /* the file is not put on stable storage: nobody needs it after a loss of power */
};
#define VZ_SAVE_OPTIONS_INIT VZ_INIT_(struct vz_save_options, )

struct vz_restore_options { /* start from VZ_RESTORE_OPTIONS_INIT */
    size_t size;
    const char *passphrase; /* copied; NULL: the file was saved without one */
    vz_machine_progress_fn *progress; /* may be NULL */
    void *progress_arg;
    /* It is a copy: others go on, or will, from the same state. The guest gets another generation ID, of which it is
     * told before anything else when it goes on: Linux' random numbers begin anew then (since 5.18). What the guest keeps
     * of its identity is for the agent to change (vz_agent_new_identity()). Machine identifier and MAC addresses of
     * the configuration may be others than those that were saved: the guest finds them when it starts the next time. */
    bool new_generation;
    /* Map plain memory in any case: copies of one file share what they do not write, and nothing is read before
     * it is used. On the software CPU that means that the guest's programs do not run directly. */
    bool map_memory;
};
#define VZ_RESTORE_OPTIONS_INIT VZ_INIT_(struct vz_restore_options, )

/**
 * Can machines of this configuration be saved?
 * Returns 0; or -1 with VZ_ERROR_UNSUPPORTED, and what is in the way. Since 0.4. */
VZ_PUBLIC int vz_config_validate_save_restore_support(const struct vz_config *config,
                                                      struct vz_error *err);

/**
 * Save a paused machine, which stays paused. The file appears under its name once it is whole and (but for
 * unsynced) on stable storage; until then an older state of that name stays what it was. Its mode is 0600.
 * @path     copied. What is there must be a saved state, or nothing
 * @options  NULL for the defaults
 * @fn       as of vz_machine_start():
 *   VZ_ERROR_INVALID_STATE      it is not paused
 *   VZ_ERROR_UNSUPPORTED        see vz_config_validate_save_restore_support()
 *   VZ_ERROR_OUT_OF_DISK_SPACE  no room for the file
 *   VZ_ERROR_SAVE               it cannot be written; something else is there
 *   VZ_ERROR_IO                 a disk's data, or the user's key, cannot be written
 *   VZ_ERROR_CANCELLED, VZ_ERROR_NO_MEMORY
 * Returns 0; or -1, and fn is not called, without memory or path. Since 0.4. */
VZ_PUBLIC int vz_machine_save(struct vz_machine *machine, const char *path,
                              const struct vz_save_options *options, vz_machine_done_fn *fn,
                              void *arg);

/**
 * Make a stopped machine what was saved; it is paused then. The configuration must be the same in all
 * that the guest sees; files, networks and lines of the host may be others. When it fails, the machine
 * is stopped as before, and nothing of it has run.
 * @fn  as of vz_machine_start():
 *   VZ_ERROR_INVALID_TRANSITION  it is not stopped
 *   VZ_ERROR_RESTORE             the file cannot be restored, and why: "permission denied: ..." (another
 *                                key, wrong passphrase), damaged, cut off, of a newer version, of another
 *                                configuration (the first member that differs), of a CPU that this one
 *                                cannot stand for (the first feature)
 *   VZ_ERROR_CANCELLED, and those of vz_machine_start()
 * Returns 0; or -1, and fn is not called, without memory or path. Since 0.4. */
VZ_PUBLIC int vz_machine_restore(struct vz_machine *machine, const char *path,
                                 const struct vz_restore_options *options, vz_machine_done_fn *fn,
                                 void *arg);

/* The same, and wait for the end: see vz_machine_start_wait(). Since 0.4. */
VZ_PUBLIC int vz_machine_save_wait(struct vz_machine *machine, const char *path,
                                   const struct vz_save_options *options, struct vz_error *err);
VZ_PUBLIC int vz_machine_restore_wait(struct vz_machine *machine, const char *path,
                                      const struct vz_restore_options *options,
                                      struct vz_error *err);

/* Would it be accepted now? Since 0.4. */
VZ_PUBLIC bool vz_machine_can_save(const struct vz_machine *machine);
VZ_PUBLIC bool vz_machine_can_restore(const struct vz_machine *machine);

/* Have the save or restore under way end with VZ_ERROR_CANCELLED, unless it ends first; also a start, where
 * it waits for an NBD server. Any thread. Since 0.4. */
VZ_PUBLIC void vz_machine_cancel(struct vz_machine *machine);

/**
 * The configuration of the machine that was saved, complete.
 * @passphrase  NULL: it was saved without one
 * Returns a new reference; or NULL with VZ_ERROR_RESTORE, VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_config *vz_saved_state_config(const char *path, const char *passphrase,
                                                  struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
