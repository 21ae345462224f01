/* SPDX-License-Identifier: MIT */
/* noVNC's page: the files of Debian's package, and a script of our own that the page gets besides. */
#ifndef VZ_TOOLS_VNC_PAGE_H
#define VZ_TOOLS_VNC_PAGE_H

#include <stdbool.h>

#define VNC_PAGE "/vnc.html"

/* May a browser ask for such a path? It has no parts that lead elsewhere, and is of a kind that pages have. */
bool vnc_page_has(const char *path);
/* The answer to who has asked for it. cookie: a header's line, or "". Blocks for as long as the socket's limit. */
void vnc_page_send(int fd, const char *path, const char *cookie);
void vnc_page_refuse(int fd, const char *status);

#endif
