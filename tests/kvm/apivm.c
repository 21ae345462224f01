/* SPDX-License-Identifier: MIT */
/* apivm ACCEL CPU KERNEL INITRD FOLDER: everything that a program may do with a running machine,
 * with a Linux guest whose shell is at COM1 (do=shell in tests/kvm/guest-init). CPU is default or
 * host; files go into FOLDER; APIVM_CPUS says how many CPUs it has (1). Prints "NAME: ok" for each
 * thing that works, and ends with status 1 at the first that does not. */
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vz/vz.h>

#define MIB       ((uint64_t)1 << 20)
#define LIMIT_S   600 /* against hanging only */
#define ROUNDS    100
#define CLOCK_EPS 0.3 /* seconds: /proc/uptime's steps, and two clocks that are not exactly as fast */

struct vm {
    struct vz_machine *m;
    const char *folder;
    int com1; /* our end of it */
    double began;
    char out[8192]; /* what the guest's last command printed */
};

static void fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    exit(1);
}

static void need(int r, const char *what, const struct vz_error *err)
{
    if (r < 0)
        fail("%s: %s", what, err->text);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_s(double s)
{
    struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};

    nanosleep(&t, NULL);
}

static void in_time(const struct vm *v, const char *what)
{
    if (now() > v->began + LIMIT_S)
        fail("%s: no end in sight; the guest said last:\n%s", what, v->out);
}

/* ---- The guest's shell ---------------------------------------------------------------------- */

/* Append a line of the guest's to v->out, without its end; returns where it begins. */
static char *read_line(struct vm *v)
{
    size_t used = strlen(v->out), begin = used;

    for (;;) {
        struct pollfd p = {.fd = v->com1, .events = POLLIN};
        char c;

        in_time(v, "waiting for the guest");
        if (poll(&p, 1, 1000) <= 0)
            continue;
        if (read(v->com1, &c, 1) != 1)
            fail("the guest's console is gone");
        if (c == '\n' || used + 2 > sizeof(v->out))
            return v->out + begin;
        if (c != '\r') {
            v->out[used++] = c;
            v->out[used] = '\0';
        }
    }
}

static void until_ready(struct vm *v)
{
    do
        v->out[0] = '\0';
    while (strcmp(read_line(v), "ready"));
    v->out[0] = '\0';
}

static int guest(struct vm *v, const char *command)
{
    char *line, text[512];
    int status;

    snprintf(text, sizeof(text), "%s\n", command);
    if (write(v->com1, text, strlen(text)) < 0)
        fail("the guest's console is gone");
    v->out[0] = '\0';
    for (;;) {
        line = read_line(v);
        if (sscanf(line, "= %d", &status) == 1) {
            *line = '\0';
            return status;
        }
        if (strlen(v->out) + 2 < sizeof(v->out))
            strcat(v->out, "\n");
    }
}

static void must(struct vm *v, const char *command)
{
    int status = guest(v, command);

    if (status)
        fail("%s: status %d: %s", command, status, v->out);
}

static void until_true(struct vm *v, const char *command)
{
    while (guest(v, command)) {
        in_time(v, command);
        sleep_s(0.1);
    }
}

static void works(const char *name)
{
    printf("%s: ok\n", name);
}

/* ---- What a program can change -------------------------------------------------------------- */

static void networks(struct vm *v)
{
    struct vz_network_attachment *nat = vz_nat_network_attachment_new(NULL, NULL);
    struct vz_error err;

    must(v, "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0");
    until_true(v, "grep 1 /sys/class/net/eth0/carrier");
    need(vz_machine_set_network_attachment(v->m, 0, NULL, &err), "network", &err);
    until_true(v, "grep 0 /sys/class/net/eth0/carrier");
    need(vz_machine_set_network_attachment(v->m, 0, nat, &err), "network", &err);
    vz_network_attachment_unref(nat);
    until_true(v, "grep 1 /sys/class/net/eth0/carrier");
    until_true(v, "ping -c 1 -w 10 10.0.2.2");
    works("a network that is taken away and given back");
}

static bool file_has(const struct vm *v, const char *name, const char *text)
{
    char path[512], data[256];
    ssize_t n = 0;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", v->folder, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, data, sizeof(data) - 1);
        close(fd);
    }
    data[n > 0 ? n : 0] = '\0';
    return strstr(data, text);
}

static void set_hvc0(struct vm *v, const char *name)
{
    struct vz_serial_attachment *a;
    struct vz_error err;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", v->folder, name);
    a = vz_file_serial_attachment_new(path, false, NULL);
    need(vz_machine_set_serial_attachment(v->m, 1, a, &err), "hvc0", &err);
    vz_serial_attachment_unref(a);
}

