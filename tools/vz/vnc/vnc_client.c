/* SPDX-License-Identifier: MIT */
/* One VNC client: LibVNCServer's screen, made for it alone, and a channel to the machine's display. What that tells is
 * copied into the screen where it differs from what the client has, so a page flip costs only what it changes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "now_ms.h"
#include "view_channel.h"
#include "vnc/vnc_clipboard.h"
#include "vnc/vnc_impl.h"
#include "vnc/vnc_input.h"
#include "vnc/vnc_library.h"

#define WAIT_MS  5000 /* for the rest of a message, or for a client that does not read */
#define RETRY_MS 50   /* the machine does not read, as while it is being saved */
#define FRAME_MS 16   /* no more often is the screen looked at */
#define OLD_MS   100  /* so old may be what is shown; and the machine has nothing newer if it has said nothing for so long */
#define HANDSHAKE_MS 15000
#define LAST_MS  1900 /* the machine has ended, and the client may have its last picture */
#define TILE     64u

struct client {
    struct vnc_server *server;
    struct view_channel channel;
    bool asked; /* for the next update, */
    uint64_t asked_ms; /* then */
    rfbScreenInfoPtr screen;
    rfbClientPtr cl;
    char *passwords[2];
    struct vnc_input input;
    struct vnc_clipboard *clipboard; /* NULL: none */
    uint32_t width, height; /* 0: nothing is known of the picture yet */
    bool gone;
    uint64_t taken_ms;  /* when the machine said last what it shows */
    uint64_t wanted_ms; /* since when the client waits for a picture; 0: it does not */
    uint64_t last_ms;   /* when to go, since the machine has ended; 0: it has not */
    struct vz_channel_cursor cursor; /* as the client has it */
    union view_message message;      /* that is being taken */
};

static struct client *of(rfbClientPtr cl)
{
    return cl->screen->screenData;
}

static void on_gone(rfbClientPtr cl)
{
    of(cl)->gone = true;
    of(cl)->cl = NULL;
}

/* ---- The picture ---------------------------------------------------------------------------- */

/* LibVNCServer takes red for the lowest byte, and has ours the other way round. */
static void set_format(struct client *c)
{
    rfbPixelFormat *f = &c->screen->serverFormat;

    f->redShift = 16;
    f->greenShift = 8;
    f->blueShift = 0;
    if (c->cl)
        c->screen->setTranslateFunction(c->cl);
}

static bool resize(struct client *c, uint32_t width, uint32_t height)
{
    char *before = c->screen->frameBuffer, *fb = calloc((size_t)width * height, 4);

    if (!fb)
        return false;
    libvnc.rfbNewFramebuffer(c->screen, fb, (int)width, (int)height, 8, 3, 4);
    set_format(c);
    free(before);
    c->width = width;
    c->height = height;
    return true;
}

