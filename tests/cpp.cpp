// The public API from C++17, literals, options and call sites included.
#include <cstdio>
#include <cstring>
#include <gradus/gradus.h>

int main()
{
    grd_scope *run =
        grd_scope_begin_with(GRD_WITH(grd_scope_options, GRD_F64, nullptr, false, false, false));
    grd_scope_options options{};
    options.no_grad = true;
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(2, 3))), *dx = nullptr;
    const grd_tensor *y = grd_sum_dims(grd_mul(x, x), GRD_DIMS(0, -1), GRD_DROP_DIMS);
    if (grd_grad(GRD_LIST(y), GRD_LIST(x), nullptr, &dx) != GRD_OK || grd_tensor_size(dx, -1) != 3)
        return 1;
    grd_scope *inner = grd_scope_begin_with(&options);
    if (grd_tensor_requires_grad(grd_mul(x, x)) || grd_scope_end(inner) != GRD_OK)
        return 2;
    if (grd_matmul(x, x) || grd_scope_end(run) != GRD_ERROR_SHAPE)
        return 3;
    if (!std::strstr(grd_error_message(), "cpp.cpp:"))
        return 4;
    std::puts(grd_error_message());
    return 0;
}