static void expect_on_hvc0(struct vm *v, const char *name, const char *text)
{
    char command[128];

    snprintf(command, sizeof(command), "echo %s >/dev/hvc0", text);
    must(v, command);
    while (!file_has(v, name, text)) {
        in_time(v, name);
        sleep_s(0.05);
    }
}

static void consoles(struct vm *v)
{
    expect_on_hvc0(v, "hvc0", "one");
    set_hvc0(v, "second");
    expect_on_hvc0(v, "second", "two");
    works("a console that leads elsewhere");
}

static void until_memory(struct vm *v, uint64_t bytes)
{
    struct vz_memory_state s = VZ_MEMORY_STATE_INIT;
    struct vz_error err;

    for (;;) {
        need(vz_machine_memory_state(v->m, &s, &err), "memory", &err);
        if (s.actual == bytes)
            return;
        in_time(v, "balloon");
        sleep_s(0.1);
    }
}

static void set_memory(struct vm *v, uint64_t bytes)
{
    struct vz_error err;

    need(vz_machine_set_memory_target(v->m, bytes, &err), "memory target", &err);
}

static void balloon(struct vm *v)
{
    set_memory(v, 160 * MIB);
    until_memory(v, 160 * MIB);
    must(v, "[ $(awk '/MemFree/ {print $2}' /proc/meminfo) -lt 150000 ]");
    set_memory(v, 256 * MIB);
    until_memory(v, 256 * MIB);
    works("a balloon");
}

static bool on_go(void *arg, struct vz_machine *m, struct vz_socket_connection *c)
{
    return write(vz_socket_connection_fd(c), "ok", 2) == 2;
}

static void sockets(struct vm *v)
{
    struct vz_socket_connection *c;
    struct vz_error err;
    char got[16] = "";
    int fd;

    need(vz_machine_socket_listen(v->m, 1000, on_go, NULL, &err), "listen", &err);
    must(v, "vsocktool go 1000");
    vz_machine_socket_unlisten(v->m, 1000);
    must(v, "! vsocktool go 1000 2>/dev/null");
    must(v, "vsocktool echo 6000 & sleep 1");
    while (!(c = vz_machine_socket_connect_wait(v->m, 6000, &err))) {
        in_time(v, err.text);
        sleep_s(0.2);
    }
    fd = vz_socket_connection_fd(c);
    if (write(fd, "over there", 10) != 10 || shutdown(fd, SHUT_WR) ||
        recv(fd, got, 10, MSG_WAITALL) != 10 || strcmp(got, "over there"))
        fail("sockets: '%s' came back", got);
    vz_socket_connection_unref(c);
    works("sockets");
}

static void changes_while_paused(struct vm *v)
{
    struct vz_error err;

    need(vz_machine_pause_wait(v->m, &err), "pause", &err);
    need(vz_machine_set_network_attachment(v->m, 0, NULL, &err), "network", &err);
    set_hvc0(v, "paused");
    set_memory(v, 200 * MIB);
    need(vz_machine_resume_wait(v->m, &err), "resume", &err);
    until_true(v, "grep 0 /sys/class/net/eth0/carrier");
    expect_on_hvc0(v, "paused", "three");
    until_memory(v, 200 * MIB);
    works("changes while it is paused");
}

/* ---- Time ----------------------------------------------------------------------------------- */

/* The guest's clock, and between which times of ours it was read. */
struct reading {
    double guest, before, after;
};

static struct reading read_clock(struct vm *v)
{
    struct reading r = {.before = now()};

    must(v, "cat /proc/uptime");
    r.after = now();
    if (sscanf(v->out, "%lf", &r.guest) != 1)
        fail("uptime: %s", v->out);
    return r;
}

/* For how long the guest stood still, at least and at most. */
struct still {
    double min, max;
};

static void pause_for(struct vm *v, double s, struct still *sum)
{
    double before = now(), paused, resumed;
    struct vz_error err;

    need(vz_machine_pause_wait(v->m, &err), "pause", &err);
    paused = now();
    sleep_s(s);
    resumed = now();
    need(vz_machine_resume_wait(v->m, &err), "resume", &err);
    sum->min += resumed - paused;
    sum->max += now() - before;
}

static void time_stands_still(const struct reading *a, const struct reading *b,
                              const struct still *s)
{
    double gone = b->guest - a->guest;
    double least = b->before - a->after - s->max - CLOCK_EPS;
    double most = b->after - a->before - s->min + CLOCK_EPS;

    printf("the guest counted %.2f s, between %.2f and %.2f are right; it was paused for %.2f to %.2f\n",
           gone, least, most, s->min, s->max);
    if (gone < least || gone > most)
        fail("the guest's clock did not stand still");
}

