/* SPDX-License-Identifier: MIT */
#include "net/net_nat_child.h"

#include <errno.h>

#include "base/error.h"
#include "net/net_nat_wire.h"

extern const uint8_t nat_child_image[], nat_child_image_end[];

int net_nat_child_start(struct child *ret, const struct net_nat_child_options *o, struct vz_error *err)
{
    struct nat_question q = {.op = NAT_OP_START};
    struct nat_wire_start *s = &q.u.start;
    int r;

    *s = (struct nat_wire_start){.locks = o->locks, .logs = o->logs, .uid = o->uid, .gid = o->gid};
    if (!nat_wire_put(s->resolv_conf, sizeof(s->resolv_conf), o->resolv_conf ? o->resolv_conf : "/etc/resolv.conf"))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "NAT: the name of resolv.conf is too long");
    r = child_start(ret, "vz-nat", nat_child_image, (size_t)(nat_child_image_end - nat_child_image), err);
    return r < 0 ? r : child_tell(ret, &q, NAT_QUESTION_LEN(start), -1, err);
}

int net_nat_child_lock(struct child *c, struct vz_error *err)
{
    struct nat_question q = {.op = NAT_OP_LOCK};
    int r = child_ask(c, &q, offsetof(struct nat_question, u), -1, NULL, 0, err);

    return MIN(r, 0);
}
