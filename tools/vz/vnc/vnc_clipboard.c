/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_clipboard.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vz/clipboard.h>

#include "vnc/vnc_impl.h"
#include "vnc/vnc_library.h"
#include "vnc/vnc_text.h"

struct vnc_clipboard {
    struct vnc_server *server;
    struct vz_clipboard *party;
    int fd; /* an eventfd */
    struct vnc_text last; /* what the client has: when it says so, that is no news. Its thread's */
    pthread_mutex_t lock; /* for what follows; a leaf */
    unsigned refs;        /* the client's, and that of a fetch under way */
    bool offered;         /* the guest or another client has text that this one has not */
    bool fetching;
    struct vnc_text came;
};

static void unref(struct vnc_clipboard *c)
{
    bool last;

    pthread_mutex_lock(&c->lock);
    last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c->last.data);
    free(c->came.data);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void wake(const struct vnc_clipboard *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->fd, &one, sizeof(one));

    (void)n; /* it is readable already */
}

/* ---- Events of the machine ------------------------------------------------------------------- */

static void on_offered(void *arg, struct vz_clipboard *party, enum vz_selection s, unsigned types)
{
    struct vnc_clipboard *c = arg;

    if (s != VZ_SELECTION_CLIPBOARD)
        return;
    pthread_mutex_lock(&c->lock);
    c->offered = types & VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT);
    pthread_mutex_unlock(&c->lock);
    wake(c);
}

static void on_fetched(void *arg, const void *data, size_t len, const struct vz_error *err)
{
    struct vnc_clipboard *c = arg;
    struct vnc_text text = {NULL, 0};

    if (data && len <= VNC_TEXT_MAX)
        text = vnc_text_from(data, len, false);
    pthread_mutex_lock(&c->lock);
    free(c->came.data);
    c->came = text;
    c->fetching = false;
    pthread_mutex_unlock(&c->lock);
    wake(c);
    unref(c);
}

/* What the client has is not what is on offer: when it copies that again, it is. */
static void forget_last(struct vnc_clipboard *c)
{
    free(c->last.data);
    c->last = (struct vnc_text){NULL, 0};
}

/* ---- The client's thread --------------------------------------------------------------------- */

struct vnc_clipboard *vnc_clipboard_new(struct vnc_server *server)
{
    struct vz_clipboard_options o = VZ_CLIPBOARD_OPTIONS_INIT;
    struct vnc_clipboard *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->server = server;
    c->refs = 1;
    pthread_mutex_init(&c->lock, NULL);
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    o.offered = on_offered;
    o.arg = c;
    c->party = c->fd >= 0 ? vz_clipboard_new(server->machine, &o, NULL) : NULL;
    if (c->party)
        return c;
    unref(c);
    return NULL;
}

static bool has_focus(const struct vnc_clipboard *c)
{
    bool has;

    pthread_mutex_lock(&c->server->lock);
    has = c->server->focus == c;
    pthread_mutex_unlock(&c->server->lock);
    return has;
}

void vnc_clipboard_free(struct vnc_clipboard *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->server->lock);
    if (c->server->focus == c)
        c->server->focus = NULL;
    pthread_mutex_unlock(&c->server->lock);
    vz_clipboard_free(c->party);
    unref(c);
}

int vnc_clipboard_fd(const struct vnc_clipboard *c)
{
    return c ? c->fd : -1;
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

static void fetch(struct vnc_clipboard *c)
{
    pthread_mutex_lock(&c->lock);
    c->offered = false;
    c->fetching = true;
    c->refs++;
    pthread_mutex_unlock(&c->lock);
    if (vz_clipboard_fetch(c->party, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, on_fetched, c) < 0)
        on_fetched(c, NULL, 0, NULL);
}

void vnc_clipboard_serve(struct vnc_clipboard *c, rfbClientPtr cl)
{
    struct vnc_text came;
    bool wanted;
    uint64_t n;

    if (!c || read(c->fd, &n, sizeof(n)) < 0)
        return;
    pthread_mutex_lock(&c->lock);
    came = c->came;
    c->came = (struct vnc_text){NULL, 0};
    wanted = c->offered && !c->fetching;
    pthread_mutex_unlock(&c->lock);
    if (wanted)
        forget_last(c);
    if (came.data)
        send_text(c, cl, came);
    if (wanted && has_focus(c))
        fetch(c);
}

void vnc_clipboard_focus(struct vnc_clipboard *c)
{
    bool before;

    if (!c)
        return;
    pthread_mutex_lock(&c->server->lock);
    before = c->server->focus == c;
    c->server->focus = c;
    pthread_mutex_unlock(&c->server->lock);
    if (!before)
        wake(c);
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
    vz_clipboard_set(c->party, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, text.data, text.len, NULL);
    forget_last(c);
    c->last = text;
}
