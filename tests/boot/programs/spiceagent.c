/* SPDX-License-Identifier: MIT */
/* A guest's SPICE agent that does what it is told by lines on standard input, and says what it hears:
 *   open, close              the port
 *   offer SELECTION TYPE LEN copy LEN bytes of a pattern; with "claim" in place of it say LEN, and send zeros
 *   release SELECTION
 *   paste SELECTION TYPE     "pasted SELECTION TYPE LEN SUM"
 *   follow                   paste whatever is offered
 *   mute                     answer nothing from now on
 *   junk                     send what is no message
 *   take ID                  the file of that number is to come: "came ID LEN SUM" when it has
 *   status ID RESULT         say that of it
 * and "file ID LINES", of the text it begins with; "cancelled ID"; "caps", "grab SELECTION TYPES", "released SELECTION", "asked SELECTION TYPE", "monitors WxH+X ...". */
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPS ((1u << 1) | (1u << 5) | (1u << 6) | (1u << 8) | (1u << 10))
enum { MONITORS = 2, CLIPBOARD = 4, ANNOUNCE = 6, GRAB, REQUEST, RELEASE, FILE_START, FILE_STATUS, FILE_DATA };

static char device[64];
static int port = -1;
static uint8_t *message;
static size_t have;
static struct {
    uint32_t type, len;
    int claims;
} copied[2];
static int mute, follow;
static struct {
    uint32_t id, sum;
    uint64_t size, have;
} coming[16];

static void find_port(void)
{
    glob_t g;
    char name[64];

    glob("/sys/class/virtio-ports/*/name", 0, NULL, &g);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        FILE *f = fopen(g.gl_pathv[i], "r");

        if (f && fscanf(f, "%63s", name) == 1 && !strcmp(name, "com.redhat.spice.0")) {
            *strrchr(g.gl_pathv[i], '/') = '\0';
            snprintf(device, sizeof(device), "/dev%s", strrchr(g.gl_pathv[i], '/'));
        }
        if (f)
            fclose(f);
    }
}

static void put(const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len) {
        ssize_t n = write(port, p, len);

        if (n < 0) {
            perror("port");
            exit(1);
        }
        p += n;
        len -= (size_t)n;
    }
}

/* A message of a head and len bytes of what byte() says. */
static void say(uint32_t type, const uint32_t *head, uint32_t head_len, uint32_t len, int zeros)
{
    static uint8_t piece[2048 + 8];
    uint32_t m[5] = {1, type, 0, 0, head_len + len}, total = 20 + head_len + len;

    for (uint32_t at = 0; at < total;) {
        uint32_t part = total - at < 2048 ? total - at : 2048;

        memcpy(piece, (const uint32_t[]){1, part}, 8);
        for (uint32_t i = 0; i < part; i++, at++) {
            uint32_t k = at - 20 - head_len;

            piece[8 + i] = at < 20 ? ((uint8_t *)m)[at] : at < 20 + head_len ? ((const uint8_t *)head)[at - 20]
                         : zeros ? 0 : (uint8_t)('a' + (k * 7 + k / 251) % 26);
        }
        put(piece, 8 + part);
    }
}

static void open_port(void)
{
    port = open(device, O_RDWR);
    have = 0;
    if (port < 0)
        perror(device);
    say(ANNOUNCE, (const uint32_t[]){1, CAPS}, 8, 0, 0);
}

