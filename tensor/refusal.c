/* What is said of an element that an op refuses. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

grdi_refusal grdi_refusal_of(const char *op, grd_status status, const grd_tensor *x)
{
    return (grdi_refusal){
        .op = op, .status = status, .shape = grdi_array_shape(&x->array), .position = -1
    };
}

/* "[1, 3]", or nothing of a scalar. */
static grdi_text place_of(const grdi_refusal *refused)
{
    grd_shape index = { .rank = refused->shape.rank };
    int64_t position = refused->position;
    for (int64_t d = index.rank - 1; d >= 0; d--) {
        index.size[d] = position % refused->shape.size[d];
        position /= refused->shape.size[d];
    }
    return index.rank ? grdi_shape_text(&index) : (grdi_text){ "" };
}

static grdi_text value_of(const grdi_refusal *refused)
{
    grdi_text text;
    if (refused->is_real)
        snprintf(text.chars, sizeof text.chars, "%.9g", refused->real);
    else
        snprintf(text.chars, sizeof text.chars, "%lld", (long long)refused->integer);
    return text;
}

static void refuse(const grdi_refusal *refused, const char *end)
{
    const grdi_text place = place_of(refused), value = value_of(refused);
    char text[512] = "";
    size_t length = 0;
    for (const char *c = refused->text; *c && length < sizeof text; c++) {
        const char *part = *c == *GRDI_AT ? place.chars : *c == *GRDI_VALUE ? value.chars : NULL;
        if (part)
            snprintf(text + length, sizeof text - length, "%s", part);
        else
            snprintf(text + length, sizeof text - length, "%c", *c);
        length += strlen(text + length);
    }
    grdi_fail(refused->status, refused->op, "%s%s", text, end);
}

bool grdi_none_refused(const grdi_refusal *refused)
{
    if (refused->position >= 0)
        refuse(refused, "");
    return refused->position < 0;
}

void grdi_refuse_late(const grdi_refusal *refused)
{
    refuse(refused, " (found late: an op on a GPU is not waited for)");
}
