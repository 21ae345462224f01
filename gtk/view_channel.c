/* SPDX-License-Identifier: MIT */
#include "view_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/sockios.h>

#define HELLO_MS 5000 /* its thread sends it at once, on a host that is not busy */

/* The descriptor that came along, or -1. */
static int take_fd(struct msghdr *m)
{
    int fd = -1;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(h), sizeof(fd));
    }
    return fd;
}

/* recvmsg() with a descriptor; -1: none has come. */
static ssize_t receive_with_fd(int from, void *to, size_t size, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } u;
    struct iovec iov = {to, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u,
                       .msg_controllen = CMSG_LEN(sizeof(int))}; /* with its padding it would take two */
    ssize_t n = recvmsg(from, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | MSG_TRUNC);

    *ret_fd = n >= 0 ? take_fd(&m) : -1;
    return n;
}

static int receive_hello(struct view_channel *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    ssize_t n = -1;
    int fd = -1;

    if (poll(&p, 1, HELLO_MS) == 1)
        n = receive_with_fd(c->fd, &c->hello, sizeof(c->hello), &fd);
    if (fd >= 0 && n == (ssize_t)sizeof(c->hello) && c->hello.kind == VZ_CHANNEL_HELLO &&
        c->hello.version == VZ_CHANNEL_VERSION)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A file that ends before what we are told would kill us, so it must be as long, and stay so. */
static bool map_memory(struct view_channel *c, int fd)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    void *map;

    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < c->hello.memory_size || !c->hello.memory_size || seals < 0 ||
        !(seals & F_SEAL_SHRINK))
        return false;
    map = mmap(NULL, c->hello.memory_size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (map != MAP_FAILED)
        c->memory = map;
    return map != MAP_FAILED;
}

bool view_channel_open(struct view_channel *ret, int fd)
{
    int memory;
    bool ok;

    *ret = (struct view_channel){.fd = fd};
    memory = fd >= 0 ? receive_hello(ret) : -1;
    ok = memory >= 0 && map_memory(ret, memory);
    if (memory >= 0)
        close(memory);
    if (!ok)
        view_channel_close(ret);
    return ok;
}

void view_channel_close(struct view_channel *c)
{
    if (c->memory)
        munmap((void *)(uintptr_t)c->memory, c->hello.memory_size);
    if (c->fd >= 0)
        close(c->fd);
    *c = (struct view_channel){.fd = -1};
}

static bool damage_fits(const struct vz_channel_update *u)
{
    for (uint32_t i = 0; i < u->damage_count; i++) {
        const struct vz_display_rect *r = &u->damage[i];

        if (r->x > u->width || r->width > u->width - r->x || r->y > u->height || r->height > u->height - r->y)
            return false;
    }
    return true;
}

static bool update_fits(const struct view_channel *c, const struct vz_channel_update *u)
{
    uint64_t size = c->hello.memory_size, rows;

    if (!u->width || !u->height || u->width > VZ_DISPLAY_SIDE_MAX || u->height > VZ_DISPLAY_SIDE_MAX ||
        u->damage_count > VZ_DAMAGE_MAX || !damage_fits(u))
        return false;
    rows = (uint64_t)u->stride * (u->height - 1) + (uint64_t)u->width * 4;
    return !(u->flags & VZ_CHANNEL_SHOWN) ||
           (u->stride >= u->width * 4 && u->offset % 4 == 0 && u->stride % 4 == 0 && u->offset <= size &&
            rows <= size - u->offset);
}

static bool cursor_fits(const struct vz_channel_cursor *c)
{
    return !c->visible || (c->width && c->height && c->width <= VZ_CURSOR_SIDE_MAX && c->height <= VZ_CURSOR_SIDE_MAX);
}

static bool paste_fits(const struct vz_channel_paste *p)
{
    return p->selection <= VZ_SELECTION_PRIMARY && p->type >= VZ_CLIPBOARD_TEXT && p->type <= VZ_CLIPBOARD_JPEG;
}

static bool fits(const struct view_channel *c, const union view_message *m, size_t len)
{
    switch (m->kind) {
    case VZ_CHANNEL_UPDATE:
        return len == sizeof(m->update) && update_fits(c, &m->update);
    case VZ_CHANNEL_CURSOR:
        return len == sizeof(m->cursor) && cursor_fits(&m->cursor);
    case VZ_CHANNEL_COPIED:
        return len == sizeof(m->copied);
    case VZ_CHANNEL_GOT:
        return len == sizeof(m->got);
    case VZ_CHANNEL_PASTE:
        return len == sizeof(m->paste) && paste_fits(&m->paste);
    case VZ_CHANNEL_FILE:
        return len == sizeof(m->file);
    default:
        return true; /* of a later version: to be skipped */
    }
}

enum view_received view_channel_receive(struct view_channel *c, union view_message *ret, int *ret_fd)
{
    int fd;
    ssize_t n = receive_with_fd(c->fd, ret, sizeof(*ret), &fd);
    bool over = n < (ssize_t)sizeof(ret->kind) || !fits(c, ret, (size_t)n);

    *ret_fd = -1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return VIEW_NOTHING;
    if (fd >= 0 && (over || ret->kind != VZ_CHANNEL_GOT))
        close(fd);
    else
        *ret_fd = fd;
    return over ? VIEW_OVER : VIEW_MESSAGE;
}

bool view_channel_send_fd(struct view_channel *c, const void *message, size_t len, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } u = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)(uintptr_t)message, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = -1;

    if (fd >= 0) {
        memcpy(CMSG_DATA(&u.header), &fd, sizeof(fd));
        m.msg_control = &u;
        m.msg_controllen = sizeof(u);
    }
    if (c->fd >= 0) {
        do {
            n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (n < 0 && errno == EINTR);
    }
    return n == (ssize_t)len;
}

bool view_channel_send(struct view_channel *c, const void *message, size_t len)
{
    return view_channel_send_fd(c, message, len, -1);
}

bool view_channel_is_behind(const struct view_channel *c)
{
    int queued = 0, room = 0;
    socklen_t len = sizeof(room);

    return c->fd >= 0 && ioctl(c->fd, SIOCOUTQ, &queued) == 0 &&
           getsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, &len) == 0 && queued > room / 4;
}
