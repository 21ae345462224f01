/* SPDX-License-Identifier: MIT */
/* vz-agent: runs in a guest and does what its host asks for (docs/agent.md). One static program, without
 * threads, files or network of its own: a loop over connections and jobs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

static int fail(const char *what)
{
    fprintf(stderr, "vz-agent: %s: %s\n", what, strerror(errno));
    return EXIT_FAILURE;
}

static int usage(void)
{
    fputs("Usage: vz-agent [--port N | --fd N] [--root DIR] [--background]\n"
          "Do in this guest what its host asks for: run programs, copy files, and so on.\n"
          "See vz-agent(8).\n"
          "\n"
          "  --port N       the vsock port to listen on (default 30330)\n"
          "  --fd N         serve the one connection that is descriptor N, and end with it\n"
          "  --root DIR     the system whose identity is changed is in DIR\n"
          "  --background   listen, then go on in the background: for init scripts\n"
          "  --version      say which version this is\n",
          stderr);
    return 2;
}

/* The driver may come after us: a minute of patience, then whoever started us decides. */
static int listen_at(unsigned port)
{
    struct sockaddr_vm at = {.svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY};
    int fd = -1;

    for (unsigned i = 0; fd < 0 && i < 600; i++) {
        fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 && errno != EAFNOSUPPORT)
            break;
        if (fd < 0)
            usleep(100000);
    }
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool number(const char *text, unsigned *ret)
{
    char *end;
    unsigned long v = text ? strtoul(text, &end, 10) : 0;

    if (!text || !*text || *end || v >= UINT32_MAX)
        return false;
    *ret = (unsigned)v;
    return true;
}

struct arguments {
    unsigned port, fd;
    bool has_fd, background;
    const char *root;
};

static bool parse(int argc, char **argv, struct arguments *ret)
{
    *ret = (struct arguments){.port = AGENT_PORT, .root = ""};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (!strcmp(argv[i], "--background")) {
            ret->background = true;
            continue;
        }
        if (!value)
            return false;
        if (!strcmp(argv[i], "--root"))
            ret->root = value;
        else if (!strcmp(argv[i], "--fd") && number(value, &ret->fd))
            ret->has_fd = true;
        else if (strcmp(argv[i], "--port") || !number(value, &ret->port))
            return false;
        i++;
    }
    return true;
}

/* What the kernel should kill last, and what nobody may have left open or closed for us. */
static void settle(void)
{
    int fd;

    for (fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", O_RDWR);
    }
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "-900", 4);
        close(fd);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct guest g = {.listen_fd = -1, .signal_fd = -1};
    struct arguments a;

    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts("vz-agent " VZ_VERSION);
        return EXIT_SUCCESS;
    }
    if (!parse(argc, argv, &a))
        return usage();
    settle();
    g.root = a.root;
    if (!a.has_fd) {
        g.listen_fd = listen_at(a.port);
        if (g.listen_fd < 0)
            return fail("vsock");
    }
    if (a.background && daemon(0, 0) < 0)
        return fail("background");
    if (guest_open(&g) < 0)
        return fail("signals");
    if (a.has_fd) {
        int fd = fcntl((int)a.fd, F_DUPFD_CLOEXEC, 3);

        if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
            return fail("--fd");
        close((int)a.fd);
        connection_new(&g, fd);
    }
    guest_run(&g);
    return EXIT_SUCCESS;
}
