/* SPDX-License-Identifier: MIT */
#include "run_view.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>
#include <vz/vz.h>

#include "cli.h"
#include "command/view_window.h"
#include "control/send_fd.h"
#include "control/usb_json.h"
#include "control/viewers.h"
#include "failure.h"

#define VIEW_FD  3 /* what vz-view has the socket as */
#define LINE_MAX_BYTES 4096
#define END_MS   2000u /* so long vz-view may take to end */

struct run_view {
    struct run_view_options options;
    char *program;
    struct vz_machine *machine;
    pid_t pid;         /* 0: not started */
    pthread_t thread;  /* reads and answers */
    struct viewers viewers; /* the thread's */
    pthread_mutex_t lock;   /* of what is written, a whole line each, and of */
    int fd;                 /* -1: not connected */
};

/* ---- Saying --------------------------------------------------------------------------------- */

static void send_line(struct run_view *v, const char *line, size_t len, int fd)
{
    pthread_mutex_lock(&v->lock);
    /* One that does not read for so long that its socket is full is not to be waited for, and gets no half lines. */
    if (v->fd >= 0 && send_with_fd(v->fd, line, len, fd, MSG_DONTWAIT) != (ssize_t)len)
        shutdown(v->fd, SHUT_RDWR);
    pthread_mutex_unlock(&v->lock);
}

/* Takes over object and fd. */
static void say(struct run_view *v, json_t *object, int fd)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0;

    if (text) {
        text[len++] = '\n'; /* in place of its 0 */
        send_line(v, text, len, fd);
    }
    free(text);
    json_decref(object);
    if (fd >= 0)
        close(fd);
}

void run_view_state(struct run_view *v, enum vz_machine_state state)
{
    say(v, json_pack("{s:s, s:s}", "event", "state", "state", vz_machine_state_name(state)), -1);
}

static void say_progress(struct run_view *v, const char *of, uint64_t done, uint64_t total)
{
    say(v, json_pack("{s:s, s:s, s:I, s:I}", "event", "progress", "of", of, "done", (json_int_t)done, "total",
                     (json_int_t)total), -1);
}

void run_view_progress(void *view, struct vz_machine *machine, uint64_t done, uint64_t total)
{
    say_progress(view, "save", done, total);
}

void run_view_restore_progress(void *view, struct vz_machine *machine, uint64_t done, uint64_t total)
{
    say_progress(view, "restore", done, total);
}

/* ---- Doing ---------------------------------------------------------------------------------- */

/* Each returns the result, or NULL and err. */
static json_t *do_nothing(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    return json_object();
}

static json_t *do_info(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    return json_pack("{s:s, s:b}", "state", vz_machine_state_name(vz_machine_get_state(v->machine)), "hearsPowerButton",
                     vz_machine_hears_request_stop(v->machine));
}

static json_t *do_display(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    unsigned display = (unsigned)json_integer_value(json_object_get(params, "display"));

    *ret_fd = viewers_add(&v->viewers, v->machine, 0, display, err);
    return *ret_fd >= 0 ? json_object() : NULL;
}

static json_t *do_pause(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    return vz_machine_pause_wait(v->machine, err) == 0 ? json_object() : NULL;
}

static json_t *do_resume(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    return vz_machine_resume_wait(v->machine, err) == 0 ? json_object() : NULL;
}

static json_t *do_stop(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    if (json_is_true(json_object_get(params, "now"))) {
        ending_turn_off();
        return json_object();
    }
    return vz_machine_request_stop(v->machine, err) == 0 ? json_object() : NULL;
}

/* As a signal does: with --save the machine is saved, and ends. */
static json_t *do_save(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    if (v->options.saves) {
        ending_leave();
        return json_object();
    }
    fail(err, VZ_ERROR_UNSUPPORTED, "there is no --save FILE to save it to");
    return NULL;
}

static json_t *do_usb_devices(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    return usb_json_devices(v->machine, err);
}

static json_t *do_attach_usb(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    struct vz_config *c = usb_json_device(params, err);
    bool ok = c && usb_json_attach_wait(v->machine, c, err) == 0;

    vz_config_unref(c);
    return ok ? json_object() : NULL;
}

static json_t *do_detach_usb(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    const char *uuid = json_string_value(json_object_get(params, "uuid"));

    return vz_machine_detach_usb_device_wait(v->machine, uuid ? uuid : "", err) == 0 ? json_object() : NULL;
}

static json_t *do_set_disc(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err)
{
    unsigned disk = (unsigned)json_integer_value(json_object_get(params, "disk"));

    return usb_json_set_disc(v->machine, disk, json_object_get(params, "attachment"), false, err) == 0 ? json_object()
                                                                                                     : NULL;
}

