/* SPDX-License-Identifier: MIT */
/* How the guest's agent (agent/work_watch.c) has its kernel tell watchers what the host did: it makes the call that
 * would have done it, under one of these groups as root, and here nothing is done but the answer is as if it had. The
 * group is in every request of FUSE, so no such call can ever be taken for another, or the other way round. */
#ifndef VZ_SHARE_SHARE_TELL_H
#define VZ_SHARE_SHARE_TELL_H

#define SHARE_TELL_FILE   4294967040u /* fsgid; what is told of is no folder */
#define SHARE_TELL_FOLDER 4294967041u /* it is one */

#endif
