/* SPDX-License-Identifier: MIT */
#include "machine/channel_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/given_fd.h"
#include "base/thread.h"
#include "device/agent_line.h"
#include "machine/channel_clipboard.h"
#include "machine/machine_impl.h"

#define PROGRESS_NS (100 * NS_PER_MS) /* between two words of how far it is */
#define LEFT_MAX    32u               /* transfers of this process that nobody waits for */

_Static_assert((int)VZ_CHANNEL_FILE_GOES_ON == SPICE_FILE_GOES_ON && (int)VZ_CHANNEL_FILE_NO_AGENT == SPICE_FILE_GONE &&
               VZ_CHANNEL_FILE_NAME_MAX == SPICE_FILE_NAME_MAX + 1, "one is a copy of the other");

struct file_transfer {
    LIST_ENTRY(file_transfer) link; /* the machine's, under its lock, as what follows */
    pthread_cond_t changed;
    bool wanted, over, cancelled;
    enum vz_channel_file_state state;
    /* Constant. */
    struct vz_machine *machine;
    pthread_t thread;
    uint64_t number; /* the viewer's */
    uint32_t id;     /* the agent's */
    int socket;
    char name[SPICE_FILE_NAME_MAX + 1];
    atomic_bool ended; /* the thread */
    bool reads, left;  /* it is at its file; and nobody waits for it any more. Under reading */
    /* The thread's. */
    int fd; /* -1: closed */
    uint64_t size, done, told_ns;
};

/* A file's server may answer when it likes, or never: who ends a transfer leaves its thread to itself then, and that
 * touches nothing but its own from there on. Before the machine's lock. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static unsigned left_count; /* under it */

struct channel_files {
    struct vz_machine *machine;
    int socket;
    struct file_transfer *file[SPICE_FILES_MAX]; /* the channel's thread's */
};

/* ---- To the viewer -------------------------------------------------------------------------- */

/* A viewer that does not hear how its file has ended would wait for ever: it is hung up on. */
static void say(int socket, uint64_t number, enum vz_channel_file_state state, uint64_t done, uint64_t total)
{
    const struct vz_channel_file m = {.kind = VZ_CHANNEL_FILE, .state = state, .file = number, .done = done,
                                      .total = total};

    if (!channel_send(socket, &m, sizeof(m), -1) && state != VZ_CHANNEL_FILE_GOES_ON)
        shutdown(socket, SHUT_RDWR);
}

