#include "tests/counter.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void *count_allocate(size_t bytes, void *user)
{
    counter *c = user;
    if (++c->asked >= c->fail_at && c->fail_at)
        return NULL;
    c->live++;
    return aligned_alloc(64, bytes);
}

static void count_release(void *block, size_t bytes, void *user)
{
    (void)bytes;
    ((counter *)user)->live--;
    free(block);
}

void count_with(counter *c, bool uncached)
{
    const grd_allocator allocator = { count_allocate, count_release, c, uncached };
    cr_assert_eq(grd_set_allocator(&allocator), GRD_OK, "%s", grd_error_message());
}
