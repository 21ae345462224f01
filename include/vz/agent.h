/* SPDX-License-Identifier: MIT */
/* The agent in a guest (vz-agent(8)): programs run there, files go there and come from there, and the
 * guest tells and is told what it cannot know by itself; without a network, ssh or passwords, over a
 * socket to VZ_AGENT_PORT (<vz/socket.h>). docs/agent.md has the protocol.
 *
 *     c = vz_machine_socket_connect_wait(machine, VZ_AGENT_PORT, &err);
 *     agent = vz_agent_new(dup(vz_socket_connection_fd(c)), NULL, &err);
 *
 * What a guest sends is taken for hostile: it costs no more memory than a window per stream, a text of
 * it has no control characters, and files of it come only where they were asked for. It can of course
 * lie, be slow, or send much: limit what you store.
 *
 * Lifetime: vz_agent_new() makes one, vz_agent_free() frees it, after its processes. Threads: any; what
 * waits says so. Any number of things may be under way on one connection, and a slow one holds up none
 * of the others. VZ_ERROR_NETWORK: the connection is over, and stays so, or there was no answer in
 * time; VZ_ERROR_GUEST: the guest could not do it, and says why; VZ_ERROR_UNSUPPORTED: that agent
 * does not know how. */
#ifndef VZ_AGENT_H
#define VZ_AGENT_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VZ_AGENT_PORT 30330u

struct vz_agent;

struct vz_agent_options { /* start from VZ_AGENT_OPTIONS_INIT */
    size_t size;
    uint64_t timeout_ms; /* for answers of those functions that have no time of their own */
};
#define VZ_AGENT_OPTIONS_INIT VZ_INIT_(struct vz_agent_options, VZ_SET_(timeout_ms, 30000))

/**
 * Talk to the agent at the other end of a connection, and wait until it has said hello.
 * @fd       a stream both ways, from now on the agent's, also on failure; it is set not to block
 * @options  NULL for the defaults
 * Returns it, or NULL with VZ_ERROR_NETWORK, VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_agent *vz_agent_new(int fd, const struct vz_agent_options *options,
                                        struct vz_error *err);
/* Closes the connection; the guest ends what still runs of it. NULL is fine. Since 0.4. */
VZ_PUBLIC void vz_agent_free(struct vz_agent *agent);

/* Which version it is, as "0.4.0". The agent's. Since 0.4. */
VZ_PUBLIC const char *vz_agent_version(const struct vz_agent *agent);
/* Does it know a request: "exec", "put", "get", "status", "booted", "clock", "freeze", "identity", "sync", "power",
 * "ping"? Since 0.4. */
VZ_PUBLIC bool vz_agent_has(const struct vz_agent *agent, const char *feature);

/* ---- Processes ------------------------------------------------------------------------------ */

struct vz_agent_process;

struct vz_agent_exec_options { /* start from VZ_AGENT_EXEC_OPTIONS_INIT */
    size_t size;
    const char *const *argv; /* ended by NULL; looked for in PATH if there is no slash in it */
    const char *const *env;  /* NAME=VALUE, ended by NULL; beside PATH, HOME, USER, LOGNAME, SHELL */
    const char *cwd;         /* NULL: the user's home */
    const char *user;        /* of the guest: name or number, [:group]; NULL: root */
    /* It gets a terminal of this size, to which all three lead; what it prints comes at output_fd. */
    bool terminal;
    unsigned rows, columns;
    /* Where its standard input comes from and its output goes to; -1: nowhere. They stay the
     * caller's, may block or not, and are used until vz_agent_process_wait() returns. Not
     * every program reads all of its input: what it leaves may be read and lost. */
    int input_fd, output_fd, error_fd;
    bool detach; /* it goes on by itself, with no input or output: the wait ends at once */
};
#define VZ_AGENT_EXEC_OPTIONS_INIT                                                                 \
    VZ_INIT_(struct vz_agent_exec_options,                                                         \
             VZ_SET_(input_fd, -1) VZ_SET_(output_fd, -1) VZ_SET_(error_fd, -1))

/**
 * Run a program in the guest. That it could not be started is told by vz_agent_process_wait().
 * Returns it, for vz_agent_process_free(); or NULL with VZ_ERROR_INVALID (no argv, options of an
 * unknown size, more than 1 MiB of them), VZ_ERROR_NETWORK or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_agent_process *vz_agent_exec(struct vz_agent *agent,
                                                 const struct vz_agent_exec_options *options,
                                                 struct vz_error *err);

enum vz_agent_exit_reason {
    VZ_AGENT_EXITED = 0,         /* value: its exit status; detached: 0 */
    VZ_AGENT_SIGNALED = 1,       /* value: the signal that ended it */
    VZ_AGENT_NOT_FOUND = 2,      /* there is no such program; value: errno */
    VZ_AGENT_NOT_EXECUTABLE = 3, /* there is, and it cannot be run; value: errno */
};

struct vz_agent_exit { /* start from VZ_AGENT_EXIT_INIT */
    size_t size;
    enum vz_agent_exit_reason reason;
    int value;
    uint64_t pid; /* in the guest; 0: it did not start */
};
#define VZ_AGENT_EXIT_INIT VZ_INIT_(struct vz_agent_exit, )

