/* SPDX-License-Identifier: MIT */
/* In the guest: vsocktool echo PORT: take connections, send back what comes, half-close after the
 * peer did. vsocktool connect PORT COUNT BYTES: COUNT connections to the host at once, each sends
 * BYTES, half-closes, and expects them back. vsocktool go PORT: connect, wait for "ok". vsocktool
 * messages PORT: by SOCK_SEQPACKET, send messages of many lengths and expect each back. vsocktool
 * stranger CID: connect to an address that is nobody's, say how that ends. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_type(unsigned cid, unsigned port, int listening, int type)
{
    struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    struct timeval patience = {.tv_sec = 300}; /* Linux gives up after 2 s otherwise */
    int fd = socket(AF_VSOCK, type, 0), r;

    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof(patience));
    r = listening ? bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 512)
                  : connect(fd, (struct sockaddr *)&a, sizeof(a));
    if (r) {
        perror("vsocktool");
        exit(1);
    }
    return fd;
}

static int open_to(unsigned cid, unsigned port, int listening)
{
    return open_type(cid, port, listening, SOCK_STREAM);
}

static int echo(int fd)
{
    char buf[16384];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t done = 0, w; done < n; done += w) {
            w = write(fd, buf + done, (size_t)(n - done));
            if (w <= 0)
                return 1;
        }
    }
    shutdown(fd, SHUT_WR);
    close(fd);
    return 0;
}

static char pattern(size_t i, unsigned seed)
{
    return (char)(i * 31 + i / 4096 + seed);
}

static int exchange(int fd, size_t len, unsigned seed)
{
    size_t sent = 0, got = 0;
    char buf[16384];

    while (got < len || sent < len) {
        struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (sent < len ? POLLOUT : 0))};
        ssize_t n;

        if (poll(&p, 1, 300000) <= 0)
            return 2;
        if ((p.revents & POLLOUT) && sent < len) {
            size_t k = len - sent < sizeof(buf) ? len - sent : sizeof(buf);

            for (size_t i = 0; i < k; i++)
                buf[i] = pattern(sent + i, seed);
            n = send(fd, buf, k, MSG_DONTWAIT);
            sent += n > 0 ? (size_t)n : 0;
            if (sent == len)
                shutdown(fd, SHUT_WR);
        }
        if (p.revents & POLLIN) {
            n = read(fd, buf, sizeof(buf));
            if (n <= 0)
                return 3;
            for (ssize_t i = 0; i < n; i++) {
                if (buf[i] != pattern(got++, seed))
                    return 4;
            }
        }
    }
    return read(fd, buf, 1) == 0 ? 0 : 5; /* and then the end */
}

static int messages(unsigned port)
{
    static const size_t len[] = {1, 2, 100, 4096, 65536, 65537, 150000, 3, 250000, 1};
    static char out[250000], in[sizeof(out) + 1];
    int fd = open_type(VMADDR_CID_HOST, port, 0, SOCK_SEQPACKET);

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = pattern(i, 7);
    for (unsigned i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
        if (send(fd, out, len[i], 0) != (ssize_t)len[i])
            return 1;
    }
    for (unsigned i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
        if (recv(fd, in, sizeof(in), 0) != (ssize_t)len[i] || memcmp(in, out, len[i]))
            return 1;
    }
    shutdown(fd, SHUT_WR);
    return recv(fd, in, sizeof(in), 0) == 0 ? 0 : 1;
}

static int stranger(unsigned cid)
{
    struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = 1};

    errno = 0;
    (void)!connect(socket(AF_VSOCK, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof(a));
    printf("stranger: %s\n", strerror(errno));
    return 0;
}

int main(int argc, char **argv)
{
    unsigned port = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    int status, bad = 0;
    char buf[2];

    if (!strcmp(argv[1], "echo")) {
        int fd = open_to(VMADDR_CID_ANY, port, 1);

        signal(SIGCHLD, SIG_IGN);
        for (;;) {
            int c = accept(fd, NULL, NULL);

            if (!fork())
                return echo(c);
            close(c);
        }
    }
    if (!strcmp(argv[1], "messages"))
        return messages(port);
    if (!strcmp(argv[1], "stranger"))
        return stranger(port);
    if (!strcmp(argv[1], "go"))
        return read(open_to(VMADDR_CID_HOST, port, 0), buf, 2) == 2 && buf[0] == 'o' ? 0 : 1;
    for (int i = 0; i < atoi(argv[3]); i++) {
        if (!fork())
            return exchange(open_to(VMADDR_CID_HOST, port, 0), (size_t)atoi(argv[4]), (unsigned)i);
    }
    while (wait(&status) > 0)
        bad += status != 0;
    printf("vsocktool: %d connections failed\n", bad);
    return bad != 0;
}