static const struct {
    const char *name;
    json_t *(*fn)(struct run_view *v, json_t *params, int *ret_fd, struct vz_error *err);
} methods[] = {{"subscribe", do_nothing}, {"info", do_info}, {"display", do_display}, {"pause", do_pause},
               {"resume", do_resume}, {"stop", do_stop}, {"save", do_save}, {"usb-devices", do_usb_devices},
               {"attach-usb", do_attach_usb}, {"detach-usb", do_detach_usb}, {"set-disc", do_set_disc}};

static void take_line(struct run_view *v, const char *line)
{
    json_t *request = json_loads(line, 0, NULL), *result = NULL, *id = json_object_get(request, "id");
    const char *name = json_string_value(json_object_get(request, "method"));
    struct vz_error err = {.code = VZ_ERROR_UNSUPPORTED, .text = "there is no such method"};
    int fd = -1;

    for (size_t i = 0; name && i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (!strcmp(methods[i].name, name))
            result = methods[i].fn(v, json_object_get(request, "params"), &fd, &err);
    }
    if (result)
        say(v, json_pack("{s:O?, s:o}", "id", id, "result", result), fd);
    else
        say(v, json_pack("{s:O?, s:{s:i, s:s}}", "id", id, "error", "code", (int)err.code, "message", err.text), -1);
    json_decref(request);
}

static void *serve(void *arg)
{
    struct run_view *v = arg;
    char in[LINE_MAX_BYTES], *end;
    size_t len = 0;
    ssize_t n;

    /* The window's menu opens disks, and makes threads that read and write what is copied and dropped. */
    if (!run_sandbox_lock(VZ_THREAD_CONTROLS, NULL))
        return NULL;
    while (len < sizeof(in) && ((n = recv(v->fd, in + len, sizeof(in) - len, 0)) > 0 || (n < 0 && errno == EINTR))) {
        len += n > 0 ? (size_t)n : 0;
        while ((end = memchr(in, '\n', len))) {
            *end++ = '\0';
            take_line(v, in);
            len -= (size_t)(end - in);
            memmove(in, end, len);
        }
    }
    shutdown(v->fd, SHUT_RDWR); /* a line that is too long is heard of, too */
    return NULL;
}

/* ---- Its life ------------------------------------------------------------------------------- */

/* A process group of its own: a Ctrl-C at the terminal is for the machine. 0 or an errno. */
static int spawn(struct run_view *v, int fd)
{
    char fd_text[16];
    char *argv[] = {"vz-view", "--fd", fd_text, "--name", (char *)(uintptr_t)v->options.name,
                    v->options.saves ? NULL : "--no-save", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int r;

    snprintf(fd_text, sizeof(fd_text), "%d", VIEW_FD);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    posix_spawn_file_actions_adddup2(&actions, fd, VIEW_FD);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    r = posix_spawn(&v->pid, v->program, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

struct run_view *run_view_new(const struct run_view_options *options, struct vz_error *err)
{
    struct run_view *v = calloc(1, sizeof(*v));

    if (!v) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    v->options = *options;
    v->fd = -1;
    pthread_mutex_init(&v->lock, NULL);
    if (!view_window_has_desktop())
        fail(err, VZ_ERROR_UNSUPPORTED, "--view: there is no desktop to open a window on ($DISPLAY, $WAYLAND_DISPLAY); "
                                        "--vnc shows the display in a browser");
    else if ((v->program = view_window_program(err)))
        return v;
    run_view_free(v);
    return NULL;
}

int run_view_open(struct run_view *v, struct vz_machine *machine, struct vz_error *err)
{
    int pair[2], r;

    v->machine = machine;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return fail_errno(err, "a socket");
    r = spawn(v, pair[1]);
    close(pair[1]);
    if (r) {
        close(pair[0]);
        v->pid = 0;
        return fail(err, VZ_ERROR_IO, "%.160s: %s", v->program, strerror(r));
    }
    pthread_mutex_lock(&v->lock);
    v->fd = pair[0];
    pthread_mutex_unlock(&v->lock);
    r = pthread_create(&v->thread, NULL, serve, v);
    if (!r)
        return 0;
    v->machine = NULL; /* there is no thread */
    return fail(err, VZ_ERROR_NO_MEMORY, "a thread: %s", strerror(r));
}

void run_view_close(struct run_view *v)
{
    if (v->fd < 0)
        return;
    shutdown(v->fd, SHUT_RDWR);
    if (v->machine)
        pthread_join(v->thread, NULL);
    viewers_free(&v->viewers);
    pthread_mutex_lock(&v->lock);
    close(v->fd);
    v->fd = -1;
    pthread_mutex_unlock(&v->lock);
    /* It ends anyway, unless it hangs, or is stopped: nobody waits for that. Who is locked cannot kill it. */
    kill(v->pid, SIGKILL);
    for (unsigned i = 0; i < END_MS / 10 && waitpid(v->pid, NULL, WNOHANG) == 0; i++)
        poll(NULL, 0, 10);
}

void run_view_free(struct run_view *v)
{
    if (!v)
        return;
    pthread_mutex_destroy(&v->lock);
    free(v->program);
    free(v);
}
