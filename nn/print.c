#include "nn/module.h"

#include <string.h>

typedef struct widths {
    int name, shape, count;
} widths;

static int digits(int64_t count)
{
    char text[24];
    return snprintf(text, sizeof text, "%lld", (long long)count);
}

static void widen(int *width, int needed)
{
    *width = needed > *width ? needed : *width;
}

static widths measure(const grd_module *self)
{
    widths w = { 0 };
    for (int64_t i = 0; i < grdi_module_num_states(self); i++) {
        const grdi_state state = grdi_module_state(self, i);
        widen(&w.name, (int)strlen(state.name));
        widen(&w.shape, (int)strlen(grdi_size_text(state.tensor).chars));
        widen(&w.count, digits(grd_tensor_count(state.tensor)));
    }
    return w;
}

static void print_state(FILE *out, const grdi_state *state, const widths *w)
{
    const char *remark = state->is_buffer                           ? "  buffer"
                         : !grd_tensor_requires_grad(state->tensor) ? "  frozen"
                                                                    : "";
    fprintf(out, "  %-*s  %-*s  %*lld  %s%s\n", w->name, state->name, w->shape,
            grdi_size_text(state->tensor).chars, w->count,
            (long long)grd_tensor_count(state->tensor), grdi_dtype_name(state->tensor->array.dtype),
            remark);
}

grd_status grd_module_print(FILE *out, const grd_module *self)
{
    const char *op = "module_print";
    if (!out || !self)
        grdi_fail_null(op);
    if (grdi_latched())
        return grdi_self.latched;
    fprintf(out, "%s: %lld parameters, %lld values\n", grdi_module_text(self).chars,
            (long long)grd_module_num_parameters(self), (long long)grd_module_num_values(self));
    const widths w = measure(self);
    for (int64_t i = 0; i < grdi_module_num_states(self); i++) {
        const grdi_state state = grdi_module_state(self, i);
        print_state(out, &state, &w);
    }
    if (ferror(out))
        grdi_fail(GRD_ERROR_IO, op, "the stream does not take more");
    return grdi_self.latched;
}
