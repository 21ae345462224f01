/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_page.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT        "/usr/share/novnc"
#define SCRIPT_PATH "/vz.js"

/* What is pasted goes as UTF-8, at once: noVNC would say that it has something, and wait to be asked for it, of which
 * LibVNCServer knows nothing, or send the low bytes of its characters. LibVNCServer hangs up on more than 1 MiB. */
static const char script[] =
    "import RFB from './core/rfb.js';\n"
    "const otherwise = RFB.prototype.clipboardPasteFrom, text_bit = 1, most = 1 << 20;\n"
    "RFB.prototype.clipboardPasteFrom = function (text) {\n"
    "  const formats = this._clipboardServerCapabilitiesFormats, provide = RFB.messages.extendedClipboardProvide;\n"
    "  if (!formats || !formats[text_bit] || !provide || this._rfbConnectionState !== 'connected' || this._viewOnly)\n"
    "    return otherwise.call(this, text);\n"
    "  const sent = text.replace(/\\r\\n|\\r|\\n/g, '\\r\\n') + '\\0';\n"
    "  if (new TextEncoder().encode(sent).length <= most)\n"
    "    provide(this._sock, [text_bit], [text]);\n"
    "  else\n"
    "    console.warn('vz: a text of more than 1 MiB is not sent');\n"
    "};\n";
static const char script_tag[] = "<script type=\"module\" src=\"vz.js\"></script>\n"; /* behind the page's own */

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"}, {".js", "text/javascript"}, {".css", "text/css"},
        {".svg", "image/svg+xml"}, {".png", "image/png"}, {".ico", "image/x-icon"}, {".json", "application/json"},
        {".ttf", "font/ttf"}, {".woff", "font/woff"}, {".mp3", "audio/mpeg"}, {".oga", "audio/ogg"}};
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++) {
        if (!strcmp(dot, types[i][0]))
            return types[i][1];
    }
    return NULL;
}

bool vnc_page_has(const char *path)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

    return strspn(path, letters) == strlen(path) && !strstr(path, "..") && type_of(path);
}

static bool send_text(int fd, const char *text, size_t len, int flags)
{
    return send(fd, text, len, MSG_NOSIGNAL | flags) == (ssize_t)len;
}

void vnc_page_refuse(int fd, const char *status)
{
    char text[256];
    int len = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);

    if (!send_text(fd, text, (size_t)len, 0))
        return; /* it has gone */
}

static bool send_head(int fd, const char *path, size_t len, const char *cookie)
{
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
                     "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
                     "X-Frame-Options: DENY\r\n%s\r\n", type_of(path), len, cookie);

    return send_text(fd, head, (size_t)n, MSG_MORE);
}

static void send_file(int fd, int file, size_t size, const char *path, const char *cookie)
{
    const char *more = strcmp(path, VNC_PAGE) ? "" : script_tag;

    if (!send_head(fd, path, size + strlen(more), cookie))
        return;
    while (sendfile(fd, file, NULL, 1 << 20) > 0)
        ;
    (void)send_text(fd, more, strlen(more), 0);
}

void vnc_page_send(int fd, const char *path, const char *cookie)
{
    char full[512];
    struct stat st;
    int file;

    if (!strcmp(path, SCRIPT_PATH)) {
        (void)(send_head(fd, path, strlen(script), cookie) && send_text(fd, script, strlen(script), 0));
        return;
    }
    snprintf(full, sizeof(full), ROOT "%s", path);
    file = open(full, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &st) < 0 || !S_ISREG(st.st_mode))
        vnc_page_refuse(fd, "404 Not Found");
    else
        send_file(fd, file, (size_t)st.st_size, path, cookie);
    if (file >= 0)
        close(file);
}
