/* SPDX-License-Identifier: MIT */
/* Runs in a guest: netcheck COMMAND...
 *
 * Streams are a block of random bytes from a file, over and over; its length is odd, so that a
 * lost, doubled or swapped part cannot go unseen.
 *
 *   pull HOST PORT BLOCK BYTES   connect, read so much, compare
 *   push HOST PORT BLOCK BYTES   connect, write so much, half-close, wait for the other side's close
 *   both HOST PORT BLOCK BYTES   connect, write so much, half-close, then read so much
 *   serve PORT BLOCK BYTES       take one connection, read so much up to a half-close, then write it
 *   greet PORT                   say hello to everybody who connects, for ever
 *   echo-udp PORT                send datagrams back where they came from, for ever
 *   knock-udp HOST PORT          send a datagram to who is not there, say what comes of it
 *   offloads INTERFACE           say what the driver leaves to the device
 *   resolve SERVER NAME          ask for the name's address by DNS, print it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static unsigned char *block;
static size_t block_len;

static void die(const char *what)
{
    printf("netcheck: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in address(const char *host, const char *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

    if (host && !inet_aton(host, &a.sin_addr))
        die(host);
    return a;
}

static void read_block(const char *path)
{
    int fd = open(path, O_RDONLY);

    block = malloc(4 << 20);
    if (fd < 0 || !block)
        die(path);
    for (ssize_t n; (n = read(fd, block + block_len, (4 << 20) - block_len)) > 0;)
        block_len += (size_t)n;
    if (!block_len)
        die(path);
}

static int call(const char *host, const char *port)
{
    struct sockaddr_in a = address(host, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("connect");
    return fd;
}

static int listen_at(const char *port)
{
    struct sockaddr_in a = address(NULL, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0)
        die("listen");
    printf("netcheck: listening\n");
    fflush(stdout);
    return fd;
}

static int be_called(const char *port)
{
    int c = accept(listen_at(port), NULL, NULL);

    if (c < 0)
        die("accept");
    return c;
}

static void greet(const char *port)
{
    int fd = listen_at(port);

    for (;;) {
        int c = accept(fd, NULL, NULL);

        if (c < 0 || write(c, "hello", 5) != 5)
            die("greet");
        close(c);
    }
}

static void pull(int fd, uint64_t bytes)
{
    static unsigned char buf[256 << 10];
    uint64_t done = 0;

    while (done < bytes) {
        ssize_t n = read(fd, buf, bytes - done < sizeof(buf) ? (size_t)(bytes - done) : sizeof(buf));

        if (n < 0)
            die("read");
        if (!n) {
            printf("netcheck: the end after %llu bytes\n", (unsigned long long)done);
            exit(1);
        }
        for (size_t i = 0; i < (size_t)n;) {
            size_t at = (done + i) % block_len, k = block_len - at;

            k = k < (size_t)n - i ? k : (size_t)n - i;
            if (memcmp(buf + i, block + at, k)) {
                printf("netcheck: differs near %llu\n", (unsigned long long)(done + i));
                exit(1);
            }
            i += k;
        }
        done += (uint64_t)n;
    }
}

static void push(int fd, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes;) {
        size_t at = done % block_len, k = block_len - at;
        ssize_t n = write(fd, block + at, bytes - done < k ? (size_t)(bytes - done) : k);

        if (n <= 0)
            die("write");
        done += (uint64_t)n;
    }
    shutdown(fd, SHUT_WR);
}

/* Until the other side has it all: the machine may be switched off then. */
static void wait_until_acknowledged(int fd)
{
    int left;

    while (!ioctl(fd, SIOCOUTQ, &left) && left)
        usleep(10000);
}

static void expect_end(int fd)
{
    char c;

    if (read(fd, &c, 1) != 0)
        die("no end");
}

static void echo_udp(const char *port)
{
    struct sockaddr_in a = address(NULL, port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    static char buf[65536];

    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("bind");
    for (;;) {
        socklen_t len = sizeof(a);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&a, &len);

        if (n >= 0)
            sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&a, len);
    }
}

static unsigned ethtool(const char *interface, uint32_t command)
{
    struct ethtool_value v = {.cmd = command};
    struct ifreq request = {.ifr_data = (void *)&v};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    if (ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCETHTOOL, &request) < 0)
        die(interface);
    return v.data;
}

/* RFC 1035: one question; the answer's last four bytes are the address. */
static void resolve(const char *server, const char *name)
{
    unsigned char m[512] = {0x12, 0x34, 1, 0, 0, 1}, *p = m + 12;
    struct sockaddr_in a = address(server, "53");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ssize_t n = -1;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval));
    for (const char *s = name; *s;) {
        size_t k = strcspn(s, ".");

        *p++ = (unsigned char)k;
        memcpy(p, s, k);
        p += k;
        s += k + (s[k] == '.');
    }
    memcpy(p, "\0\0\1\0\1", 5);
    p += 5;
    for (int i = 0; i < 12 && n < 0; i++) {
        sendto(fd, m, (size_t)(p - m), 0, (struct sockaddr *)&a, sizeof(a));
        n = recv(fd, m, sizeof(m), 0);
    }
    if (n < 16 || !m[7])
        die("no answer");
    p = m + n - 4;
    printf("netcheck: %s is %u.%u.%u.%u\n", name, p[0], p[1], p[2], p[3]);
}

static void knock_udp(const char *host, const char *port)
{
    struct sockaddr_in a = address(host, port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    char c;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 30}, sizeof(struct timeval));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || send(fd, "?", 1, 0) < 0)
        die("send");
    errno = 0;
    (void)!recv(fd, &c, 1, 0);
    printf("netcheck: knock: %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (!strcmp(what, "pull") && argc == 6) {
        read_block(argv[4]);
        pull(call(argv[2], argv[3]), strtoull(argv[5], NULL, 0));
    } else if (!strcmp(what, "push") && argc == 6) {
        int fd = call(argv[2], argv[3]);

        read_block(argv[4]);
        push(fd, strtoull(argv[5], NULL, 0));
        expect_end(fd);
    } else if (!strcmp(what, "both") && argc == 6) {
        int fd = call(argv[2], argv[3]);

        read_block(argv[4]);
        push(fd, strtoull(argv[5], NULL, 0));
        pull(fd, strtoull(argv[5], NULL, 0));
        expect_end(fd);
    } else if (!strcmp(what, "serve") && argc == 5) {
        int fd = be_called(argv[2]);

        read_block(argv[3]);
        pull(fd, strtoull(argv[4], NULL, 0));
        expect_end(fd);
        push(fd, strtoull(argv[4], NULL, 0));
        wait_until_acknowledged(fd);
    } else if (!strcmp(what, "greet") && argc == 3) {
        greet(argv[2]);
    } else if (!strcmp(what, "echo-udp") && argc == 3) {
        echo_udp(argv[2]);
    } else if (!strcmp(what, "knock-udp") && argc == 4) {
        knock_udp(argv[2], argv[3]);
    } else if (!strcmp(what, "offloads") && argc == 3) {
        printf("netcheck: checksums %u, segments %u\n", ethtool(argv[2], ETHTOOL_GTXCSUM),
               ethtool(argv[2], ETHTOOL_GTSO));
    } else if (!strcmp(what, "resolve") && argc == 4) {
        resolve(argv[2], argv[3]);
    } else {
        return 2;
    }
    printf("netcheck: %s is well\n", what);
    return 0;
}
