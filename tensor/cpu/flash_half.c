/* Heads in f16 and bf16. */
#include "tensor/cpu/flash_attention.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <string.h>

const grdi_array *grdi_widened_add(grdi_widened *w, const grdi_array *x, int64_t at)
{
    grdi_array *wide = &w->wide[w->count];
    *wide = *x;
    wide->dtype = GRD_F32;
    wide->dim[0].stride = wide->dim[1].stride = 0;
    wide->dim[2].stride = x->dim[3].size;
    wide->dim[3].stride = 1;
    w->narrow[w->count] = x;
    w->at[w->count++] = at;
    return wide;
}

static int64_t room_of(const grdi_array *wide)
{
    return wide->dim[2].size * wide->dim[3].size;
}

static void widen(const grdi_widened *w, int n)
{
    const grdi_array *x = w->narrow[n];
    const int64_t size = x->dim[3].size;
    for (int64_t i = 0; i < x->dim[2].size && size; i++)
        grdi_load_f32(x, w->at[n] + i * x->dim[2].stride, 1, size,
                      (float *)w->wide[n].data + i * size);
}

static void narrow(const grdi_widened *w, int n)
{
    const grdi_array *x = w->narrow[n];
    const int64_t size = x->dim[3].size;
    for (int64_t i = 0; i < x->dim[2].size && size; i++)
        grdi_store_f32(x, w->at[n] + i * x->dim[2].stride, 1, size,
                       (const float *)w->wide[n].data + i * size);
}

bool grdi_widened_open(grdi_widened *w, int read)
{
    int64_t floats = 1; /* not nothing, where all is empty */
    for (int n = 0; n < w->count; n++)
        floats += room_of(&w->wide[n]);
    w->bytes = (size_t)floats * sizeof(float);
    float *room = w->block = grdi_allocate(w->bytes);
    if (!room)
        return false;
    for (int n = 0; n < w->count; n++) {
        w->wide[n].data = room;
        room += room_of(&w->wide[n]);
        if (n < read)
            widen(w, n);
        else
            memset(w->wide[n].data, 0, (size_t)room_of(&w->wide[n]) * sizeof(float));
    }
    return true;
}

void grdi_widened_close(grdi_widened *w, int read)
{
    for (int n = read; n < w->count; n++)
        narrow(w, n);
    grdi_free(w->block, w->bytes);
}
