/* SPDX-License-Identifier: MIT */
/* The /init of a guest whose root is a directory that its host shares (vz run --root): a static program in an initramfs
 * that vz makes. It loads the drivers, mounts the root, lays an overlay over it where that is wanted, and becomes the root's own
 * init; a root that has none, as images for containers, gets along with this program as process 1.
 *
 * The initramfs has, besides: /mod/NN, drivers in the order in which they are loaded; /agent, the guest's agent, to be run in
 * the root; and /root.conf, lines "tag TAG", "overlay tmpfs|TAG" and "wait" (with the agent alone, without a shell). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "init_net.h"

#define PVPANIC_PORT     0x505
#define PVPANIC_PANICKED 1

#define NO_TAG "longer than the 36 bytes that a share's tag has room for"

#define DRIVERS_MAX 100
#define TRIES       250 /* of 20 ms: until the device is there */

struct setup {
    char tag[64], overlay[64]; /* overlay: "" (none), "tmpfs", or the tag of what holds the changes */
    bool wait;
};

static void say(const char *what, int err)
{
    fprintf(stderr, "vz: %s: %s\n", what, strerror(err));
}

/* Nothing more can be done. The kernel panics when process 1 ends, but tells the host of it only by a driver, which may be
 * what is missing; so this does, as that would (docs/specs.md). */
static void give_up(const char *what, int err)
{
    say(what, err);
    (void)tcdrain(STDERR_FILENO); /* the host may end the machine before its console has said that */
    sync();
    if (ioperm(PVPANIC_PORT, 1, 1) == 0)
        outb(PVPANIC_PANICKED, PVPANIC_PORT);
    exit(EXIT_FAILURE);
}

/* ---- Setting up ----------------------------------------------------------------------------- */

static void read_setup(struct setup *ret)
{
    FILE *f = fopen("/root.conf", "re");
    char line[128];

    *ret = (struct setup){.wait = false};
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        if (!strncmp(line, "tag ", 4))
            snprintf(ret->tag, sizeof(ret->tag), "%.60s", line + 4);
        else if (!strncmp(line, "overlay ", 8))
            snprintf(ret->overlay, sizeof(ret->overlay), "%.60s", line + 8);
        else if (!strcmp(line, "wait"))
            ret->wait = true;
    }
    if (f)
        fclose(f);
}

/* How many there were. */
static int load_drivers(void)
{
    char path[32];
    int fd, i;

    for (i = 0; i < DRIVERS_MAX; i++) {
        snprintf(path, sizeof(path), "/mod/%02d", i);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            break;
        if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
            say(path, errno);
        close(fd);
        unlink(path);
    }
    return i;
}

static void make(const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        give_up(path, errno);
}

/* Of the kernel's own, or by one of so many drivers that the host has found for it. */
static void need_virtiofs(int drivers)
{
    struct utsname u;
    char what[320];

    make("/root");
    if (mount(NO_TAG, "/root", "virtiofs", 0, NULL) == 0 || errno != ENODEV)
        return; /* there is no such share: it was asked, at least */
    uname(&u);
    snprintf(what, sizeof(what), drivers ? "neither the kernel %s nor its folder of modules has virtiofs" :
             "the kernel %s has no virtiofs of its own, and there is no lib/modules/%s, neither in the root nor beside "
             "the kernel's folder nor on the host", u.release, u.release);
    give_up(what, ENODEV);
}

static void mount_share(const char *tag, const char *path, unsigned long flags)
{
    char what[160];
    int r = -1;

    make(path);
    for (int i = 0; r < 0 && i < TRIES; i++) {
        r = mount(tag, path, "virtiofs", flags, NULL);
        if (r < 0)
            usleep(20000);
    }
    snprintf(what, sizeof(what), "the shared directory '%s' cannot be mounted", tag);
    if (r < 0)
        give_up(what, errno);
}

/* What is written goes to memory, or to another share. */
static void mount_overlay(const char *where)
{
    make("/up");
    if (!strcmp(where, "tmpfs")) {
        if (mount("tmpfs", "/up", "tmpfs", 0, "mode=755") < 0)
            give_up("/up", errno);
    } else {
        mount_share(where, "/up", 0);
    }
    make("/up/upper");
    make("/up/work");
    make("/root");
    if (mount("overlay", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/up/upper,workdir=/up/work") < 0)
        give_up("the overlay over the root cannot be mounted", errno);
}

/* ---- In the root ---------------------------------------------------------------------------- */

/* What process 1 of a root without an init has to see to. Folders that are not there, nobody misses. */
static void mount_the_usual(void)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}};

    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mkdir("/dev/pts", 0755);
    mkdir("/dev/shm", 0755);
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=620,gid=5");
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL);
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            say(links[i][1], errno);
    }
}

