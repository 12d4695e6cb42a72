/* What the tests of modules and optimizers share. */
#ifndef TESTS_NN_EXPECT_H
#define TESTS_NN_EXPECT_H

#include <gradus/gradus.h>

/* Takes the latched error, which must have this status and this text in its message. */
void expect_error(grd_status status, const char *text);

/* Same shape, and no element further away than `allowed`. */
void expect_close(const grd_tensor *a, const grd_tensor *b, double allowed);

#endif
