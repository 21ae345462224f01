/* SPDX-License-Identifier: MIT */
/* The control socket of a running machine, as methods see it. docs/control.md is the protocol for
 * other programs; client.h is the side of vz's commands.
 *
 * To add a method: a function in a file of this folder, its line below and its row in methods.c.
 *
 * Threads: all of it runs on the one thread of the machine's process (process.c). A method must not
 * wait: it calls the library with a completion, which comes on the same thread, and answers then. */
#ifndef VZ_TOOLS_CONTROL_H
#define VZ_TOOLS_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <vz/error.h>
#include <vz/machine.h>

struct bundle;
struct control;      /* the machine's process */
struct control_call; /* one request, from when it came until it is answered */
struct vz_machine;

/* ---- What a method gets, and answers -------------------------------------------------------- */

struct control_method {
    const char *name;
    /* params: an object, maybe empty, as long as the call. Answers exactly once, now or later. */
    void (*call)(struct control_call *call, json_t *params);
};
extern const struct control_method control_methods[]; /* methods.c; ends with a NULL name */

struct control *call_control(const struct control_call *call);
struct vz_machine *call_machine(const struct control_call *call);
/* A descriptor that came with the request, which is the caller's then; -1: none. */
int call_take_fd(struct control_call *call);

/* Answer with a result (an object, whose reference is taken; NULL: {}), and a descriptor, which is
 * closed here; -1: none. The call is gone then, as after those below. */
void call_reply(struct control_call *call, json_t *result);
void call_reply_fd(struct control_call *call, json_t *result, int fd);
/* Answer with an error. */
void call_fail(struct control_call *call, const struct vz_error *err);
void call_fail_text(struct control_call *call, enum vz_error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A vz_machine_done_fn, whose arg is the call: {} or the error. */
void call_done(void *call, struct vz_machine *machine, const struct vz_error *err);

/* Members of params. What is not there leaves *ret as it is; what is there and no such thing, or out
 * of range, fails the call, and returns false. */
bool call_param_bool(struct control_call *call, json_t *params, const char *name, bool *ret);
bool call_param_number(struct control_call *call, json_t *params, const char *name, uint64_t min,
                       uint64_t max, uint64_t *ret);
bool call_param_string(struct control_call *call, json_t *params, const char *name,
                       const char **ret);

/* ---- The process ---------------------------------------------------------------------------- */

struct vz_machine *control_machine(const struct control *c);
const struct bundle *control_bundle(const struct control *c);
/* Seconds since the machine's process began. */
double control_uptime(const struct control *c);
struct console_hub *control_console(const struct control *c); /* NULL: no port leads there */

struct guest_ports *control_guest_ports(struct control *c);
struct viewers *control_viewers(struct control *c);
/* Ask the guest for ports that its programs open, or no more. */
void control_watch_ports(struct control *c, bool watch);
/* The device with that tag has another share; NULL: none. */
void control_shared(struct control *c, const char *tag, json_t *share);

/* Lock the machine's folder for changes by this process, one at a time; false and err. And no more. */
bool control_begin_change(struct control *c, struct vz_error *err);
void control_end_change(struct control *c);

/* Tell all who have subscribed: {"event": name, ...}. The reference to members, an object or NULL, is
 * taken. */
void control_tell(struct control *c, const char *name, json_t *members);

/* ---- Methods, by file ----------------------------------------------------------------------- */

/* control_life.c */
void method_stop(struct control_call *call, json_t *params);
void method_pause(struct control_call *call, json_t *params);
void method_resume(struct control_call *call, json_t *params);
/* control_save.c */
/* Save the machine into its folder, and turn it off; who has subscribed hears how far it is. done as a completion, maybe at
 * once; on failure the machine goes on as it was. */
struct control_saving {
    bool seal, compress;    /* its memory */
    const char *passphrase; /* copied; in place of the user's key; NULL: none */
};
void control_save(struct control *c, const struct control_saving *how, vz_machine_done_fn *done, void *arg);
void method_save(struct control_call *call, json_t *params);
/* control_snapshot.c */
void method_snapshot(struct control_call *call, json_t *params);
/* control_look.c; before its thread is locked */
void control_look_prepare(void);
void method_info(struct control_call *call, json_t *params);
void method_stats(struct control_call *call, json_t *params);
void method_config(struct control_call *call, json_t *params);
/* control_disks.c */
void method_resize_disk(struct control_call *call, json_t *params);
void method_limit_disk(struct control_call *call, json_t *params);
/* control_input.c */
void method_send_keys(struct control_call *call, json_t *params);
/* control_usb.c */
void method_usb_devices(struct control_call *call, json_t *params);
void method_attach_usb(struct control_call *call, json_t *params);
void method_detach_usb(struct control_call *call, json_t *params);
void method_set_disc(struct control_call *call, json_t *params);
/* control_view.c: by VNC, of which it has a process. NULL and err. */
struct vnc_process *control_vnc(struct control *c, struct vz_error *err);
void method_view(struct control_call *call, json_t *params);
/* control_share.c */
void method_share(struct control_call *call, json_t *params);
/* control_clipboard.c */
/* The process' own party to the clipboard: what was set last stays on offer. NULL and err. */
struct vz_clipboard *control_clipboard(struct control *c, struct vz_error *err);
/* How many contents are being fetched for clients. */
unsigned *control_clipboard_gets(struct control *c);
void method_clipboard(struct control_call *call, json_t *params);
void method_get_clipboard(struct control_call *call, json_t *params);
void method_set_clipboard(struct control_call *call, json_t *params);
/* control_display.c */
void method_screen(struct control_call *call, json_t *params);
void method_display(struct control_call *call, json_t *params);
/* control_server.c */
void method_subscribe(struct control_call *call, json_t *params);
/* control_connect.c */
void method_connect(struct control_call *call, json_t *params);
/* control_forward.c */
void method_forward(struct control_call *call, json_t *params);
void method_unforward(struct control_call *call, json_t *params);
void method_auto_forward(struct control_call *call, json_t *params);
void method_guest_ports(struct control_call *call, json_t *params);
/* console_hub.c */
void method_console(struct control_call *call, json_t *params);
void method_console_window(struct control_call *call, json_t *params);

#endif