static uint32_t less(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Exchange what differs of a row of up to TILE pixels. */
static bool copy_piece(char *to, const uint8_t *from, uint32_t count)
{
    if (!memcmp(to, from, (size_t)count * 4))
        return false;
    memcpy(to, from, (size_t)count * 4);
    return true;
}

/* Up to TILE rows that may be new, taken as they lie in memory; which tiles of them are is told. */
static void copy_band(struct client *c, const struct vz_display_update *u, const struct vz_display_rect *r)
{
    static const uint8_t black[TILE * 4]; /* what is black already is not written: it may take no memory yet */
    bool differs[VZ_DISPLAY_SIDE_MAX / TILE] = {false};

    for (uint32_t y = r->y; y < r->y + r->height; y++) {
        char *to = c->screen->frameBuffer + ((size_t)y * c->width + r->x) * 4;
        const uint8_t *from = u->pixels ? u->pixels + (size_t)y * u->stride + (size_t)r->x * 4 : NULL;

        for (uint32_t x = 0; x < r->width; x += TILE)
            differs[x / TILE] |= copy_piece(to + (size_t)x * 4, from ? from + (size_t)x * 4 : black,
                                            less(TILE, r->width - x));
    }
    for (uint32_t x = 0; x < r->width; x += TILE) {
        if (differs[x / TILE])
            libvnc.rfbMarkRectAsModified(c->screen, (int)(r->x + x), (int)r->y, (int)(r->x + less(x + TILE, r->width)),
                                         (int)(r->y + r->height));
    }
}

static void copy_rect(struct client *c, const struct vz_display_update *u, const struct vz_display_rect *r)
{
    for (uint32_t y = 0; y < r->height; y += TILE)
        copy_band(c, u, &(struct vz_display_rect){r->x, r->y + y, r->width, less(TILE, r->height - y)});
}

/* ---- The pointer that the guest leaves to us to draw ----------------------------------------- */

static rfbCursorPtr make_cursor(const struct vz_channel_cursor *from)
{
    uint32_t width = from->visible ? from->width : 1, height = from->visible ? from->height : 1;
    size_t count = (size_t)width * height;
    rfbCursorPtr to = calloc(1, sizeof(*to));
    unsigned char *alpha = calloc(1, count), *pixels = calloc(4, count + 1); /* a pixel is read as a long */

    if (!to || !alpha || !pixels) {
        free(to);
        free(alpha);
        free(pixels);
        return NULL;
    }
    for (size_t i = 0; from->visible && i < count; i++)
        alpha[i] = (unsigned char)(from->pixels[i] >> 24);
    if (from->visible)
        memcpy(pixels, from->pixels, 4 * count);
    *to = (rfbCursor){.cleanup = TRUE, .cleanupMask = TRUE, .cleanupRichSource = TRUE, .width = (unsigned short)width,
                      .height = (unsigned short)height, .xhot = (unsigned short)from->hot_x,
                      .yhot = (unsigned short)from->hot_y, .richSource = pixels, .alphaSource = alpha,
                      .alphaPreMultiplied = TRUE};
    to->mask = (unsigned char *)libvnc.rfbMakeMaskFromAlphaSource((int)width, (int)height, alpha);
    return to;
}

/* LibVNCServer adds the size of a cursor to where it is, in an int, and writes there. */
static int near_screen(int32_t at)
{
    const int32_t far = 2 * VZ_DISPLAY_SIDE_MAX;

    return at < -far ? -far : at > far ? far : at;
}

static bool same_shape(const struct vz_channel_cursor *a, const struct vz_channel_cursor *b)
{
    return a->visible == b->visible && (!a->visible || (a->width == b->width && a->height == b->height &&
                                                        a->hot_x == b->hot_x && a->hot_y == b->hot_y &&
                                                        !memcmp(a->pixels, b->pixels, (size_t)a->width * a->height * 4)));
}

static void take_cursor(struct client *c, const struct vz_channel_cursor *m)
{
    rfbCursorPtr made;

    if (!same_shape(m, &c->cursor) && (made = make_cursor(m)))
        libvnc.rfbSetCursor(c->screen, made);
    c->cursor = *m;
    c->screen->cursorX = near_screen(m->x) + (int)m->hot_x;
    c->screen->cursorY = near_screen(m->y) + (int)m->hot_y;
}

/* False: it cannot go on. */
static bool take_update(struct client *c, const struct vz_channel_update *m)
{
    const struct vz_display_update u = {.pixels = m->flags & VZ_CHANNEL_SHOWN ? c->channel.memory + m->offset : NULL,
                                        .stride = m->stride};

    c->asked = false;
    c->taken_ms = now_ms();
    if (m->flags & VZ_CHANNEL_ENDED)
        c->last_ms = now_ms() + LAST_MS;
    if ((m->width != c->width || m->height != c->height) && !resize(c, m->width, m->height))
        return false;
    for (unsigned i = 0; i < m->damage_count; i++)
        copy_rect(c, &u, &m->damage[i]);
    return true;
}

/* Where the pixels of the last update lie is the machine's again. */
static void ask(struct client *c)
{
    const struct vz_channel_next next = {.kind = VZ_CHANNEL_NEXT};

    c->asked = view_channel_send(&c->channel, &next, sizeof(next));
    c->asked_ms = now_ms();
}

/* All that has come. False: it cannot go on. */
static bool hear_machine(struct client *c)
{
    union view_message *m = &c->message;
    enum view_received r;
    bool ok = true;
    int fd;

    while (ok && (r = view_channel_receive(&c->channel, m, &fd)) == VIEW_MESSAGE) {
        if (m->kind == VZ_CHANNEL_UPDATE)
            ok = take_update(c, &m->update);
        else if (m->kind == VZ_CHANNEL_CURSOR)
            take_cursor(c, &m->cursor);
        else
            vnc_clipboard_take(c->clipboard, c->cl, m, fd);
        if (fd >= 0)
            close(fd);
    }
    return ok && r != VIEW_OVER;
}

/* ---- What the client wants ------------------------------------------------------------------ */

static int on_size(int width, int height, int count, struct rfbExtDesktopScreen *screens, rfbClientPtr cl)
{
    const struct vz_channel_size m = {.kind = VZ_CHANNEL_SIZE, .width = (uint32_t)width, .height = (uint32_t)height};

    if (width < VZ_DISPLAY_SIDE_MIN || height < VZ_DISPLAY_SIDE_MIN)
        return rfbExtDesktopSize_InvalidScreenLayout;
    return view_channel_send(&of(cl)->channel, &m, sizeof(m)) ? rfbExtDesktopSize_Success
                                                              : rfbExtDesktopSize_ResizeProhibited;
}

static void on_key(rfbBool down, rfbKeySym symbol, rfbClientPtr cl)
{
    struct client *c = of(cl);

    vnc_clipboard_focus(c->clipboard);
    vnc_input_key(&c->channel, down, symbol);
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr cl)
{
    struct client *c = of(cl);

    vnc_clipboard_focus(c->clipboard);
    vnc_input_pointer(&c->input, &c->channel, (unsigned)buttons, (unsigned)x, (unsigned)y, c->width, c->height);
}

static void on_latin1(char *text, int len, rfbClientPtr cl)
{
    vnc_clipboard_copied(of(cl)->clipboard, text, len > 0 ? (size_t)len : 0, true);
}

static void on_utf8(char *text, int len, rfbClientPtr cl)
{
    vnc_clipboard_copied(of(cl)->clipboard, text, len > 0 ? (size_t)len : 0, false);
}

static int count_screens(rfbClientPtr cl)
{
    return 1;
}

/* A number of 0 is none for some clients. */
static rfbBool get_screen(int number, struct rfbExtDesktopScreen *ret, rfbClientPtr cl)
{
    *ret = (struct rfbExtDesktopScreen){.id = 1, .width = (uint16_t)cl->screen->width,
                                        .height = (uint16_t)cl->screen->height};
    return TRUE;
}

/* ---- Its life ------------------------------------------------------------------------------- */

/* What is the size of the picture? */
static bool first_update(struct client *c)
{
    struct pollfd p[2] = {{.fd = c->server->stop_fd, .events = POLLIN}, {.fd = c->channel.fd, .events = POLLIN}};

    ask(c);
    while (c->asked && poll(p, 2, WAIT_MS) > 0 && !p[0].revents) {
        if (!hear_machine(c))
            return false;
    }
    return c->width && c->width <= UINT16_MAX && c->height <= UINT16_MAX;
}

static bool make_screen(struct client *c)
{
    rfbScreenInfoPtr s = libvnc.rfbGetScreen(NULL, NULL, VZ_DISPLAY_SIDE_MIN, VZ_DISPLAY_SIDE_MIN, 8, 3, 4);

    if (!s)
        return false;
    c->screen = s;
    c->passwords[0] = c->server->password;
    s->screenData = c;
    s->frameBuffer = NULL;
    s->port = s->ipv6port = 0;
    s->httpDir = NULL;
    s->cursor = NULL;
    s->alwaysShared = TRUE;
    s->maxClientWait = WAIT_MS;
    s->permitFileTransfer = FALSE;
    s->desktopName = c->server->name;
    s->authPasswdData = c->passwords;
    s->passwordCheck = libvnc.rfbCheckPasswordByList;
    s->kbdAddEvent = on_key;
    s->ptrAddEvent = on_pointer;
    s->setXCutText = on_latin1;
    s->setXCutTextUTF8 = on_utf8;
    s->setDesktopSizeHook = on_size;
    s->numberOfExtDesktopScreensHook = count_screens;
    s->getExtDesktopScreenHook = get_screen;
    return first_update(c);
}

/* The library looks for a WebSocket, or TLS that nobody has set up, in what a client sends first, and a VNC client has
 * nothing to send before it is greeted. So it is greeted over a socket on which nothing comes, which is the client's own
 * from then on. */
static rfbClientPtr greet(struct client *c, int fd)
{
    char greeting[12];
    int pair[2];
    rfbClientPtr cl;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return NULL;
    /* The library select()s, and makes only what it is given non-blocking: that is not what fd is. */
    if (pair[0] >= (int)FD_SETSIZE || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        close(pair[0]);
        close(pair[1]);
        return NULL;
    }
    cl = libvnc.rfbNewClient(c->screen, pair[0]);
    if (cl && (recv(pair[1], greeting, sizeof(greeting), MSG_WAITALL) != (ssize_t)sizeof(greeting) ||
               send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL) != (ssize_t)sizeof(greeting) ||
               dup3(fd, pair[0], O_CLOEXEC) < 0))
        libvnc.rfbCloseClient(cl);
    close(pair[1]);
    return cl;
}

