/* SPDX-License-Identifier: MIT */
#include "base/calendar.h"

#include <time.h>

#include "unit.h"

START_TEST(every_day_of_six_centuries_is_libc_s)
{
    for (int64_t d = -5000; d < 220000; d++) {
        const time_t s = (time_t)d * 86400;
        struct calendar_date date = calendar_date(d);
        struct tm tm;

        gmtime_r(&s, &tm);
        ck_assert_int_eq(date.year, tm.tm_year + 1900);
        ck_assert_uint_eq(date.month, (unsigned)tm.tm_mon + 1);
        ck_assert_uint_eq(date.day, (unsigned)tm.tm_mday);
        ck_assert_int_eq(calendar_days(date.year, date.month, date.day), d);
    }
}
END_TEST

/* As a guest may write them into its clock. */
START_TEST(dates_out_of_range_count_on)
{
    for (int year = 0; year < 10000; year += 97) {
        for (int month = -1; month < 170; month += 3) {
            for (int day = 0; day < 170; day += 13) {
                struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};

                ck_assert_int_eq(calendar_days(year, month, day), timegm(&tm) / 86400);
            }
        }
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, every_day_of_six_centuries_is_libc_s);
    UNIT_TEST(s, dates_out_of_range_count_on);
}

UNIT_TEST_MAIN("calendar", add_tests)
