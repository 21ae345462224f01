/* SPDX-License-Identifier: MIT */
#include "machine/channel_clipboard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/given_fd.h"
#include "base/pass_fd.h"
#include "machine/machine_impl.h"

#define GETS_MAX 4u     /* of a viewer, under way: each may have 32 MiB */
#define GOT_MAX  8u     /* files with content that a viewer has or may be about to read */
#define PAGE_MAX 65536u /* bytes of a page, on whatever host */

struct channel_clipboard {
    struct vz_machine *machine;
    int fd; /* of our own: what was asked for may come when the channel is closed */
    struct vz_clipboard *party;
    pthread_mutex_t lock; /* of what follows; then the machine's */
    unsigned refs;        /* the channel's, and one of each that it gets */
    bool asked;           /* the viewer waits for COPIED, */
    bool others;          /* and wants to hear of those, too */
    struct vz_channel_copied is, told;
    int got[GOT_MAX];     /* what it was sent last, the oldest at got_next; -1: less than that */
    unsigned got_next;
};

bool channel_send(int socket, const void *message, size_t len, int fd)
{
    return pass_fd_send(socket, message, len, fd, MSG_DONTWAIT) == (ssize_t)len;
}

/* ---- What is on offer ------------------------------------------------------------------------ */

/* What is owed to a viewer, and must not get lost. One that asks and does not read what it is told is none. */
static void send_owed(struct channel_clipboard *c, const void *message, size_t len, int fd)
{
    if (!channel_send(c->fd, message, len, fd))
        shutdown(c->fd, SHUT_RDWR);
}

static void tell_locked(struct channel_clipboard *c)
{
    if (!c->asked || !memcmp(&c->is, &c->told, sizeof(c->is)))
        return;
    send_owed(c, &c->is, sizeof(c->is), -1);
    c->told = c->is;
    c->asked = false;
}

/* Of the state as it is now, whoever looks at it last. anew: of the selections that the guest has copied to. */
static void look(struct channel_clipboard *c, struct vz_clipboard *party, unsigned anew)
{
    struct vz_clipboard_state state = VZ_CLIPBOARD_STATE_INIT;

    pthread_mutex_lock(&c->lock);
    if (vz_clipboard_get_state(party, &state, NULL) == 0) {
        c->is.agent = state.agent;
        for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++) {
            c->is.selection[s].types =
                state.is_guest[s] || (c->others && !state.is_own[s]) ? state.types[s] : 0;
            c->is.selection[s].serial += (anew >> s) & 1;
        }
        tell_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
}

static void on_offered(void *arg, struct vz_clipboard *party, enum vz_selection s, unsigned types)
{
    look(arg, party, 1u << s);
}

static void on_agent(void *arg, struct vz_clipboard *party, bool there)
{
    look(arg, party, 0);
}

void channel_clipboard_next(struct channel_clipboard *c, const struct vz_channel_next_copied *m)
{
    bool anew;

    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    anew = m->others && !c->others;
    c->others = c->others || m->others;
    c->asked = true;
    if (!anew)
        tell_locked(c);
    pthread_mutex_unlock(&c->lock);
    if (anew)
        look(c, c->party, 0);
}

void channel_clipboard_copy(struct channel_clipboard *c, const struct vz_channel_copy *m)
{
    if (!c || vz_clipboard_offer(c->party, (enum vz_selection)m->selection, m->types, NULL) < 0)
        return;
    look(c, c->party, 0); /* nobody tells us of our own */
}

/* ---- Content --------------------------------------------------------------------------------- */

/* Of a file in memory: another one is read only when its file system says so, which may be the viewer's own. NULL: it
 * is none, or too much. */
static void *read_content(int fd, size_t *ret_len)
{
    size_t done = 0;
    struct stat st;
    ssize_t n = 1;
    char *data;

    if (!given_fd_is_memory(fd) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_size > (off_t)VZ_CLIPBOARD_MAX)
        return NULL;
    *ret_len = (size_t)st.st_size;
    data = malloc(*ret_len + 1);
    while (data && done < *ret_len && n > 0) {
        n = pread(fd, data + done, *ret_len - done, (off_t)done);
        done += n > 0 ? (size_t)n : 0;
    }
    if (data && done == *ret_len)
        return data;
    free(data);
    return NULL;
}

/* A file in memory; -1: there is no room. */
static int file_of(const uint8_t *data, size_t len)
{
    int fd = memfd_create("vz-clipboard", MFD_CLOEXEC);
    size_t done = 0;
    ssize_t n = 1;

    while (fd >= 0 && done < len && n > 0) {
        n = pwrite(fd, data + done, len - done, (off_t)done);
        done += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0 && done < len) {
        close(fd);
        return -1;
    }
    return fd;
}

void channel_clipboard_pasted(struct channel_clipboard *c, const struct vz_channel_pasted *m, int fd)
{
    size_t len = 0;
    void *data = c && m->there ? read_content(fd, &len) : NULL;

    if (c)
        (void)!vz_clipboard_provide(c->party, m->request, data, len, NULL);
    free(data);
}

