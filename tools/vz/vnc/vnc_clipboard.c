/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_clipboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vnc/vnc_impl.h"
#include "vnc/vnc_library.h"
#include "vnc/vnc_text.h"
#include "write_all.h"

/* All of it is the client's thread's; who has the focus is the server's. */
struct vnc_clipboard {
    struct vnc_server *server;
    struct view_channel *channel;
    struct vnc_text last; /* what the client has: when it says so, that is no news */
    struct vz_channel_copied copied; /* what is on offer */
    bool offered;  /* the guest or somebody else has text that this one has not */
    bool unasked, untold; /* the machine had no time to hear it: what is next, and that the client has copied */
    bool fetching;
    uint64_t request; /* the last one */
};

/* What the client has is not what is on offer: when it copies that again, it is. */
static void forget_last(struct vnc_clipboard *c)
{
    free(c->last.data);
    c->last = (struct vnc_text){NULL, 0};
}

/* ---- What the machine says ------------------------------------------------------------------- */

static void ask_next(struct vnc_clipboard *c)
{
    const struct vz_channel_next_copied m = {.kind = VZ_CHANNEL_NEXT_COPIED, .others = 1};

    c->unasked = !view_channel_send(c->channel, &m, sizeof(m));
}

static bool has_text(const struct vz_channel_copied *m)
{
    return m->selection[VZ_SELECTION_CLIPBOARD].types & VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT);
}

static void on_copied(struct vnc_clipboard *c, const struct vz_channel_copied *m)
{
    bool anew = has_text(m) && (!has_text(&c->copied) || m->selection[VZ_SELECTION_CLIPBOARD].serial !=
                                                             c->copied.selection[VZ_SELECTION_CLIPBOARD].serial);

    if (anew)
        forget_last(c);
    c->offered = has_text(m) && (anew || c->offered);
    c->copied = *m;
    ask_next(c);
}

/* Of a file in memory, as is promised. */
static struct vnc_text read_text(int fd)
{
    struct vnc_text text = {NULL, 0};
    struct stat st;
    char *data;

    if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0 || st.st_size > (off_t)VNC_TEXT_MAX)
        return text;
    data = malloc((size_t)st.st_size + 1);
    if (data && pread(fd, data, (size_t)st.st_size, 0) == (ssize_t)st.st_size)
        text = vnc_text_from(data, (size_t)st.st_size, false);
    free(data);
    return text;
}

/* Each screen has one client. The library takes Latin-1 along with UTF-8, and then says that it is as long as that. */
static void send_text(struct vnc_clipboard *c, rfbClientPtr cl, struct vnc_text text)
{
    struct vnc_text to = cl->enableExtendedClipboard ? vnc_text_to_crlf(&text) : vnc_text_to_latin1(&text);

    if (to.data && cl->enableExtendedClipboard)
        libvnc.rfbSendServerCutTextUTF8(cl->screen, to.data, (int)to.len, to.data, 0);
    else if (to.data)
        libvnc.rfbSendServerCutText(cl->screen, to.data, (int)to.len);
    free(to.data);
    forget_last(c);
    c->last = text;
}

static void on_got(struct vnc_clipboard *c, rfbClientPtr cl, const struct vz_channel_got *m, int fd)
{
    struct vnc_text text = {NULL, 0};

    if (m->request != c->request)
        return;
    c->fetching = false;
    if (m->there && fd >= 0)
        text = read_text(fd);
    if (text.data)
        send_text(c, cl, text);
}

static void on_paste(struct vnc_clipboard *c, const struct vz_channel_paste *p)
{
    bool has = c->last.data && p->selection == VZ_SELECTION_CLIPBOARD && p->type == VZ_CLIPBOARD_TEXT;
    struct vz_channel_pasted m = {.kind = VZ_CHANNEL_PASTED, .request = p->request};
    int fd = has ? memfd_create("vz-clipboard", MFD_CLOEXEC) : -1;

    m.there = fd >= 0 && write_all(fd, c->last.data, c->last.len);
    (void)view_channel_send_fd(c->channel, &m, sizeof(m), m.there ? fd : -1); /* who has gone, or hangs, is not answered */
    if (fd >= 0)
        close(fd);
}

void vnc_clipboard_take(struct vnc_clipboard *c, rfbClientPtr cl, const union view_message *m, int fd)
{
    if (c && m->kind == VZ_CHANNEL_COPIED)
        on_copied(c, &m->copied);
    else if (c && m->kind == VZ_CHANNEL_GOT)
        on_got(c, cl, &m->got, fd);
    else if (c && m->kind == VZ_CHANNEL_PASTE)
        on_paste(c, &m->paste);
}

/* ---- Its life -------------------------------------------------------------------------------- */

struct vnc_clipboard *vnc_clipboard_new(struct vnc_server *server, struct view_channel *channel)
{
    struct vnc_clipboard *c = channel->hello.clipboard ? calloc(1, sizeof(*c)) : NULL;

    if (!c)
        return NULL;
    c->server = server;
    c->channel = channel;
    ask_next(c);
    return c;
}

void vnc_clipboard_free(struct vnc_clipboard *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->server->lock);
    if (c->server->focus == c)
        c->server->focus = NULL;
    pthread_mutex_unlock(&c->server->lock);
    free(c->last.data);
    free(c);
}

/* ---- The client ------------------------------------------------------------------------------ */

static bool has_focus(const struct vnc_clipboard *c)
{
    bool has;

    pthread_mutex_lock(&c->server->lock);
    has = c->server->focus == c;
    pthread_mutex_unlock(&c->server->lock);
    return has;
}

static void fetch(struct vnc_clipboard *c)
{
    const struct vz_channel_get m = {.kind = VZ_CHANNEL_GET, .selection = VZ_SELECTION_CLIPBOARD, .type = VZ_CLIPBOARD_TEXT,
                                     .serial = c->copied.selection[VZ_SELECTION_CLIPBOARD].serial,
                                     .request = c->request + 1};

    if (!view_channel_send(c->channel, &m, sizeof(m)))
        return;
    c->request++;
    c->offered = false;
    c->fetching = true;
}

static void tell(struct vnc_clipboard *c)
{
    const struct vz_channel_copy m = {.kind = VZ_CHANNEL_COPY, .selection = VZ_SELECTION_CLIPBOARD,
                                      .types = VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT)};

    c->untold = !view_channel_send(c->channel, &m, sizeof(m));
}

bool vnc_clipboard_serve(struct vnc_clipboard *c)
{
    if (!c)
        return true;
    if (c->unasked)
        ask_next(c);
    if (c->untold)
        tell(c);
    if (c->offered && !c->fetching && has_focus(c))
        fetch(c);
    return !c->unasked && !c->untold && !(c->offered && !c->fetching && has_focus(c));
}

void vnc_clipboard_focus(struct vnc_clipboard *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->server->lock);
    c->server->focus = c;
    pthread_mutex_unlock(&c->server->lock);
}

void vnc_clipboard_copied(struct vnc_clipboard *c, const char *data, size_t len, bool latin1)
{
    struct vnc_text text = c && len <= VNC_TEXT_MAX ? vnc_text_from(data, len, latin1) : (struct vnc_text){NULL, 0};

    if (!text.data)
        return;
    if (c->last.data && c->last.len == text.len && !memcmp(c->last.data, text.data, text.len)) {
        free(text.data); /* clients say what they were told */
        return;
    }
    forget_last(c);
    c->last = text;
    tell(c);
}
