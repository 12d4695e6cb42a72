#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <string.h>

void expect_error(grd_status status, const char *text)
{
    const char *message = grd_error_message();
    cr_assert_eq(grd_error_take(), status, "%s (wanted: %s)", message, text);
    cr_assert(strstr(message, text), "%s (wanted: %s)", message, text);
}
