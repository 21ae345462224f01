/* SPDX-License-Identifier: MIT */
/* Both ways by eras of 400 years, which are all alike, and years that begin in March, so that the
 * leap day is a year's last. */
#include "base/calendar.h"

#define ERA_DAYS   146097
#define EPOCH_DAYS 719468 /* from 0000-03-01 to 1970-01-01 */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t calendar_days(int64_t year, int64_t month, int64_t day)
{
    int64_t y = year + floor_div(month - 3, 12), m = month - 3 - 12 * floor_div(month - 3, 12);
    int64_t era = floor_div(y, 400), in_era = y - era * 400;

    return era * ERA_DAYS + in_era * 365 + in_era / 4 - in_era / 100 + (153 * m + 2) / 5 +
           day - 1 - EPOCH_DAYS;
}

struct calendar_date calendar_date(int64_t days)
{
    int64_t since = days + EPOCH_DAYS, era = floor_div(since, ERA_DAYS);
    int64_t n = since - era * ERA_DAYS; /* of the era */
    int64_t year = (n - n / 1460 + n / 36524 - n / 146096) / 365;
    int64_t in_year = n - (365 * year + year / 4 - year / 100), m = (5 * in_year + 2) / 153;

    return (struct calendar_date){.year = era * 400 + year + (m >= 10),
                                  .month = (unsigned)(m < 10 ? m + 3 : m - 9),
                                  .day = (unsigned)(in_year - (153 * m + 2) / 5 + 1)};
}
