/* SPDX-License-Identifier: MIT */
/* The fakes of the unit tests without Check, which works in its own tests only: what they assert
 * ends the process. Include it before them. */
#ifndef VZ_FUZZ_NO_CHECK_H
#define VZ_FUZZ_NO_CHECK_H

#include <check.h>
#include <string.h>

#include "require.h"

#undef ck_assert
#undef ck_assert_msg
#undef ck_assert_int_eq
#undef ck_assert_uint_eq
#undef ck_assert_uint_le
#undef ck_assert_uint_lt
#undef ck_assert_mem_eq
#define ck_assert(e)            require(e, #e)
#define ck_assert_msg(e, ...)   require(e, #e)
#define ck_assert_int_eq(a, b)  require((a) == (b), #a " is not " #b)
#define ck_assert_uint_eq(a, b) require((a) == (b), #a " is not " #b)
#define ck_assert_uint_le(a, b) require((a) <= (b), #a " is greater than " #b)
#define ck_assert_uint_lt(a, b) require((a) < (b), #a " is not less than " #b)
#define ck_assert_mem_eq(a, b, n) require(!memcmp(a, b, n), #a " differs from " #b)

#endif
