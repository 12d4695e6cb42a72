#include "tensor/cuda/reduce.h"
#include "tensor/cuda/teams.h"
#include "tensor/tensor.h"

enum {
    BAND = 32,         /* columns that a block does, as in reduce.cuh */
    FEW = 1024,        /* blocks that are too few to keep a GPU busy */
    LEAST_ROW = 4096,  /* elements of a row that are not shared out any further, */
    LEAST_COLUMN = 128 /* and of a column */
};

static int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* What is kept lies side by side and what is reduced does not. */
static bool in_columns(const grdi_array *x, int reduced)
{
    const int kept = x->rank - reduced;
    return reduced && kept && x->dim[kept - 1].stride == 1 && x->dim[kept - 1].size >= BAND / 2 &&
           x->dim[x->rank - 1].stride != 1;
}

/* Shares out results that are too few. How many parts there are depends on sizes alone, so that all
 * GPUs give the same bits. */
static void divide(grdi_cuda_reduction *how, int64_t items, int64_t least)
{
    const int64_t most = ceiling(how->length, least), wanted = ceiling(FEW, items);
    const int64_t parts = most < wanted ? most : wanted;
    how->part = parts > 1 ? ceiling(how->length, parts) : how->length;
    how->parts = parts > 1 ? ceiling(how->length, how->part) : 1;
}

static grdi_cuda_reduction describe(const grdi_cuda_reducer *reducer, const grdi_array *y,
                                    const grdi_array *x, int reduced)
{
    grdi_cuda_reduction how = { .reduced = reduced,
                                .results = grdi_count(y),
                                .length = 1,
                                .factor = reducer->factor,
                                .positions = reducer->positions,
                                .means = reducer->means };
    for (int d = x->rank - reduced; d < x->rank; d++)
        how.length *= x->dim[d].size;
    if (in_columns(x, reduced)) {
        const int64_t columns = x->dim[x->rank - reduced - 1].size;
        divide(&how, how.results / columns * ceiling(columns, BAND), LEAST_COLUMN);
    } else
        divide(&how, how.results, LEAST_ROW);
    how.team = grdi_cuda_team(how.part);
    return how;
}

static grd_status launch(grd_device *device, const grdi_cuda_reducer *reducer, const grdi_array *y,
                         const grdi_array *x, grdi_cuda_reduction *how)
{
    const bool columns = in_columns(x, how->reduced);
    int64_t blocks = ceiling(how->results * how->parts, GRDI_CUDA_THREADS / how->team);
    if (columns) {
        const int64_t each = x->dim[x->rank - how->reduced - 1].size;
        blocks = how->results / each * ceiling(each, BAND) * how->parts;
    }
    return grdi_cuda_launch(
        device, reducer->image, columns ? reducer->columns : reducer->rows, x->dtype,
        (grdi_cuda_size){ grdi_cuda_blocks_for(device, blocks), GRDI_CUDA_THREADS, 0 },
        (void *[]){ (void *)y, (void *)x, how });
}

/* Results of their parts, which are positions in x. */
static grd_status join(grd_device *device, const grdi_cuda_reducer *reducer, const grdi_array *y,
                       const grdi_array *x, const grdi_array *partial, grdi_cuda_reduction *how)
{
    return grdi_cuda_launch(device, reducer->image, reducer->joined, x->dtype,
                            grdi_cuda_size_for(device, how->results, 1),
                            (void *[]){ (void *)y, (void *)x, (void *)partial, how });
}

/* The same of parts that are values. */
static grd_status add_up(grd_device *device, const grdi_cuda_reducer *reducer, const grdi_array *y,
                         const grdi_array *partial, const grdi_cuda_reduction *how)
{
    const grdi_array rows = { .data = partial->data,
                              .dtype = partial->dtype,
                              .rank = 2,
                              .dim = { { how->results, how->parts }, { how->parts, 1 } } };
    grdi_cuda_reduction sum = { .reduced = 1,
                                .team = grdi_cuda_team(how->parts),
                                .results = how->results,
                                .length = how->parts,
                                .parts = 1,
                                .part = how->parts,
                                .factor = reducer->factor };
    const grdi_cuda_reducer again = { .image = reducer->image, .rows = reducer->joined };
    return launch(device, &again, y, &rows, &sum);
}

static grd_status reduce_in_parts(grd_device *device, const grdi_cuda_reducer *reducer,
                                  const grdi_array *y, const grdi_array *x,
                                  grdi_cuda_reduction *how)
{
    const int64_t count = how->results * how->parts;
    const size_t bytes = (size_t)count * grdi_dtype_size(reducer->partial);
    const grdi_array partial = { .data = grdi_cuda_allocate(device, bytes),
                                 .dtype = reducer->partial,
                                 .rank = 1,
                                 .dim = { { count, 1 } } };
    if (!partial.data)
        return GRD_ERROR_MEMORY;
    grdi_cuda_reduction part = *how;
    part.factor = 1;
    part.positions = !reducer->by_value;
    grd_status status = launch(device, reducer, &partial, x, &part);
    if (status == GRD_OK && reducer->by_value)
        status = add_up(device, reducer, y, &partial, how);
    else if (status == GRD_OK)
        status = join(device, reducer, y, x, &partial, how);
    grdi_cuda_free(device, partial.data, bytes);
    return status;
}

grd_status grdi_cuda_reduce(grd_device *device, const grdi_cuda_reducer *reducer,
                            const grdi_array *y, const grdi_array *x, int reduced)
{
    if (grdi_count(y) == 0)
        return GRD_OK;
    grdi_cuda_reduction how = describe(reducer, y, x, reduced);
    return how.parts > 1 ? reduce_in_parts(device, reducer, y, x, &how)
                         : launch(device, reducer, y, x, &how);
}
