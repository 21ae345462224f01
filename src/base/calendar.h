/* SPDX-License-Identifier: MIT */
/* Days and dates of the Gregorian calendar, for clocks in UTC. libc's timegm() and gmtime() read the
 * host's time zone from a file, which is not theirs to need and not always there to be read. */
#ifndef VZ_BASE_CALENDAR_H
#define VZ_BASE_CALENDAR_H

#include "base/compiler.h"

struct calendar_date {
    int64_t year;
    unsigned month, day; /* from 1 */
};

/* Days since 1970-01-01. Months and days out of range count on into other years and months, as with
 * timegm(). All arguments up to some millions. */
int64_t calendar_days(int64_t year, int64_t month, int64_t day);

struct calendar_date calendar_date(int64_t days);

#endif