/**
 * Wait until it has ended and all that it wrote has been written. What it left running does not count.
 * Returns 0; or -1 with VZ_ERROR_GUEST (it was not started: no such user, no such folder, ...),
 * VZ_ERROR_NETWORK or VZ_ERROR_INVALID (a result of an unknown size). Since 0.4. */
VZ_PUBLIC int vz_agent_process_wait(struct vz_agent_process *process, struct vz_agent_exit *ret,
                                    struct vz_error *err);
/* Has it ended? Does not wait. Also true once the agent's connection is lost. Since 0.4. */
VZ_PUBLIC bool vz_agent_process_has_ended(const struct vz_agent_process *process);
/* Send a signal of Linux to it and all in its session's group. Returns 0, also when it has ended, or
 * -1 with VZ_ERROR_INVALID or VZ_ERROR_NETWORK. Since 0.4. */
VZ_PUBLIC int vz_agent_process_signal(struct vz_agent_process *process, int number,
                                      struct vz_error *err);
/* Its terminal has another size now. Likewise. Since 0.4. */
VZ_PUBLIC int vz_agent_process_resize(struct vz_agent_process *process, unsigned rows,
                                      unsigned columns, struct vz_error *err);
/* If it has not ended: SIGHUP, and after five seconds SIGKILL, for it and its group. NULL is fine.
 * Since 0.4. */
VZ_PUBLIC void vz_agent_process_free(struct vz_agent_process *process);

/* ---- Files ---------------------------------------------------------------------------------- */

/* Called now and then, with bytes of files so far. false: stop, with VZ_ERROR_CANCELLED. */
typedef bool vz_agent_progress(void *arg, uint64_t bytes);

struct vz_agent_copy_options { /* start from VZ_AGENT_COPY_OPTIONS_INIT */
    size_t size;
    /* Owners (as numbers), set-id bits, and attributes that only root gives come along, and existing folders
     * become as those that are copied. Otherwise: modes, times and "user." attributes. */
    bool archive;
    bool follow;      /* from is a symbolic link: what it leads to */
    const char *user; /* of the guest, as which files are read and made; NULL: root */
    vz_agent_progress *progress; /* may be NULL */
    void *arg;
};
#define VZ_AGENT_COPY_OPTIONS_INIT VZ_INIT_(struct vz_agent_copy_options, )

struct vz_agent_copy_result { /* start from VZ_AGENT_COPY_RESULT_INIT */
    size_t size;
    uint64_t bytes, entries;
    uint64_t skipped; /* sockets; and on the host device nodes and FIFOs */
};
#define VZ_AGENT_COPY_RESULT_INIT VZ_INIT_(struct vz_agent_copy_result, )

/**
 * Copy a file, a symbolic link, or a folder with all that is in it, into the guest or out of it. If to
 * is a folder they come into it, else that is their name. from may end in "/.": then what is in the folder is
 * copied. Files appear when they are whole, in place of others of that name; holes stay holes; links
 * that stand in to's folders are never followed. Waits until all is done.
 * @ret  may be NULL; filled in on success
 * Returns 0, or -1 with VZ_ERROR_IO (of the host's files), VZ_ERROR_GUEST, VZ_ERROR_CANCELLED,
 * VZ_ERROR_NETWORK, ...; what was whole by then stays. Since 0.4. */
VZ_PUBLIC int vz_agent_copy_in(struct vz_agent *agent, const char *from, const char *to,
                               const struct vz_agent_copy_options *options,
                               struct vz_agent_copy_result *ret, struct vz_error *err);
VZ_PUBLIC int vz_agent_copy_out(struct vz_agent *agent, const char *from, const char *to,
                                const struct vz_agent_copy_options *options,
                                struct vz_agent_copy_result *ret, struct vz_error *err);

/* ---- The guest ------------------------------------------------------------------------------ */

/* All of what follows waits for the answer, and returns 0 or -1 with an error. */

struct vz_agent_status { /* start from VZ_AGENT_STATUS_INIT */
    size_t size;
    char hostname[65], system[128], kernel[65]; /* "web", "Debian GNU/Linux 12 (bookworm)", "6.1.0-18-amd64" */
    uint64_t uptime_ms;
    uint64_t memory, available; /* bytes: that the kernel manages, that programs could still get */
    double load;                /* of the last minute */
};
#define VZ_AGENT_STATUS_INIT VZ_INIT_(struct vz_agent_status, )

enum vz_agent_fact {
    VZ_AGENT_ADDRESS = 0, /* "eth0 10.0.2.15/24": of interfaces that are up, but not loopback's */
    VZ_AGENT_LISTENS = 1, /* "tcp 0.0.0.0:80": a port at which a program waits */
};
typedef void vz_agent_fact_fn(void *arg, enum vz_agent_fact kind, const char *text);

/* fn (may be NULL) is called for each of the guest's addresses and ports before this returns.
 * Since 0.4. */
