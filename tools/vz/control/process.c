/* SPDX-License-Identifier: MIT */
/* A machine's process: one thread that serves the control socket and the console and delivers the
 * machine's completions and events; the machine has threads of its own. */
#include "control/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/bundle.h"
#include "bundle/config_json.h"
#include "bundle/saved_file.h"
#include "bundle/settle.h"
#include "cli.h"
#include "control/client.h"
#include "control/console_hub.h"
#include "control/control.h"
#include "control/control_server.h"
#include "control/guest_ports.h"
#include "control/last_run.h"
#include "control/viewers.h"
#include "failure.h"
#include "guest/guest_care.h"
#include "vnc_process.h"

#define STOP_MS  30000u           /* a guest has so long after SIGTERM */
#define LOG_MAX  ((off_t)1 << 20) /* then it becomes vz.log.1 */

struct control {
    struct bundle *bundle;
    bool changing; /* control_begin_change() */
    struct vz_machine *machine;
    struct server *server;
    struct console_hub *console;
    struct vnc_process *vnc; /* NULL: there is none, */
    struct vz_error vnc_error; /* since */
    struct viewers viewers;
    struct vz_clipboard *clipboard; /* likewise */
    unsigned clipboard_gets;
    struct guest_ports ports;
    struct guest_care *care; /* an in-house client of the control socket; NULL: the guest cannot be reached */
    int signal_fd;
    uint64_t began_ms;
    uint64_t pull_ms; /* when to turn the machine off; 0: not */
    bool off; /* as soon as its state allows that: somebody may be pausing or saving it just then */
    bool started, ended;
    bool saves; /* asked to end, it saves the machine rather than asking the guest, and... */
    bool leaves; /* ...could not */
    struct process_manner how;
    bool stood_still; /* its guest's clock is behind when it goes on */
    struct settling settling;
    struct vz_error start_error; /* when it has ended without having started */
    void (*ready)(void *arg);
    bool (*is_awaited)(void *arg); /* NULL: nobody waits for it to start */
    void *ready_arg;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct vz_machine *control_machine(const struct control *c)
{
    return c->machine;
}

const struct bundle *control_bundle(const struct control *c)
{
    return c->bundle;
}

bool control_begin_change(struct control *c, struct vz_error *err)
{
    if (c->changing)
        return fail_false(err, VZ_ERROR_INVALID_STATE, "%s: is being changed at this moment; try again", c->bundle->name);
    c->changing = bundle_lock(c->bundle, BUNDLE_CHANGE, err) == 0;
    return c->changing;
}

void control_end_change(struct control *c)
{
    bundle_unlock(c->bundle, BUNDLE_CHANGE);
    c->changing = false;
}

double control_uptime(const struct control *c)
{
    return (double)(now_ms() - c->began_ms) / 1000;
}

struct console_hub *control_console(const struct control *c)
{
    return c->console;
}

struct vnc_process *control_vnc(struct control *c, struct vz_error *err)
{
    if (!c->vnc)
        *err = c->vnc_error;
    return c->vnc;
}

struct viewers *control_viewers(struct control *c)
{
    return &c->viewers;
}

struct vz_clipboard *control_clipboard(struct control *c, struct vz_error *err)
{
    if (!c->clipboard)
        c->clipboard = vz_clipboard_new(c->machine, NULL, err);
    return c->clipboard;
}

unsigned *control_clipboard_gets(struct control *c)
{
    return &c->clipboard_gets;
}

struct guest_ports *control_guest_ports(struct control *c)
{
    return &c->ports;
}

void control_watch_ports(struct control *c, bool watch)
{
    if (c->care)
        guest_care_watch_ports(c->care, watch);
}

void control_shared(struct control *c, const char *tag, json_t *share)
{
    guest_care_share(c->care, tag, share);
}

void control_tell(struct control *c, const char *name, json_t *members)
{
    server_tell(c->server, name, members);
}

/* ---- What the machine tells ----------------------------------------------------------------- */

static void on_state(void *arg, struct vz_machine *machine, enum vz_machine_state state)
{
    struct control *c = arg;

    if (state == VZ_STATE_RUNNING && c->stood_still)
        guest_care_went_on(c->care);
    c->stood_still = state == VZ_STATE_PAUSED || (c->stood_still && state != VZ_STATE_RUNNING);
    control_tell(arg, "state", json_pack("{s:s}", "state", vz_machine_state_name(state)));
}

static void on_address(void *arg, struct vz_machine *machine, unsigned device,
                       const struct vz_guest_address *a)
{
    control_tell(arg, "address", json_pack("{s:i, s:s, s:s}", "network", (int)device, "ipv4", a->ipv4,
                                           "ipv6", a->ipv6));
}

static void on_disconnected(void *arg, struct vz_machine *machine, unsigned device,
                            const struct vz_error *err)
{
    cli_error("%s", err->text);
    control_tell(arg, "disconnected", json_pack("{s:i}", "network", (int)device));
}

static void on_disk_error(void *arg, struct vz_machine *machine, unsigned device,
                          const struct vz_error *err)
{
    cli_error("%s", err->text);
    control_tell(arg, "diskError", json_pack("{s:i,s:i}", "disk", (int)device, "code", (int)err->code));
}

static void on_disk_connected(void *arg, struct vz_machine *machine, unsigned device)
{
    control_tell(arg, "diskConnected", json_pack("{s:i}", "disk", (int)device));
}

static void on_usb_gone(void *arg, struct vz_machine *machine, const char *uuid)
{
    cli_error("the USB device %s is gone from the host", uuid);
    control_tell(arg, "usbDisconnected", json_pack("{s:s}", "uuid", uuid));
}

static void on_panic(void *arg, struct vz_machine *machine, bool crash_kernel)
{
    cli_error("the guest's kernel panicked");
    control_tell(arg, "panicked", json_pack("{s:b}", "crashKernel", crash_kernel));
}

/* All is open but what its user asks for. */
static void lock(struct control *c)
{
    struct vz_display_state state = VZ_DISPLAY_STATE_INIT;
    const struct vnc_process_options o = {.machine = c->machine, .name = c->bundle->name};

    if (vz_machine_display_state(c->machine, 0, 0, &state, &c->vnc_error) == 0)
        c->vnc = vnc_process_new(&o, &c->vnc_error);
    if (!run_sandbox_lock(VZ_THREAD_CONTROLS, NULL))
        c->off = true;
}

static void on_started(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct control *c = arg;

    if (err) {
        c->start_error = *err;
        c->ended = true;
        return;
    }
    c->started = true;
    if (c->ready)
        c->ready(c->ready_arg);
    settle_begin(&c->settling, c->bundle);
    last_run_began(c->bundle); /* which takes the disk a moment */
    lock(c);                   /* nobody has to wait for that */
}

/* The state is used up before the guest goes on: then its disks change, and it would fit them no more. */
static void on_restored(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct control *c = arg;
    struct vz_error why = {.code = VZ_ERROR_NONE};

    if (c->how.passphrase)
        explicit_bzero(c->how.passphrase, strlen(c->how.passphrase));
    if (err)
        fail(&why, err->code, "%s ('vz start --fresh' throws the saved state away, and boots)", err->text);
    else if (c->is_awaited && !c->is_awaited(c->ready_arg))
        fail(&why, VZ_ERROR_CANCELLED, "nobody waits for it any more: it stays saved");
    else if (saved_file_use_up(c->bundle, &why) == 0 && vz_machine_resume(machine, on_started, c) < 0)
        fail(&why, VZ_ERROR_NO_MEMORY, "out of memory");
    if (why.code)
        on_started(c, machine, &why);
}

static void on_restoring(void *control, struct vz_machine *machine, uint64_t done, uint64_t total)
{
    control_tell(control, "progress", json_pack("{s:s, s:I, s:I}", "of", "restore", "done", (json_int_t)done, "total",
                                                (json_int_t)total));
}

static int begin(struct control *c)
{
    struct vz_restore_options o = VZ_RESTORE_OPTIONS_INIT;
    const char *state = saved_file(c->bundle);

    if (!state)
        return vz_machine_start(c->machine, on_started, c);
    o.passphrase = c->how.passphrase;
    o.new_generation = o.map_memory = !strcmp(state, BUNDLE_COPY);
    o.progress = on_restoring;
    o.progress_arg = c;
    return vz_machine_restore(c->machine, state, &o, on_restored, c);
}

/* ---- How it ends ---------------------------------------------------------------------------- */

/* What cannot be saved is shut down, as soon as it goes on. */
static void on_saved(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct control *c = arg;

    if (err)
        cli_error("it cannot be saved: %s", err->text);
    c->leaves = err;
}

/* SIGTERM and its like. In the background that is the host, which shuts down: the machine is saved, and goes on
 * another time. Else the guest is asked; the second time, or when it does not listen, the machine is turned off. */
static void leave(struct control *c)
{
    if (c->saves && c->started) {
        cli_error("asked to end: saving the machine");
        c->saves = false;
        control_save(c, &(struct control_saving){.passphrase = NULL}, on_saved, c);
        return;
    }
    if (!c->pull_ms && vz_machine_hears_request_stop(c->machine) &&
        vz_machine_request_stop(c->machine, NULL) == 0) {
        cli_error("asked to end: pressed the guest's power button, and waiting for it up to %u s",
                  STOP_MS / 1000);
        c->pull_ms = now_ms() + STOP_MS;
        return;
    }
    cli_error("asked to end: turning the machine off");
    c->pull_ms = 0;
    c->off = true;
    c->ended = c->ended || !c->started;
}

static void take_signal(struct control *c)
{
    struct signalfd_siginfo info;

    if (read(c->signal_fd, &info, sizeof(info)) > 0)
        leave(c);
}

static void look_at_state(struct control *c)
{
    enum vz_machine_state state = vz_machine_get_state(c->machine);

    c->ended = c->ended || (c->started && (state == VZ_STATE_STOPPED || state == VZ_STATE_ERROR));
    if (!c->ended && c->leaves && (state == VZ_STATE_RUNNING || state == VZ_STATE_PAUSED)) {
        c->leaves = false;
        leave(c);
    }
    if (!c->ended && c->pull_ms && now_ms() >= c->pull_ms) {
        cli_error("the guest has not shut down: turning the machine off");
        c->pull_ms = 0;
        c->off = true;
    }
    if (!c->ended && c->off && vz_machine_can_stop(c->machine))
        c->off = vz_machine_stop(c->machine, NULL, NULL) < 0;
}

/* ---- The loop ------------------------------------------------------------------------------- */

#define OWN_FDS 3u /* the machine's, signals', and that of who serves viewers */

static void serve(struct control *c)
{
    struct pollfd p[OWN_FDS + SERVER_FDS_MAX + CONSOLE_FDS_MAX] = {
        {.fd = vz_machine_events_fd(c->machine), .events = POLLIN},
        {.fd = c->signal_fd, .events = POLLIN}};
    int timeout_ms = vnc_process_poll(c->vnc, p + 2, c->pull_ms ? 1000 : -1);
    unsigned clients = server_poll(c->server, p + OWN_FDS);
    unsigned console = c->console ? console_hub_poll(c->console, p + OWN_FDS + clients) : 0;

    if (poll(p, OWN_FDS + clients + console, timeout_ms) < 0)
        return;
    if (c->console)
        console_hub_serve(c->console, p + OWN_FDS + clients, console);
    vnc_process_serve(c->vnc, p + 2);
    if (p[0].revents)
        vz_machine_dispatch(c->machine);
    if (p[1].revents)
        take_signal(c);
    server_serve(c->server, p + OWN_FDS, clients);
    look_at_state(c);
}

static int watch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* also for the threads to come */
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* From the file as it is now, which may have been changed since it was read. The lock for changes is held. */
static bool drop_boot_once(struct control *c, struct vz_error *err)
{
    json_t *json = bundle_config_as_is(c->bundle, err);
    struct vz_config *rest;
    bool ok;

    json_object_del(json_object_get(json, "bootLoader"), "bootOnce");
    rest = json ? config_of_json(json, err) : NULL;
    ok = rest && bundle_set_config(c->bundle, rest, err) == 0;
    vz_config_unref(rest);
    json_decref(json);
    return ok;
}

/* bootOnce is for the start that is made now: the file has it no more. */
static void use_up_boot_once(struct control *c, const struct vz_config *config)
{
    struct vz_error err = {.text = "out of memory"};
    json_t *json = config_json(config, &err);
    bool there = json_object_get(json_object_get(json, "bootLoader"), "bootOnce"), ok;

    json_decref(json);
    if (!there)
        return;
    ok = control_begin_change(c, &err);
    if (ok) {
        ok = drop_boot_once(c, &err);
        control_end_change(c);
    }
    if (!ok)
        cli_error("%s: boot-once is still in its configuration: %s", c->bundle->name, err.text);
}

static struct vz_machine *make_machine(struct control *c, struct vz_error *err)
{
    struct vz_machine_delegate delegate = VZ_MACHINE_DELEGATE_INIT;
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct vz_config *config = bundle_config(c->bundle, err);
    struct vz_machine *m = NULL;
    struct sandbox_folders folders;

