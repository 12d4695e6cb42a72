/* An allocator that counts what the library asks of it, and can run out. */
#ifndef TESTS_COUNTER_H
#define TESTS_COUNTER_H

#include <gradus/gradus.h>

/* Counts allocations and fails from the `fail_at`th on (0: never). */
typedef struct counter {
    long asked, live, fail_at;
    size_t bytes, most_bytes; /* in use, now and at the most */
} counter;

/* Makes it the library's allocator; uncached: every block is asked for and given back. */
void count_with(counter *c, bool uncached);

/* Runs the program, which must ask for more than `least` blocks, once with each of its allocations
 * failing: each time it must say GRD_ERROR_MEMORY and leave nothing behind. */
void fail_at_every_allocation(grd_status (*program)(void), long least);

#endif