VZ_PUBLIC int vz_agent_status(struct vz_agent *agent, struct vz_agent_status *ret,
                              vz_agent_fact_fn *fn, void *arg, struct vz_error *err);

/* Wait until the guest's start is done: its service manager's, where it has one that tells. A unit that
 * failed does not matter. @timeout_ms  0: no limit. Since 0.4. */
VZ_PUBLIC int vz_agent_wait_booted(struct vz_agent *agent, uint64_t timeout_ms, struct vz_error *err);

/* An answer, nothing else. Since 0.4. */
VZ_PUBLIC int vz_agent_ping(struct vz_agent *agent, struct vz_error *err);

/* Set the guest's clock to the host's, in one step: after a pause, a restore, the host's sleep.
 * Since 0.4. */
VZ_PUBLIC int vz_agent_set_clock(struct vz_agent *agent, struct vz_error *err);

/* All that was written is on the guest's disks. Since 0.4. */
VZ_PUBLIC int vz_agent_sync(struct vz_agent *agent, struct vz_error *err);

/**
 * Mount a directory that the machine shares (<vz/share.h>), without set-ID bits and devices; a mount of that tag at
 * that path which is there stays.
 * @path  absolute; folders that are missing are made
 * Returns 0; or -1, with VZ_ERROR_GUEST also where no device has the tag, or the guest has no driver. Since 0.4. */
VZ_PUBLIC int vz_agent_mount(struct vz_agent *agent, const char *tag, const char *path, struct vz_error *err);

/**
 * Have the guest's kernel run programs of other processors, by a share of interpreters (vz_foreign_binaries_share_new())
 * that is mounted at path: see docs/foreign-binaries.md. What it had of that kind before makes way.
 * Returns 0; or -1, with VZ_ERROR_GUEST also where no such share is there, or the kernel has no binfmt_misc. Since 0.4. */
VZ_PUBLIC int vz_agent_register_foreign_binaries(struct vz_agent *agent, const char *path, struct vz_error *err);

/**
 * Learn which folders of shared directories programs of the guest watch (inotify, fanotify), and have them told of changes that
 * the host made there. Both descriptors stay the caller's and are used until vz_agent_process_wait() or _free().
 * @output_fd  gets, of each folder whose watching begins, "W" and a number of its own, the share's tag, and the folder in it
 *             ("" is its root), each text with a NUL behind it; and of one whose watching ends "U" and its number, "", ""
 * @input_fd   is read from: a folder's number with letters behind it, and a name in it, each with a NUL behind it.
 *             The letters: A it is there anew, G it is gone, M its contents changed, F it was moved from here, and T
 *             to here (the next one), d it is a folder. No letters: it is there anew, changed or gone. A, G, F and T
 *             are told of in shares of this library only. Its end ends the process
 * Returns it, for vz_agent_process_free(); or NULL with VZ_ERROR_NETWORK or VZ_ERROR_NO_MEMORY. An agent that has not
 * "watch" (vz_agent_has()) ends it at once. Since 0.4. */
VZ_PUBLIC struct vz_agent_process *vz_agent_watch_shares(struct vz_agent *agent, int input_fd, int output_fd,
                                                         struct vz_error *err);

/* Shut the guest down, or start it again. It returns when that has begun. Since 0.4. */
VZ_PUBLIC int vz_agent_shut_down(struct vz_agent *agent, bool reboot, struct vz_error *err);

/**
 * Have all file systems on disks whole and still, for a copy of the disks. One freeze at a time.
 * @timeout_ms  1 to 300000: after so long the guest goes on by itself, as it does when the connection ends
 * @ret_count   how many there are; may be NULL
 * Since 0.4. */
VZ_PUBLIC int vz_agent_freeze(struct vz_agent *agent, uint64_t timeout_ms, unsigned *ret_count,
                              struct vz_error *err);
/* They go on. Fails with VZ_ERROR_GUEST if the time was over before: then what was copied is not
 * whole. Since 0.4. */
VZ_PUBLIC int vz_agent_thaw(struct vz_agent *agent, struct vz_error *err);

struct vz_agent_identity_options { /* start from VZ_AGENT_IDENTITY_OPTIONS_INIT */
    size_t size;
    const char *hostname; /* NULL: it keeps its name */
    bool machine_id;      /* /etc/machine-id */
    bool host_keys;       /* of ssh */
    bool network;         /* ask for addresses anew, under the new identity */
    /* MAC addresses "FROM TO FROM TO ...": the interface that has FROM gets TO, while it is up. NULL: none. An agent that does
     * not know of it leaves them (since 0.4). */
    const char *mac_addresses;
};
#define VZ_AGENT_IDENTITY_OPTIONS_INIT                                                             \
    VZ_INIT_(struct vz_agent_identity_options,                                                     \
             VZ_SET_(machine_id, true) VZ_SET_(host_keys, true) VZ_SET_(network, true))

/* Make a copy of a machine another machine; its random numbers begin anew in any case, first of all.
 * @options  NULL for the defaults. Since 0.4. */
VZ_PUBLIC int vz_agent_new_identity(struct vz_agent *agent,
                                    const struct vz_agent_identity_options *options,
                                    struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
