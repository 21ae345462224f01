/* SPDX-License-Identifier: MIT */
/* Addresses of NBD exports: see nbd_uri.h. They come from command lines and configurations, and from there to
 * libnbd in parts, so that nothing of them is understood in two ways. */
#include "base/nbd_uri.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

#define PORT_DEFAULT "10809"

static const struct scheme {
    const char *text;
    bool tls, is_socket;
} schemes[] = {{"nbd://", false, false},
               {"nbds://", true, false},
               {"nbd+unix://", false, true},
               {"nbds+unix://", true, true}};

static const struct scheme *scheme_of(const char *text)
{
    for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (!strncasecmp(text, schemes[i].text, strlen(schemes[i].text)))
            return &schemes[i];
    }
    return NULL;
}

bool nbd_uri_is(const char *text)
{
    return !strncasecmp(text, "nbd:", 4) || !strncasecmp(text, "nbds:", 5) ||
           !strncasecmp(text, "nbd+", 4) || !strncasecmp(text, "nbds+", 5);
}

static int wrong(struct vz_error *err, const char *text, const char *what)
{
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.100s': %s", text, what);
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Undo %XX in [from, end). NULL, or what is wrong. */
static const char *decode(const char *from, const char *end, char *ret, size_t size)
{
    size_t n = 0;

    for (; from < end; from++) {
        int c = (unsigned char)*from;

        if (c == '%') {
            int high = end - from > 2 ? hex(from[1]) : -1, low = high < 0 ? -1 : hex(from[2]);

            if (low < 0)
                return "'%' without two hexadecimal digits";
            c = high << 4 | low;
            from += 2;
            if (!c)
                return "%00 is in no name";
        }
        if (n + 1 >= size)
            return "something in it is too long";
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return NULL;
}

static const char *parse_port(const char *from, const char *end, char ret[6])
{
    size_t len = (size_t)(end - from);

    if (!len || len > 5 || strspn(from, "0123456789") < len)
        return "the port is no number from 1 to 65535";
    memcpy(ret, from, len);
    ret[len] = '\0';
    return atoi(ret) < 1 || atoi(ret) > 65535 ? "the port is no number from 1 to 65535" : NULL;
}

/* [USER@]HOST[:PORT] */
static const char *parse_authority(const char *from, const char *end, struct nbd_uri *ret)
{
    const char *at = memchr(from, '@', (size_t)(end - from)), *host_end, *wrong = NULL;

    if (at) {
        wrong = decode(from, at, ret->user, sizeof(ret->user));
        from = at + 1;
        if (!wrong && !ret->user[0])
            wrong = "there is no user before '@'";
    }
    if (wrong)
        return wrong;
    strcpy(ret->port, PORT_DEFAULT);
    if (from < end && *from == '[') {
        host_end = memchr(from, ']', (size_t)(end - from));
        if (!host_end)
            return "'[' without ']'";
        wrong = decode(from + 1, host_end++, ret->host, sizeof(ret->host));
        if (!wrong && host_end < end && *host_end != ':')
            return "something behind ']'";
    } else {
        host_end = memchr(from, ':', (size_t)(end - from));
        host_end = host_end ? host_end : end;
        wrong = decode(from, host_end, ret->host, sizeof(ret->host));
    }
    return wrong || host_end == end ? wrong : parse_port(host_end + 1, end, ret->port);
}

static const char *parse_bool(const char *from, const char *end, bool *ret_no)
{
    size_t len = (size_t)(end - from);

    *ret_no = (len == 5 && !strncmp(from, "false", 5)) || (len == 1 && *from == '0');
    return *ret_no || (len == 4 && !strncmp(from, "true", 4)) || (len == 1 && *from == '1')
               ? NULL : "tls-verify-peer is true or false";
}

/* NAME=VALUE */
static const char *parse_parameter(const char *from, const char *end, struct nbd_uri *ret)
{
    const struct { const char *name; char *to; size_t size; } texts[] = {
        {"socket", ret->socket, sizeof(ret->socket)},
        {"tls-certificates", ret->certificates, sizeof(ret->certificates)},
        {"tls-psk-file", ret->psk_file, sizeof(ret->psk_file)}};
    const char *eq = memchr(from, '=', (size_t)(end - from));
    size_t len = eq ? (size_t)(eq - from) : 0;

    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        if (len != strlen(texts[i].name) || strncasecmp(from, texts[i].name, len))
            continue;
        if (texts[i].to[0])
            return "a parameter is there twice";
        return eq + 1 == end ? "a parameter is empty" : decode(eq + 1, end, texts[i].to, texts[i].size);
    }
    if (len == strlen("tls-verify-peer") && !strncasecmp(from, "tls-verify-peer", len))
        return parse_bool(eq + 1, end, &ret->no_verify);
    return "expected after '?': socket=, tls-certificates=, tls-psk-file= or tls-verify-peer=";
}

static const char *parse_query(const char *from, struct nbd_uri *ret)
{
    const char *wrong = NULL;

    while (!wrong) {
        size_t len = strcspn(from, "&");

        wrong = parse_parameter(from, from + len, ret);
        if (!from[len])
            break;
        from += len + 1;
    }
    return wrong;
}

static const char *check(const struct nbd_uri *u, bool is_socket)
{
    if (is_socket && u->host[0])
        return "a socket has no host: three slashes, and ?socket=PATH";
    if (is_socket && !u->socket[0])
        return "no ?socket=PATH given";
    if (!is_socket && u->socket[0])
        return "?socket= goes with nbd+unix";
    if (!is_socket && !u->host[0])
        return "no host given";
    if (!u->tls && (u->certificates[0] || u->psk_file[0] || u->no_verify || u->user[0]))
        return "users and tls- parameters go with nbds";
    return NULL;
}

int nbd_uri_parse(const char *text, struct nbd_uri *ret, struct vz_error *err)
{
    const struct scheme *s = scheme_of(text);
    const char *from, *authority_end, *path_end, *wrong_with;

    if (!s)
        return wrong(err, text, "expected nbd://HOST/EXPORT, nbds://HOST/EXPORT or "
                                "nbd+unix:///EXPORT?socket=PATH");
    if (strlen(text) > NBD_URI_MAX)
        return wrong(err, text, "is too long");
    *ret = (struct nbd_uri){.tls = s->tls};
    from = text + strlen(s->text);
    authority_end = from + strcspn(from, "/?#");
    path_end = authority_end + strcspn(authority_end, "?#");
    if (strchr(path_end, '#'))
        return wrong(err, text, "'#' in a name is written as %23");
    wrong_with = parse_authority(from, authority_end, ret);
    if (!wrong_with)
        wrong_with = decode(authority_end + (*authority_end == '/'), path_end, ret->export,
                            sizeof(ret->export));
    if (!wrong_with && *path_end == '?')
        wrong_with = parse_query(path_end + 1, ret);
    if (!wrong_with)
        wrong_with = check(ret, s->is_socket);
    return wrong_with ? wrong(err, text, wrong_with) : 0;
}