    /* Its folder, which is the current one: states and layers. */
    if (!run_sandbox(NULL, NULL, "", &folders, &o)) {
        fail(err, VZ_ERROR_INVALID, "VZ_SANDBOX or VZ_RUN_AS is wrong");
        vz_config_unref(config);
        return NULL;
    }
    delegate.state_changed = on_state;
    delegate.guest_address_changed = on_address;
    delegate.network_disconnected = on_disconnected;
    delegate.disk_error = on_disk_error;
    delegate.usb_device_disconnected = on_usb_gone;
    delegate.disk_connected = on_disk_connected;
    delegate.guest_panicked = on_panic;
    o.delegate = &delegate;
    o.delegate_arg = c;
    o.use_events_fd = true;
    if (config && vz_config_uses_stdio(config))
        c->console = console_hub_new(config, c->bundle, err);
    if (config && (c->console || !vz_config_uses_stdio(config)))
        m = vz_machine_new(config, &o, err);
    if (m && !saved_file(c->bundle)) /* what was saved does not boot */
        use_up_boot_once(c, config);
    vz_config_unref(config);
    return m;
}

/* On care's thread, which talks to us as others do. */
static void on_ports(void *arg, const json_t *ports)
{
    struct vz_error err;

    json_decref(client_ask(arg, "guest-ports", json_pack("{s:O}", "ports", ports), NULL, &err));
}

/* A guest that cannot be reached, or no memory for this: it goes without. */
static void begin_care(struct control *c)
{
    const struct guest_care_options o = {.connect = agent_link_connect, .arg = c->bundle, .name = c->bundle->name,
                                         .bundle = c->bundle, .keeps = true, .ports = on_ports,
                                         .config = vz_machine_config(c->machine), .after_fd = c->how.after_fd};

    if (guest_care_possible(vz_machine_config(c->machine)))
        c->care = guest_care_new(&o);
    if (!c->care && c->how.after_fd > 0)
        close(c->how.after_fd);
    c->ports.on = bundle_has(c->bundle, BUNDLE_AUTO_FORWARD);
    control_watch_ports(c, c->ports.on);
}

/* All that is needed before the machine starts. */
static bool prepare(struct control *c, struct vz_error *err)
{
    c->began_ms = now_ms();
    control_look_prepare();
    c->signal_fd = watch_signals();
    if (c->signal_fd < 0) {
        fail_errno(err, "signals");
        return false;
    }
    if (bundle_enter(c->bundle, err) < 0)
        return false;
    c->machine = make_machine(c, err);
    c->server = c->machine ? server_new(c, c->bundle, err) : NULL;
    if (!c->server)
        return false;
    begin_care(c);
    if (begin(c) == 0)
        return true;
    fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    return false;
}

/* Everybody who waits hears how it went, before the lock goes. */
static void finish(struct control *c)
{
    struct vz_machine_end end = {.reason = VZ_END_STOPPED};

    if (c->started) {
        vz_machine_wait(c->machine, &end);
        vz_machine_dispatch(c->machine); /* its last state, of which they hear first */
        last_run_ended(c->bundle, &end);
        control_tell(c, "ended", last_run_json(&end));
    }
    vnc_process_free(c->vnc);
    viewers_free(&c->viewers);
    vz_clipboard_free(c->clipboard);
    vz_machine_free(c->machine); /* delivers what is under way */
    console_hub_free(c->console);
    server_free(c->server, c->bundle);
    settle_end(&c->settling);
    guest_care_free(c->care); /* after all that it could wait for */
    if (c->signal_fd >= 0)
        close(c->signal_fd);
}

static int run(struct control *c, struct vz_error *err)
{
    bool ok = prepare(c, err);

    while (ok && !c->ended)
        serve(c);
    if (ok && !c->started && c->start_error.code)
        *err = c->start_error;
    else if (ok && !c->started)
        fail(err, VZ_ERROR_CANCELLED, "ended before the machine had started");
    ok = c->started;
    finish(c);
    return ok ? 0 : -1;
}

int process_run(struct bundle *b, void (*ready)(void *arg), void *arg)
{
    struct control c = {.bundle = b, .ready = ready, .ready_arg = arg, .signal_fd = -1};
    struct vz_error err = {.code = VZ_ERROR_NONE};

    if (run(&c, &err) == 0)
        return EXIT_OK;
    cli_error("%s", err.text);
    return EXIT_FAILED;
}

/* ---- In the background ---------------------------------------------------------------------- */

struct starter {
    struct control *control;
    bool goes_on; /* from what was saved */
    int fd; /* a pipe to who started us, for one struct vz_error: without code when the machine runs */
};

static bool tell_starter(struct starter *s, const struct vz_error *err)
{
    bool ok = write(s->fd, err, sizeof(*err)) == (ssize_t)sizeof(*err);

    close(s->fd);
    return ok;
}

/* Who was interrupted while it waited for us did not want this machine. But one that has gone on from what was saved
 * has nothing else to go on from. */
static void tell_ready(void *arg)
{
    struct starter *s = arg;

    if (!tell_starter(s, &(struct vz_error){.code = VZ_ERROR_NONE}) && !s->goes_on)
        vz_machine_stop(s->control->machine, NULL, NULL);
}

static bool is_awaited(void *arg)
{
    const struct starter *s = arg;
    struct pollfd p = {.fd = s->fd};

    return poll(&p, 1, 0) <= 0; /* else the other end is closed */
}

static void close_between(unsigned from, unsigned end)
{
    if (from < end && syscall(SYS_close_range, from, end - 1, 0) < 0) { /* before Linux 5.9 */
        for (unsigned i = from; i < end && i < 4096; i++)
            close((int)i);
    }
}

/* What the shell had open is not the machine's to keep open. */
static void close_others(const struct bundle *b, int fd, int after_fd)
{
    const unsigned keep[] = {(unsigned)b->fd, (unsigned)b->lock_fd, (unsigned)fd, (unsigned)after_fd};
    unsigned from = 3, next;

    do {
        next = UINT_MAX;
        for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
            next = keep[i] >= from && keep[i] < next ? keep[i] : next;
        close_between(from, next);
        from = next + 1;
    } while (from);
}

/* Standard input from nowhere, output into the folder's log. */
static bool redirect(const struct bundle *b)
{
    struct stat st;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), log;

