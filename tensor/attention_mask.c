#include "tensor/front.h"

/* Stretches `shape` to what x needs of `scores`. */
static bool stretch(grd_shape *shape, const grd_tensor *x, const grd_shape *scores)
{
    if (!x)
        return true;
    const grd_shape own = grdi_array_shape(&x->array);
    grd_shape common = own;
    if (!grdi_broadcast(&common, scores) || !grdi_shape_equal(&common, scores))
        return grdi_fail(GRD_ERROR_SHAPE, "attention_mask", "%s does not broadcast to %s",
                         grdi_shape_text(&own).chars, grdi_shape_text(scores).chars);
    return grdi_broadcast(shape, &own);
}

/* The smallest shape that holds every part: 1 wherever nothing varies. */
static bool mask_shape(grd_shape *shape, const grdi_mask_parts *parts, const grdi_mask *mask,
                       const grd_shape *scores)
{
    const bool band = mask->left < INT64_MAX || mask->right < INT64_MAX;
    const int64_t rank = scores->rank;
    shape->rank = rank;
    for (int64_t d = 0; d < rank; d++)
        shape->size[d] = 1;
    if (band)
        shape->size[rank - 2] = scores->size[rank - 2];
    if (band || parts->lengths || mask->appended)
        shape->size[rank - 1] = scores->size[rank - 1];
    return stretch(shape, parts->attend, scores) && stretch(shape, parts->ignore, scores) &&
           stretch(shape, parts->key_ignore, scores) && stretch(shape, parts->additive, scores) &&
           stretch(shape, parts->lengths, scores);
}

static void describe(grdi_array *part, const grd_tensor *x, const grd_shape *shape)
{
    if (x)
        *part = grdi_array_expand(&x->array, shape);
    else
        part->data = NULL;
}

grd_tensor *grdi_attention_mask(const grdi_mask_parts *parts, const grdi_mask *mask,
                                const grd_shape *scores, grd_device *device)
{
    grd_shape shape;
    if (!mask_shape(&shape, parts, mask, scores))
        return NULL;
    grdi_mask described = *mask;
    describe(&described.attend, parts->attend, &shape);
    describe(&described.ignore, parts->ignore, &shape);
    describe(&described.key_ignore, parts->key_ignore, &shape);
    describe(&described.additive, parts->additive, &shape);
    describe(&described.lengths, parts->lengths, &shape);

    shape.size[shape.rank - 1] += mask->appended;
    grd_tensor *y = grdi_tensor_create("attention_mask", &shape, GRD_BOOL, device);
    if (!y)
        return NULL;
    const grd_status status =
        GRDI_LAUNCH(device, attention_mask, GRD_BOOL, (device, &y->array, &described));
    return status == GRD_OK ? y : NULL;
}