static void pauses(struct vm *v)
{
    struct still sum = {0, 0};
    struct reading a, b;

    must(v, "cat /sys/devices/system/clocksource/clocksource0/current_clocksource");
    printf("clock source: %s", v->out);
    must(v, "steady /dev/vda >/steady 2>&1 & true");
    a = read_clock(v);
    for (unsigned n = 0; n < ROUNDS; n++) {
        pause_for(v, n == ROUNDS / 2 ? 5 : n % 3 * 0.05, &sum);
        sleep_s(n % 5 * 0.02);
    }
    b = read_clock(v);
    time_stands_still(&a, &b, &sum);
    must(v, "kill $(pidof steady); wait; cat /steady");
    printf("%s", v->out);
    must(v, "[ $(grep -c right /steady) = 2 ]");
    must(v, "! dmesg | grep -E 'as unstable|TSC warp|kernel BUG|Oops'");
    works("pauses while it computes and uses its disk");
}

/* ---- The machine ---------------------------------------------------------------------------- */

static struct vz_config *make_config(char **argv, int com1)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_virtio_balloon_options bo = VZ_VIRTIO_BALLOON_OPTIONS_INIT;
    struct vz_config *c = vz_config_new(NULL, NULL);
    struct vz_storage_attachment *image;
    char path[512];

    b.kernel = argv[3];
    b.initrd = argv[4];
    b.cmdline = "console=ttyS0 loglevel=5 nohz=off panic=-1 do=shell";
    bo.no_free_page_reporting = true; /* or nobody could tell which of the two it was */
    vz_config_set_accel(c, argv[1], NULL);
    vz_config_set_host_cpu(c, !strcmp(argv[2], "host"));
    vz_config_set_cpu_count(c, getenv("APIVM_CPUS") ? (unsigned)atoi(getenv("APIVM_CPUS")) : 1);
    vz_config_set_memory_size(c, 256 * MIB);
    vz_config_set_boot_loader(c, vz_linux_boot_loader_new(&b, NULL));
    vz_config_add_serial_port(
        c, vz_uart_serial_port_new(vz_fd_serial_attachment_new(com1, com1, NULL), NULL), NULL);
    snprintf(path, sizeof(path), "%s/hvc0", argv[5]);
    vz_config_add_serial_port(
        c, vz_virtio_serial_port_new(vz_file_serial_attachment_new(path, false, NULL), NULL), NULL);
    snprintf(path, sizeof(path), "%s/disk", argv[5]);
    image = vz_disk_image_attachment_new(path, NULL, NULL);
    vz_config_add_storage_device(c, vz_virtio_block_device_new(image, NULL, NULL), NULL);
    vz_config_add_network_device(
        c, vz_virtio_network_device_new(vz_nat_network_attachment_new(NULL, NULL), NULL, NULL), NULL);
    vz_config_add_balloon_device(c, vz_virtio_balloon_device_new(&bo, NULL), NULL);
    vz_config_add_socket_device(c, vz_virtio_socket_device_new(NULL, NULL), NULL);
    return c; /* the references are ours until the process ends */
}

/* Again from the beginning, with a pause in the middle of the boot; and the guest turns it off. */
static void second_run(struct vm *v)
{
    struct still sum = {0, 0};
    struct vz_machine_end end;
    struct vz_error err;

    need(vz_machine_stop_wait(v->m, &err), "stop", &err);
    need(vz_machine_start_wait(v->m, &err), "start", &err);
    for (unsigned n = 0; n < 10; n++) {
        sleep_s(0.1);
        pause_for(v, 0.02, &sum);
    }
    until_ready(v);
    if (write(v->com1, "poweroff -f\n", 12) != 12)
        fail("the guest's console is gone");
    vz_machine_wait(v->m, &end);
    if (end.reason != VZ_END_POWEROFF)
        fail("it ended with %d: %s", end.reason, end.text);
    works("a second run");
}

int main(int argc, char **argv)
{
    struct vm v = {.began = now()};
    struct vz_error err = {.text = "usage"};
    struct vz_config *c;
    char path[512];
    int pair[2], fd;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 6 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        fail("usage: apivm ACCEL default|host KERNEL INITRD FOLDER");
    v.folder = argv[5];
    v.com1 = pair[0];
    snprintf(path, sizeof(path), "%s/disk", v.folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 2 * MIB) < 0)
        fail("%s cannot be made", path);
    close(fd);
    c = make_config(argv, pair[1]);
    v.m = vz_machine_new(c, NULL, &err);
    need(v.m ? 0 : -1, "machine", &err);
    need(vz_machine_start_wait(v.m, &err), "start", &err);
    until_ready(&v);
    pauses(&v);
    if (strcmp(argv[2], "host")) {
        networks(&v);
        consoles(&v);
        balloon(&v);
        sockets(&v);
        changes_while_paused(&v);
        second_run(&v);
    }
    vz_machine_free(v.m);
    return 0;
}