    if (fstatat(b->fd, BUNDLE_LOG, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > LOG_MAX)
        renameat(b->fd, BUNDLE_LOG, b->fd, BUNDLE_LOG ".1");
    log = openat(b->fd, BUNDLE_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log >= 0 ? log : null, 1) < 0 || dup2(1, 2) < 0)
        return false;
    setvbuf(stderr, NULL, _IOLBF, 0);
    return true;
}

static void be_process(struct bundle *b, const struct process_manner *how, int fd)
{
    struct control c = {.bundle = b, .how = *how, .ready = tell_ready, .is_awaited = is_awaited, .signal_fd = -1,
                        .saves = true};
    struct starter s = {.control = &c, .goes_on = saved_file(b), .fd = fd};
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool ok;

    c.ready_arg = &s;
    setsid();
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    close_others(b, fd, how->after_fd);
    if (!redirect(b))
        fail_errno(&err, b->path);
    ok = !err.code && run(&c, &err) == 0;
    if (!ok && !tell_starter(&s, &err))
        cli_error("%s", err.text);
    _exit(ok ? EXIT_OK : EXIT_FAILED);
}

/* Wait for the process' word. */
static int hear(const struct bundle *b, int fd, pid_t pid, struct vz_error *err)
{
    struct vz_error why;
    ssize_t n;

    do {
        n = read(fd, &why, sizeof(why));
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(why) && !why.code)
        return 0;
    waitpid(pid, NULL, 0);
    if (n == (ssize_t)sizeof(why))
        return fail(err, why.code, "%s", why.text);
    return fail(err, VZ_ERROR_INTERNAL,
                "%.60s: its process died before the machine ran; see %.120s/" BUNDLE_LOG, b->name,
                b->path);
}

int process_begin(struct bundle *b, const struct process_manner *how, struct process_starting *ret, struct vz_error *err)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return fail_errno(err, "a pipe");
    fflush(NULL);
    *ret = (struct process_starting){.bundle = b, .pid = fork(), .fd = fd[0]};
    if (ret->pid == 0)
        be_process(b, how, fd[1]);
    close(fd[1]);
    if (ret->pid > 0)
        return 0;
    fail_errno(err, "a process");
    close(fd[0]);
    return -1;
}

int process_wait_started(const struct process_starting *s, struct vz_error *err)
{
    int result = hear(s->bundle, s->fd, s->pid, err);

    close(s->fd);
    return result;
}

int process_start(struct bundle *b, const struct process_manner *how, struct vz_error *err)
{
    struct process_starting s = {.fd = -1};

    return process_begin(b, how, &s, err) == 0 ? process_wait_started(&s, err) : -1;
}
