/* SPDX-License-Identifier: MIT */
#include "guest/ssh_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/client.h"
#include "failure.h"

#define SSH_PORT 22
#define TRIES    8

/* The host may be one that this computer cannot connect to by 127.0.0.1. */
static bool is_reached(const char *host)
{
    return host && (!strcmp(host, "127.0.0.1") || !strcmp(host, "0.0.0.0"));
}

/* 0: there is none. */
static int find(json_t *info)
{
    json_t *network, *f;
    size_t i, k;

    json_array_foreach(json_object_get(info, "networks"), i, network)
    {
        json_array_foreach(json_object_get(network, "forwards"), k, f)
        {
            if (json_integer_value(json_object_get(f, "guestPort")) == SSH_PORT &&
                !strcmp(json_string_value(json_object_get(f, "protocol")), "tcp") &&
                is_reached(json_string_value(json_object_get(f, "host"))))
                return (int)json_integer_value(json_object_get(f, "hostPort"));
        }
    }
    return 0;
}

/* One that the system finds free at this moment. */
static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = -1;
    socklen_t len = sizeof(a);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        port = ntohs(a.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

int ssh_port(const struct bundle *b, struct vz_error *err)
{
    json_t *info = client_ask(b, "info", NULL, NULL, err), *answer = NULL;
    int port = info ? find(info) : -1;

    json_decref(info);
    if (port)
        return port;
    for (int i = 0; i < TRIES && !answer; i++) { /* somebody else may take it in between */
        port = free_port();
        if (port < 0)
            return fail_errno(err, "a port");
        answer =
            client_ask(b, "forward",
                       json_pack("{s:i, s:i}", "hostPort", port, "guestPort", SSH_PORT), NULL, err);
    }
    json_decref(answer);
    return answer ? port : -1;
}