/* Now and then, and not to one that does not read: there must be room for pictures. */
static void say_progress(struct file_transfer *t)
{
    int queued = 0, room = 0;
    socklen_t len = sizeof(room);
    uint64_t now = clock_mono_ns();

    if (now - t->told_ns < PROGRESS_NS || ioctl(t->socket, SIOCOUTQ, &queued) < 0 ||
        getsockopt(t->socket, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0 || queued > room / 8)
        return;
    t->told_ns = now;
    say(t->socket, t->number, VZ_CHANNEL_FILE_GOES_ON, t->done, t->size);
}

/* ---- On the machine's thread ---------------------------------------------------------------- */

static int begin(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct file_transfer *t = arg;
    struct spice_agent *agent = agent_line_find(m->parts.slots);
    int r = agent ? spice_agent_send_file(agent, t->id, t->name, t->size) : -ENODEV;

    if (r < 0)
        t->state = r == -EINVAL ? VZ_CHANNEL_FILE_BAD : r == -EBUSY ? VZ_CHANNEL_FILE_BUSY : VZ_CHANNEL_FILE_NO_AGENT;
    return r < 0 ? -1 : 0;
}

static int cancel(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct spice_agent *agent = agent_line_find(m->parts.slots);

    if (agent)
        spice_agent_cancel_file(agent, *(const uint32_t *)arg);
    return 0;
}

struct piece {
    struct file_transfer *t;
    void *data;
    size_t len;
};

static int give(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct spice_agent *agent = agent_line_find(m->parts.slots);
    struct piece *p = arg;

    if (agent)
        spice_agent_file_data(agent, p->t->id, p->data, p->len);
    else
        free(p->data);
    p->data = NULL;
    return 0;
}

void machine_tell_file(struct vz_machine *m, uint32_t id, enum spice_file_news news)
{
    struct file_transfer *t;

    pthread_mutex_lock(&m->lock);
    LIST_FOREACH(t, &m->files, link) {
        if (t->id != id || t->over)
            continue;
        t->wanted = news == SPICE_FILE_GOES_ON;
        t->over = !t->wanted;
        t->state = (enum vz_channel_file_state)news;
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&m->lock);
}

void machine_forget_files(struct vz_machine *m)
{
    struct file_transfer *t;

    pthread_mutex_lock(&m->lock);
    LIST_FOREACH(t, &m->files, link) {
        if (!t->over)
            t->state = VZ_CHANNEL_FILE_NO_AGENT;
        t->over = true;
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&m->lock);
}

/* ---- A transfer's thread -------------------------------------------------------------------- */

/* False: it was left. */
static bool set_reads(struct file_transfer *t, bool reads)
{
    bool left;

    pthread_mutex_lock(&reading);
    t->reads = reads;
    left = t->left;
    pthread_mutex_unlock(&reading);
    return !left;
}

/* All of it, and somebody waits for that. */
static bool read_piece(struct file_transfer *t, char *data, size_t len)
{
    size_t done = 0;
    ssize_t n = 1;

    set_reads(t, true);
    while (done < len && n > 0) {
        n = pread(t->fd, data + done, len - done, (off_t)(t->done + done));
        done += n > 0 ? (size_t)n : 0;
    }
    return set_reads(t, false) && done == len;
}

/* The next piece; false: the file is not what it was, and no more goes; or it was left. */
static bool send_piece(struct file_transfer *t)
{
    struct piece p = {.t = t, .len = (size_t)MIN(t->size - t->done, (uint64_t)SPICE_FILE_PIECE_MAX)};
    char *data = malloc(p.len + 1);

    if (!data || !read_piece(t, data, p.len)) {
        free(data);
        return false;
    }
    p.data = data;
    if (machine_call(t->machine, give, &p, NULL) < 0) {
        free(p.data);
        return false;
    }
    t->done += p.len;
    say_progress(t);
    return true;
}

/* Wait for what comes next: true, a piece. */
static bool is_wanted(struct file_transfer *t)
{
    struct vz_machine *m = t->machine;
    bool wanted;

    pthread_mutex_lock(&m->lock);
    while (!t->wanted && !t->over && !t->cancelled)
        pthread_cond_wait(&t->changed, &m->lock);
    wanted = t->wanted && !t->over && !t->cancelled;
    t->wanted = false;
    pthread_mutex_unlock(&m->lock);
    return wanted;
}

/* A regular file, which is sent as long as it is now. False: it is none, or it was left. */
static bool look_at_file(struct file_transfer *t)
{
    struct stat st;
    bool regular;

    set_reads(t, true);
    regular = fstat(t->fd, &st) == 0 && S_ISREG(st.st_mode);
    t->size = regular ? (uint64_t)st.st_size : 0;
    return set_reads(t, false) && regular;
}

/* Its server may take its time over that, too. False: it was left. */
static bool close_file(struct file_transfer *t)
{
    int fd = t->fd;

    if (t->left)
        return false;
    t->fd = -1;
    set_reads(t, true);
    close(fd);
    return set_reads(t, false);
}

static void carry(struct file_transfer *t)
{
    struct vz_machine *m = t->machine;
    bool stop;

    if (!look_at_file(t)) {
        t->state = VZ_CHANNEL_FILE_BAD;
        return;
    }
    if (machine_call(m, begin, t, NULL) < 0) {
        if (t->state == VZ_CHANNEL_FILE_GOES_ON) /* it is not live */
            t->state = VZ_CHANNEL_FILE_NO_AGENT;
        return;
    }
    while (is_wanted(t) && send_piece(t))
        ;
    if (t->left)
        return;
    pthread_mutex_lock(&m->lock);
    stop = !t->over;
    if (stop)
        t->state = t->cancelled ? VZ_CHANNEL_FILE_CANCELLED : VZ_CHANNEL_FILE_BAD;
    t->over = true;
    pthread_mutex_unlock(&m->lock);
    if (stop)
        machine_call(m, cancel, &t->id, NULL);
}

static void free_transfer(struct file_transfer *t)
{
    pthread_cond_destroy(&t->changed);
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

static void *run(void *arg)
{
    struct file_transfer *t = arg;
    struct vz_machine *m = t->machine;
    enum vz_channel_file_state state;

    carry(t);
    if (!close_file(t)) {
        free_transfer(t);
        pthread_mutex_lock(&reading);
        left_count--;
        pthread_mutex_unlock(&reading);
        return NULL;
    }
    pthread_mutex_lock(&m->lock);
    LIST_REMOVE(t, link);
    state = t->state;
    pthread_mutex_unlock(&m->lock);
    say(t->socket, t->number, state, t->done, t->size);
    atomic_store(&t->ended, true);
    return NULL;
}

/* ---- From the viewer ------------------------------------------------------------------------ */

/* True: its thread is at its file, and frees it when that has answered. */
static bool leave(struct file_transfer *t, uint32_t *ret_id)
{
    struct vz_machine *m = t->machine;
    bool left;

    pthread_mutex_lock(&reading);
    left = t->reads && left_count < LEFT_MAX;
    if (left) {
        left_count++;
        t->left = true;
        pthread_mutex_lock(&m->lock);
        LIST_REMOVE(t, link);
        pthread_mutex_unlock(&m->lock);
        pthread_detach(t->thread);
        *ret_id = t->id;
    }
    pthread_mutex_unlock(&reading);
    return left;
}

static void finish(struct file_transfer **t)
{
    struct vz_machine *m = (*t)->machine;
    uint32_t id = 0;

    if (leave(*t, &id)) {
        machine_call(m, cancel, &id, NULL);
    } else {
        pthread_join((*t)->thread, NULL);
        free_transfer(*t);
    }
    *t = NULL;
}

/* A free place; NULL: there are as many as may be. */
static struct file_transfer **find_place(struct channel_files *c)
{
    struct file_transfer **place = NULL;

    for (unsigned i = 0; i < SPICE_FILES_MAX; i++) {
        if (c->file[i] && atomic_load(&c->file[i]->ended))
            finish(&c->file[i]);
        if (!c->file[i])
            place = &c->file[i];
    }
    return place;
}

static void number_locked(struct vz_machine *m, struct file_transfer *t)
{
    if (!m->last_file && getrandom(&m->last_file, sizeof(m->last_file), 0) < 0) /* other runs had other ones */
        m->last_file = (uint32_t)clock_mono_ns();
    t->id = ++m->last_file;
}

/* fd: taken. */
static bool open_transfer(struct channel_files *c, const struct vz_channel_send_file *m, int fd,
                          struct file_transfer **ret)
{
    struct file_transfer *t = calloc(1, sizeof(*t));

    if (!t) {
        given_fd_close(fd);
        return false;
    }
    t->machine = c->machine;
    t->number = m->file;
    t->fd = fd;
    t->socket = c->socket;
    memcpy(t->name, m->name, strnlen(m->name, SPICE_FILE_NAME_MAX));
    pthread_cond_init(&t->changed, NULL);
    pthread_mutex_lock(&c->machine->lock);
    number_locked(c->machine, t);
    LIST_INSERT_HEAD(&c->machine->files, t, link);
    pthread_mutex_unlock(&c->machine->lock);
    if (thread_start(&t->thread, THREAD_VIEW, "vz-file", run, t) == 0) {
        *ret = t;
        return true;
    }
    pthread_mutex_lock(&c->machine->lock);
    LIST_REMOVE(t, link);
    pthread_mutex_unlock(&c->machine->lock);
    given_fd_close(t->fd);
    t->fd = -1;
    free_transfer(t);
    return false;
}

void channel_files_send(struct channel_files *c, const struct vz_channel_send_file *m, int fd)
{
    struct file_transfer **place = c ? find_place(c) : NULL;

    if (!c || fd < 0 || !memchr(m->name, '\0', sizeof(m->name))) {
        if (c)
            say(c->socket, m->file, VZ_CHANNEL_FILE_BAD, 0, 0);
        given_fd_close(fd);
    } else if (!place) {
        say(c->socket, m->file, VZ_CHANNEL_FILE_BUSY, 0, 0);
        given_fd_close(fd);
    } else if (!open_transfer(c, m, fd, place)) {
        say(c->socket, m->file, VZ_CHANNEL_FILE_FAILED, 0, 0);
    }
}

static void stop(struct file_transfer *t)
{
    pthread_mutex_lock(&t->machine->lock);
    t->cancelled = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->machine->lock);
}

void channel_files_cancel(struct channel_files *c, const struct vz_channel_cancel_file *m)
{
    for (unsigned i = 0; c && i < SPICE_FILES_MAX; i++) {
        if (c->file[i] && c->file[i]->number == m->file)
            stop(c->file[i]);
    }
}

/* ---- Its life ------------------------------------------------------------------------------- */

struct channel_files *channel_files_new(struct vz_machine *m, int socket)
{
    struct channel_files *c = calloc(1, sizeof(*c));

    if (c)
        *c = (struct channel_files){.machine = m, .socket = socket};
    return c;
}

void channel_files_free(struct channel_files *c)
{
    for (unsigned i = 0; c && i < SPICE_FILES_MAX; i++) {
        if (c->file[i])
            stop(c->file[i]);
    }
    for (unsigned i = 0; c && i < SPICE_FILES_MAX; i++) {
        if (c->file[i])
            finish(&c->file[i]);
    }
    free(c);
}