/* /dev/console can be nobody's controlling terminal; what is behind it can, so that Ctrl-C is a signal. */
static void take_terminal(void)
{
    char names[256] = "", path[280], *last;
    int fd = open("/sys/class/tty/console/active", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, names, sizeof(names) - 1) : 0;

    if (fd >= 0)
        close(fd);
    names[n > 0 ? n : 0] = '\0';
    names[strcspn(names, "\n")] = '\0';
    last = strrchr(names, ' ');
    snprintf(path, sizeof(path), "/dev/%s", last ? last + 1 : names);
    fd = open(path, O_RDWR | O_NOCTTY);
    for (int i = 0; fd >= 0 && i < 3; i++)
        dup2(fd, i);
    ioctl(STDIN_FILENO, TIOCSCTTY, 1);
}

/* The program that is open as fd, which may be in no folder of the root. */
static pid_t start(int fd, const char *path, const char *const argv[])
{
    static const char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                                      "TERM=linux", NULL};
    pid_t pid = fork();

    if (pid)
        return pid;
    setsid();
    if (fd < 0) {
        take_terminal();
        execve(path, (char *const *)argv, (char *const *)env);
    } else {
        fexecve(fd, (char *const *)argv, (char *const *)env);
    }
    say(path, errno);
    _exit(127);
}

/* 0: there is none. */
static pid_t start_agent(int fd)
{
    static const char *const argv[] = {"vz-agent", NULL};

    return fd >= 0 ? start(fd, argv[0], argv) : 0;
}

static void power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    give_up("power off", errno);
}

/* For a root that has no init. */
static void be_init(const struct setup *s, int agent)
{
    static const char *const shell_argv[] = {"sh", "-i", NULL};
    pid_t agent_pid, last, pid;

    mount_the_usual();
    net_start();
    agent_pid = start_agent(agent);
    last = s->wait ? agent_pid : start(-1, "/bin/sh", shell_argv);
    while ((pid = wait(NULL)) > 0 || errno == EINTR) {
        if (pid > 0 && pid == last)
            power_off(); /* nobody can ask for anything any more */
    }
    power_off();
}

/* Of the kernel's command line, as its own init= is meant; else where it looks itself. NULL: none. */
static const char *find_init(char line[4096])
{
    static const char *const places[] = {"/sbin/init", "/etc/init", "/bin/init"};
    char *rest = line, *word, *found = NULL;

    while ((word = strsep(&rest, " \n"))) {
        if (!strncmp(word, "init=", 5))
            found = word + 5;
    }
    if (found)
        return found;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct stat st; /* a link there may be absolute, which is right from inside only */

        if (stat(places[i], &st) == 0 && S_ISREG(st.st_mode) && access(places[i], X_OK) == 0)
            return places[i];
    }
    return NULL;
}

static void read_command_line(char ret[4096])
{
    int fd;
    ssize_t n = 0;

    make("/proc");
    mount("proc", "/proc", "proc", 0, NULL);
    fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        n = read(fd, ret, 4095);
    ret[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    umount("/proc");
}

static void enter_root(void)
{
    if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0)
        say("the root has no folder /dev", errno);
    if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        give_up("the root cannot be entered", errno);
}

/* Standard input, output and errors: the kernel had no console to give where /dev was empty. */
static void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    if (fd < 0)
        fd = open("/dev/null", O_RDWR);
    for (int i = 0; fd >= 0 && i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
}

int main(void)
{
    const char *argv[] = {NULL, NULL};
    char line[4096];
    struct setup s;
    int agent;

    make("/dev");
    mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
    open_console();
    read_setup(&s);
    read_command_line(line);
    need_virtiofs(load_drivers());
    agent = open("/agent", O_RDONLY | O_CLOEXEC);
    mount_share(s.tag, s.overlay[0] ? "/lower" : "/root", s.overlay[0] ? MS_RDONLY : 0);
    if (s.overlay[0])
        mount_overlay(s.overlay);
    unlink("/agent");
    unlink("/init");
    enter_root();
    argv[0] = find_init(line);
    if (!argv[0])
        be_init(&s, agent);
    /* A root with an agent of its own starts that. */
    if (access("/usr/sbin/vz-agent", X_OK) < 0)
        (void)start_agent(agent);
    execv(argv[0], (char *const *)argv);
    give_up(argv[0], errno);
}
