/* SPDX-License-Identifier: MIT */
/* The host's end of a serial line: where the bytes of a guest's UART go to and come from. Clients:
 * chipset/uart, virtio/console. Backends: null, fd (a pair of descriptors), file, pty, unix (a
 * socket that one peer at a time connects to), callback (the program itself), engine (a part of the library).
 *
 * Guest to host: char_write() copies into a bounded buffer and never blocks; the loop thread
 * moves the buffer to the host as fast as the host takes it. A full buffer takes nothing: the
 * client keeps the bytes (its transmitter is busy) and is called when there is room. So nothing
 * the guest wrote is lost, and a slow terminal slows the guest down, not the loop.
 *
 * Host to guest: bytes are read from the host only when the client has room for them. */
#ifndef VZ_CHAR_CHAR_H
#define VZ_CHAR_CHAR_H

#include "base/compiler.h"
#include "base/stats.h"

struct char_dev;
struct loop;
struct vz_error;

#define CHAR_BUFFER_SIZE 65536u

/* What the guest's device answers. All are called on the loop thread with no lock of char/ held,
 * so they may take the device's lock, under which the device calls char_write(). */
struct char_client {
    /* char_write() took less than it was given some time ago; now there is room. */
    void (*writable)(void *arg);
    /* How many bytes receive() would take now; 0: none, until char_accept_input(). */
    size_t (*room)(void *arg);
    /* Bytes from the host, at most as many as room() just said. */
    void (*receive)(void *arg, const uint8_t *data, size_t len);
    /* Optional. A peer came or went; only lines that have peers which do call it. */
    void (*opened)(void *arg, bool open);
};

/* A line that swallows output and has no input. 0 or -errno. */
int char_null_create(struct loop *loop, struct char_dev **ret, struct vz_error *err) must_check;

/* Input from in_fd, output to out_fd; either may be -1 for none, and both may be the same. They
 * stay the caller's and must outlive the line; their flags are not changed. Terminal modes are
 * the caller's business. End of file on in_fd ends the input. When out_fd fails (a closed pipe, a
 * full disk) that is logged once and further output is dropped; the process sees SIGPIPE as any
 * program would unless the caller ignores it. 0 or -errno. */
int char_fd_create(struct loop *loop, int in_fd, int out_fd, struct char_dev **ret,
                   struct vz_error *err) must_check;

/* Output to the file at path, which is created or truncated; no input. 0 or -errno. */
int char_file_create(struct loop *loop, const char *path, struct char_dev **ret,
                     struct vz_error *err) must_check;

/* Output is appended to the file at path instead. */
int char_file_append_create(struct loop *loop, const char *path, struct char_dev **ret,
                            struct vz_error *err) must_check;

/* A new pseudo-terminal in raw mode; char_path() is the name of the other end, which anyone may
 * open and close. While nobody has it open, output waits in the terminal's own buffer and then in
 * ours. 0 or -errno. */
int char_pty_create(struct loop *loop, struct char_dev **ret, struct vz_error *err) must_check;

/* A listening Unix stream socket at path, which must not exist and is removed in the end. One peer
 * at a time; others are turned away. While there is none, output is dropped. 0 or -errno. */
int char_unix_create(struct loop *loop, const char *path, struct char_dev **ret,
                     struct vz_error *err) must_check;

/* Output goes to output(arg), on the loop thread, which must take all of it; input comes by
 * char_callback_send(). 0 or -errno. */
typedef void char_output_fn(void *arg, const void *data, size_t len);
int char_callback_create(struct loop *loop, char_output_fn *output, void *arg,
                         struct char_dev **ret, struct vz_error *err) must_check;

/* Up to len bytes for the guest, of which *ret_taken are taken: at most CHAR_BUFFER_SIZE wait. Loop
 * thread. 0; or -ENOTSUP: a line of another kind. */
int char_callback_send(struct char_dev *c, const void *data, size_t len,
                       size_t *ret_taken) must_check;

/* A part of the library that speaks a protocol with the guest. All on the loop thread, or while the loop does not run. */
struct char_engine_ops {
    /* The guest's bytes, all of which are taken. May call char_accept_input(). */
    void (*output)(void *arg, const uint8_t *data, size_t len);
    /* Up to max bytes for the guest; returns how many. When there are some again it calls char_accept_input(). */
    size_t (*input)(void *arg, uint8_t *to, size_t max);
    /* char_guest_opened() */
    void (*opened)(void *arg, bool open);
    /* The line is destroyed; arg is let go of. */
    void (*close)(void *arg);
};
int char_engine_create(struct loop *loop, const struct char_engine_ops *engine, void *arg,
                       struct char_dev **ret, struct vz_error *err) must_check;
/* What the line ends in; NULL: in something else. */
void *char_engine_arg(struct char_dev *c, const struct char_engine_ops *engine);

/* What messages call the host's end (copied; NULL: as before), and a counter that goes up by one
 * when output for it is lost, since the host fails or takes none until the end. Before output is
 * written. */
void char_account(struct char_dev *c, const char *name, _Atomic unsigned *lost);

#define CHAR_COUNTERS(X) X(bytes_from_guest) X(bytes_to_guest)

struct char_stats {
    CHAR_COUNTERS(STATS_FIELD)
};
void char_stats_tell(const struct char_stats *s, stats_fn *fn, void *arg); /* "char.bytes_...", ... */
/* Count into a sum of several lines from now on. */
void char_count(struct char_dev *c, struct char_stats *sum);

/* Where a peer finds the line; NULL for lines without a name. Constant. */
const char *char_path(const struct char_dev *c);
/* Is there a peer? Always so for lines that have none. Loop thread. */
bool char_is_open(const struct char_dev *c);

/* Connect the guest's device, or with NULL disconnect it: no callback comes after that. Before
 * loop_run(), after it, or on the loop thread. *client is the caller's, and stays alive. */
void char_attach(struct char_dev *c, const struct char_client *client, void *arg);

/* Take up to len bytes for the host; returns how many. Any thread; never blocks. After a short
 * write client->writable() comes once there is room. */
size_t char_write(struct char_dev *c, const void *data, size_t len) must_check;

/* The client has room again: room() is asked soon. Any thread, cheap when input already flows. */
void char_accept_input(struct char_dev *c);

/* A program in the guest opened or closed its end of the line, for hosts' ends to which that matters. What it wrote before
 * has reached them. May be said again. Loop thread. */
void char_guest_opened(struct char_dev *c, bool open);

/* Wait until all output has reached the host. Blocks, so not while the loop runs: for the end of
 * a machine. 0; -ETIMEDOUT when timeout_ms (-1: no limit) passed without any progress. */
int char_drain(struct char_dev *c, int timeout_ms);

/* Output still buffered is dropped: char_drain() first. Loop not running. NULL is fine. */
void char_destroy(struct char_dev *c);

#endif