/* Has it said who it is? */
static bool wants_picture(const struct client *c)
{
    return c->cl && c->cl->state == RFB_NORMAL;
}

/* Does it wait for a picture? Of one that does not, what changes meanwhile becomes one update. */
static bool wants_update(const struct client *c)
{
    return wants_picture(c) && !libvnc.sraRgnEmpty(c->cl->requestedRegion);
}

/* The machine has ended. Has the client what it has shown last, or had the time to get it? Whoever ends waits for that. */
static bool is_last(const struct client *c)
{
    return c->last_ms && (now_ms() >= c->last_ms || !wants_picture(c) || libvnc.sraRgnEmpty(c->cl->modifiedRegion));
}

/* What has changed while the client did not ask is not in the screen: one that asks for all of it, as whoever takes single
 * pictures does, waits for the machine to say what it shows, or to have nothing newer. No longer: it may not read at all. */
static bool is_current(const struct client *c)
{
    const uint64_t now = now_ms();

    return c->last_ms || now < c->taken_ms + OLD_MS || (c->asked && now >= c->asked_ms + OLD_MS) ||
           (c->wanted_ms && now >= c->wanted_ms + OLD_MS);
}

static void process_events(struct client *c)
{
    c->screen->deferUpdateTime = is_current(c) ? 0 : INT_MAX; /* the library's hold on what it would send now */
    libvnc.rfbProcessEvents(c->screen, 0);
    if (!wants_update(c))
        c->wanted_ms = 0;
    else if (!c->wanted_ms)
        c->wanted_ms = now_ms();
}

