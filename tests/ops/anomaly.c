#include "tensor/front.h"
#include "tests/op_cases.h"

static grd_tensor *run_first_nan(const grd_tensor *const x[])
{
    const grd_tensor *root = grd_sqrt(x[0]);
    return root ? grdi_first_nan("first_nan", root) : NULL; /* asks for no NULL */
}

static void first_reference(const plain x[], plain *y)
{
    *y = (plain){ .value = { -1 } };
    for (long i = count_of(&x[0]) - 1; i >= 0; i--)
        if (x[0].value[i] < 0)
            y->value[0] = (double)i;
}

/* clang-format off */
static const op_case cases[] = {
    { "first NaN", "first_nan", run_first_nan, first_reference, 1, { S3(2, 3, 4) }, .no_derivative = true },
    { "first NaN, none", "first_nan", run_first_nan, first_reference, 1, { S2(3, 4) }, { POSITIVE }, .no_derivative = true },
    { "first NaN, empty", "first_nan", run_first_nan, first_reference, 1, { S2(0, 4) }, .no_derivative = true },
    { "first NaN, scalar", "first_nan", run_first_nan, first_reference, 1, { S0 }, .no_derivative = true },
};
/* clang-format on */

const op_family anomaly_family = { cases, sizeof cases / sizeof cases[0], NULL, 0 };
