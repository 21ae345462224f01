/* SPDX-License-Identifier: MIT */
/* The parts of the process in which a machine's NATs are (net/net_nat_child.h): who it is (nat_child.c), what is asked
 * of it (nat_orders.c), each NAT's frames (nat_guest.c), and who reads resolv.conf (nat_names.c).
 *
 * There are two processes. The first one reads resolv.conf, when it is asked to, and says nothing else; the other one,
 * which has all that the network says, has no files: so the host's resolv.conf may be another file tomorrow. When the
 * first ends, so does the other. */
#ifndef VZ_CHILD_NAT_CHILD_H
#define VZ_CHILD_NAT_CHILD_H

#include "net/net_nat_wire.h"

struct child_answer;
struct loop;
struct vz_error;

/* ---- nat_child.c ---- */

struct nat_child {
    struct nat_wire_start start;
    int names;      /* a socket to the process that reads resolv.conf */
    unsigned world; /* enum sandbox_world */
    struct loop *loop;
    struct nat_guest *guest[NAT_CHILD_NETS_MAX];
};

/* From here on it has no files, and makes no call that its kind does not. 0 or -errno. */
int nat_child_lock(struct nat_child *c) must_check;

/* ---- nat_orders.c ---- */

/* One question of `len` bytes and a descriptor that came with it, which is this function's, or -1. Fills in *ret; the
 * answer's data is put into q. Returns its length. */
size_t nat_orders_carry_out(struct nat_child *c, struct nat_question *q, size_t len, int fd, struct child_answer *ret);

/* ---- nat_guest.c ---- */

/* Make a NAT whose frames go by fd, which it takes over. 0 or -errno with err. */
int nat_guest_new(struct loop *loop, const struct net_nat_options *o, int fd, struct nat_guest **ret,
                  struct vz_error *err) must_check;
struct net *nat_guest_net(const struct nat_guest *g);
void nat_guest_free(struct nat_guest *g);

/* ---- nat_names.c ---- */

/* The first process: serve the other one, at socket, until it or life ends. */
void nat_names_serve(const struct nat_wire_start *start, int socket) __attribute__((noreturn));

/* In the other one; arg is a struct nat_child: for net_nat_options.open_resolv_conf. */
int nat_names_open(void *arg);

#endif
