#include "tests/counter.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void *count_allocate(size_t bytes, void *user)
{
    counter *c = user;
    if (++c->asked >= c->fail_at && c->fail_at)
        return NULL;
    c->live++;
    c->bytes += bytes;
    c->most_bytes = c->bytes > c->most_bytes ? c->bytes : c->most_bytes;
    return aligned_alloc(64, bytes);
}

static void count_release(void *block, size_t bytes, void *user)
{
    ((counter *)user)->live--;
    ((counter *)user)->bytes -= bytes;
    free(block);
}

void count_with(counter *c, bool uncached)
{
    const grd_allocator allocator = { count_allocate, count_release, c, uncached };
    cr_assert_eq(grd_set_allocator(&allocator), GRD_OK, "%s", grd_error_message());
}

void fail_at_every_allocation(grd_status (*program)(void), long least)
{
    counter c = { 0 };
    count_with(&c, true);
    cr_assert_eq(program(), GRD_OK, "%s", grd_error_message());
    const long needed = c.asked;
    cr_assert_gt(needed, least, "%ld", needed);
    for (long n = 1; n <= needed; n++) {
        c = (counter){ .fail_at = n };
        cr_assert_eq(program(), GRD_ERROR_MEMORY, "allocation %ld: %s", n, grd_error_message());
        grd_error_take();
        cr_assert_eq(c.live, 0, "allocation %ld: %ld blocks leaked", n, c.live);
    }
    c.fail_at = 0;
    cr_assert_eq(program(), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_set_allocator(NULL), GRD_OK, "%s", grd_error_message());
}