static void on_wanted(void *arg, struct vz_clipboard *party, enum vz_selection s, enum vz_clipboard_type type,
                      uint64_t request)
{
    const struct vz_channel_paste m = {.kind = VZ_CHANNEL_PASTE, .selection = s, .type = type, .request = request};
    struct channel_clipboard *c = arg;

    if (!channel_send(c->fd, &m, sizeof(m), -1))
        (void)!vz_clipboard_provide(party, request, NULL, 0, NULL);
}

struct get {
    struct channel_clipboard *c;
    uint64_t request;
};

/* The host has its memory back, in whole pages, whoever has the file open. */
static void take_back(int fd)
{
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size)
        (void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                         (off_t)align_up((uint64_t)st.st_size, PAGE_MAX));
    close(fd);
}

static void unref(struct channel_clipboard *c)
{
    bool last;

    pthread_mutex_lock(&c->lock);
    last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    for (unsigned i = 0; i < GOT_MAX; i++)
        take_back(c->got[i]);
    pthread_mutex_destroy(&c->lock);
    close(c->fd);
    free(c);
}

/* fd: taken. A viewer that keeps what it gets, and asks for more, has no more of our memory than that. */
static void remember_got(struct channel_clipboard *c, int fd)
{
    int oldest;

    pthread_mutex_lock(&c->lock);
    oldest = c->got[c->got_next];
    c->got[c->got_next] = fd;
    c->got_next = (c->got_next + 1) % GOT_MAX;
    pthread_mutex_unlock(&c->lock);
    take_back(oldest);
}

/* fd: taken. */
static void send_got(struct channel_clipboard *c, uint64_t request, int fd)
{
    const struct vz_channel_got m = {.kind = VZ_CHANNEL_GOT, .there = fd >= 0, .request = request};

    send_owed(c, &m, sizeof(m), fd);
    if (fd >= 0)
        remember_got(c, fd);
}

static void on_fetched(void *arg, const void *data, size_t len, const struct vz_error *err)
{
    struct get *g = arg;

    send_got(g->c, g->request, data ? file_of(data, len) : -1);
    unref(g->c);
    free(g);
}

/* Is what the viewer wants still the guest's, and may it have so much at a time? Then there is one more reference. */
static bool begin_get(struct channel_clipboard *c, const struct vz_channel_get *m)
{
    bool ok;

    pthread_mutex_lock(&c->lock);
    ok = m->selection < CLIPBOARD_SELECTIONS && m->type && m->type < 32 &&
         c->is.selection[m->selection].serial == m->serial &&
         (c->is.selection[m->selection].types & VZ_CLIPBOARD_BIT(m->type)) && c->refs <= GETS_MAX;
    c->refs += ok;
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void channel_clipboard_get(struct channel_clipboard *c, const struct vz_channel_get *m)
{
    struct get *g;

    if (!c)
        return;
    if (!begin_get(c, m)) {
        send_got(c, m->request, -1);
        return;
    }
    g = malloc(sizeof(*g));
    if (g)
        *g = (struct get){c, m->request};
    if (g && vz_clipboard_fetch(c->party, (enum vz_selection)m->selection, (enum vz_clipboard_type)m->type, on_fetched,
                                g) == 0)
        return;
    free(g);
    send_got(c, m->request, -1);
    unref(c);
}

/* ---- Its life -------------------------------------------------------------------------------- */

static void number_machine(struct vz_machine *m)
{
    pthread_mutex_lock(&m->lock);
    while (!m->clipboard.number) {
        if (getrandom(&m->clipboard.number, sizeof(m->clipboard.number), 0) < 0)
            m->clipboard.number = (uint32_t)getpid();
    }
    pthread_mutex_unlock(&m->lock);
}

uint32_t channel_clipboard_number(const struct channel_clipboard *c)
{
    return c ? c->machine->clipboard.number : 0;
}

struct channel_clipboard *channel_clipboard_new(struct vz_machine *m, int fd)
{
    struct vz_clipboard_options o = VZ_CLIPBOARD_OPTIONS_INIT;
    struct channel_clipboard *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->machine = m;
    c->refs = 1;
    c->is.kind = c->told.kind = VZ_CHANNEL_COPIED;
    for (unsigned i = 0; i < GOT_MAX; i++)
        c->got[i] = -1;
    pthread_mutex_init(&c->lock, NULL);
    number_machine(m);
    o.offered = on_offered;
    o.wanted = on_wanted;
    o.agent_changed = on_agent;
    o.arg = c;
    c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    c->party = c->fd >= 0 ? vz_clipboard_new(m, &o, NULL) : NULL;
    if (c->party)
        return c;
    if (c->fd >= 0)
        close(c->fd);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return NULL;
}

void channel_clipboard_free(struct channel_clipboard *c)
{
    if (!c)
        return;
    vz_clipboard_free(c->party);
    unref(c);
}