static uint32_t word(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

static void on_file(const uint8_t *b, uint32_t len)
{
    const char *text = (const char *)b + 4, *size = strstr(text, "\nsize=");
    uint32_t id = word(b);

    coming[id % 16].id = id;
    coming[id % 16].size = size ? strtoull(size + 6, NULL, 10) : 0;
    coming[id % 16].have = coming[id % 16].sum = 0;
    printf("file %u ", id);
    for (uint32_t i = 0; i + 5 < len; i++)
        putchar(text[i] == '\n' ? '|' : text[i]);
    printf("\n");
}

static void on_file_data(const uint8_t *b, uint32_t len)
{
    uint32_t id = word(b), i = id % 16;

    for (uint32_t k = 12; k < len; k++)
        coming[i].sum = coming[i].sum * 31 + b[k];
    coming[i].have += len - 12;
    if (coming[i].id != id || word(b + 4) != len - 12)
        printf("bad data\n");
    if (coming[i].have < coming[i].size)
        return;
    printf("came %u %llu %u\n", id, (unsigned long long)coming[i].have, coming[i].sum);
    say(FILE_STATUS, (const uint32_t[]){id, 3}, 8, 0, 0);
}

static void on_message(uint32_t type, const uint8_t *b, uint32_t len)
{
    uint32_t sum = 0, s = len ? b[0] & 1 : 0;

    switch (type) {
    case ANNOUNCE:
        printf("caps\n");
        if (word(b))
            say(ANNOUNCE, (const uint32_t[]){0, CAPS}, 8, 0, 0);
        break;
    case GRAB:
        printf("grab %u", s);
        for (uint32_t i = 4; i + 4 <= len; i += 4)
            printf(" %u", word(b + i));
        printf("\n");
        if (follow && len >= 8)
            say(REQUEST, (const uint32_t[]){s, word(b + 4)}, 8, 0, 0);
        break;
    case RELEASE:
        printf("released %u\n", s);
        break;
    case REQUEST:
        printf("asked %u %u\n", s, word(b + 4));
        if (!mute)
            say(CLIPBOARD, (const uint32_t[]){s, copied[s].type}, 8, copied[s].len, copied[s].claims);
        break;
    case CLIPBOARD:
        for (uint32_t i = 8; i < len; i++)
            sum = sum * 31 + b[i];
        printf("pasted %u %u %u %u\n", s, word(b + 4), len - 8, sum);
        break;
    case FILE_START:
        on_file(b, len);
        break;
    case FILE_DATA:
        on_file_data(b, len);
        break;
    case FILE_STATUS:
        printf("cancelled %u\n", word(b));
        break;
    case MONITORS:
        printf("monitors");
        for (uint32_t i = 0; i < word(b); i++)
            printf(" %ux%u+%u", word(b + 8 + i * 20 + 4), word(b + 8 + i * 20), word(b + 8 + i * 20 + 12));
        printf("\n");
        break;
    }
    fflush(stdout);
}

/* Chunks hold parts of one message each. */
static void get(void)
{
    static uint8_t in[4096];
    static size_t in_len;
    ssize_t n = read(port, in + in_len, sizeof(in) - in_len);

    if (n <= 0)
        return;
    in_len += (size_t)n;
    while (in_len >= 8 && in_len >= 8 + word(in + 4)) {
        uint32_t part = word(in + 4);

        if (part > 2048 || word(in) != 1) {
            printf("a bad chunk\n");
            exit(1);
        }
        message = realloc(message, have + part);
        memcpy(message + have, in + 8, part);
        have += part;
        memmove(in, in + 8 + part, in_len -= 8 + part);
        if (have >= 20 && have == 20 + (size_t)word(message + 16)) {
            on_message(word(message + 4), message + 20, word(message + 16));
            have = 0;
        }
    }
}

static void obey(const char *line)
{
    uint32_t s, type, len;

    if (!strncmp(line, "open", 4)) {
        open_port();
    } else if (!strncmp(line, "close", 5)) {
        close(port);
        port = -1;
        printf("closed\n");
    } else if (sscanf(line, "offer %u %u %u", &s, &type, &len) == 3 ||
               sscanf(line, "claim %u %u %u", &s, &type, &len) == 3) {
        copied[s & 1].type = type;
        copied[s & 1].len = len;
        copied[s & 1].claims = line[0] == 'c';
        say(GRAB, (const uint32_t[]){s, type}, 8, 0, 0);
    } else if (sscanf(line, "release %u", &s) == 1) {
        say(RELEASE, &s, 4, 0, 0);
    } else if (sscanf(line, "paste %u %u", &s, &type) == 2) {
        say(REQUEST, (const uint32_t[]){s, type}, 8, 0, 0);
    } else if (sscanf(line, "take %u", &s) == 1) {
        say(FILE_STATUS, (const uint32_t[]){s, 0}, 8, 0, 0);
    } else if (sscanf(line, "status %u %u", &s, &type) == 2) {
        say(FILE_STATUS, (const uint32_t[]){s, type}, 8, 0, 0);
    } else if (!strncmp(line, "mute", 4)) {
        mute = 1;
    } else if (!strncmp(line, "follow", 6)) {
        follow = 1;
    } else if (!strncmp(line, "junk", 4)) {
        static const uint32_t junk[] = {1, 0xffffffff, 1, CLIPBOARD, 0, 0, 0xffffffff, 0, 1, 7, 7, 7};

        put(junk, sizeof(junk));
    }
    fflush(stdout);
}

int main(void)
{
    static char line[256];
    size_t len = 0;

    find_port();
    open_port();
    for (;;) {
        struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = port, .events = POLLIN}};

        poll(p, 2, -1);
        if (p[0].revents) {
            if (read(0, line + len, 1) <= 0)
                return 0;
            if (line[len] == '\n' || len == sizeof(line) - 2) {
                line[len + 1] = '\0';
                len = 0;
                obey(line);
            } else {
                len++;
            }
        }
        if (port >= 0 && p[1].revents)
            get();
    }
}
