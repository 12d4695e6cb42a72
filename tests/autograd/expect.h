#ifndef TESTS_AUTOGRAD_EXPECT_H
#define TESTS_AUTOGRAD_EXPECT_H

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <string.h>

static inline void expect_message(const char *part)
{
    cr_assert(strstr(grd_error_message(), part), "\"%s\" is not in: %s", part, grd_error_message());
}

#endif