/* How long there is nothing to do, if nobody says anything; -1: for good. */
static int idle_ms(const struct client *c, bool retry, uint64_t next_ms)
{
    const uint64_t now = now_ms();
    uint64_t end = c->wanted_ms + OLD_MS; /* by then it gets what there is */

    if (c->last_ms)
        return now < c->last_ms ? (int)(c->last_ms - now) : 0;
    if (retry)
        return RETRY_MS;
    if (!wants_picture(c))
        return WAIT_MS;
    if (!wants_update(c))
        return -1;
    if (!c->asked && (end <= now || next_ms < end))
        end = next_ms;
    else if (end <= now)
        return -1;
    return now < end ? (int)(end - now) : 0;
}

/* When the client or the display has something, and a picture not more often than a screen is drawn. A client that says
 * more than the machine hears has to wait. */
static void serve(struct client *c)
{
    const uint64_t late = now_ms() + HANDSHAKE_MS;
    uint64_t next_ms = 0; /* is the machine asked for a picture */
    struct pollfd p[3] = {{.fd = c->server->stop_fd, .events = POLLIN}, {.events = POLLIN}, {.fd = -1}};
    bool all_heard = true;

    while (!c->gone && c->cl->sock >= 0) {
        bool behind = view_channel_is_behind(&c->channel);

        p[1].fd = c->cl->sock;
        p[1].events = behind && !c->last_ms ? 0 : POLLIN;
        p[2].fd = c->last_ms ? -1 : c->channel.fd;
        p[2].events = wants_picture(c) ? POLLIN : 0;
        if (poll(p, 3, idle_ms(c, behind || !all_heard, next_ms)) < 0 && errno != EINTR)
            break;
        if (p[0].revents || (!wants_picture(c) && (!p[1].revents || now_ms() > late)))
            break;
        if (p[2].revents && !hear_machine(c))
            break;
        if (c->gone || c->cl->sock < 0 || p[1].revents & POLLERR)
            break;
        if (!behind || c->last_ms)
            process_events(c);
        if (is_last(c))
            break;
        all_heard = vnc_clipboard_serve(c->clipboard);
        if (!c->asked && !c->last_ms && wants_update(c) && now_ms() >= next_ms) {
            ask(c);
            next_ms = now_ms() + FRAME_MS;
            all_heard = all_heard && c->asked;
        }
    }
}

/* False: fd is the caller's still. */
static bool serve_channel(struct client *c, int fd, bool websocket)
{
    bool made = fd < (int)FD_SETSIZE && make_screen(c);

    if (made) {
        c->clipboard = vnc_clipboard_new(c->server, &c->channel);
        c->cl = websocket ? libvnc.rfbNewClient(c->screen, fd) : greet(c, fd);
        if (c->cl) {
            c->cl->clientGoneHook = on_gone;
            serve(c);
            if (!c->gone) {
                libvnc.rfbCloseClient(c->cl);
                libvnc.rfbClientConnectionGone(c->cl);
            }
        }
    }
    return made && websocket;
}

void vnc_client_serve(struct vnc_server *server, int fd, int channel, bool websocket)
{
    struct client *c = calloc(1, sizeof(*c));
    bool taken;

    if (!c) {
        if (channel >= 0)
            close(channel);
        close(fd);
        return;
    }
    c->server = server;
    c->cursor.visible = UINT32_MAX; /* as no other is */
    taken = view_channel_open(&c->channel, channel) && serve_channel(c, fd, websocket);
    if (!taken)
        close(fd);
    if (c->screen) {
        free(c->screen->frameBuffer);
        libvnc.rfbScreenCleanup(c->screen);
    }
    vnc_clipboard_free(c->clipboard);
    view_channel_close(&c->channel);
    free(c);
}
