/* Checkpoints from inside. In the HDF5 file, as its values' paths:
 *
 *     format            "gradus checkpoint"
 *     format_version    1
 *     created_by        "gradus 0.1.0"
 *     step
 *     environment/      blas, blas_core, instruction_set, threads: what may change bits
 *     config            JSON, the program's own
 *     architecture      JSON, of a transformer: what makes the model
 *     model/NAME        parameters and buffers by torch's state_dict names, [out, in]; of a tensor
 *                       that has two names, the first
 *     optimizer/        algorithm, and its options
 *     optimizer/KIND/NAME   moments (m, v, momentum) and masters, each with the parameter's steps
 *     scaler/           scale, growth_tracker, skipped_steps, and its options
 *     schedule/         shape, lr, min_lr, warmup_steps, total_steps
 *     rng/              seed, key, counter
 *     loader/           what the batches came from
 *     tokenizer/        kind, and of characters all of them
 *
 * Arrays are contiguous and unfiltered. bf16 is stored as its 16 bits, with an attribute dtype
 * "bfloat16". The bytes depend on nothing but the values. */
#ifndef GRDI_CHECKPOINT_H
#define GRDI_CHECKPOINT_H

#include "nn/archive.h"
#include "nn/module.h"
#include <gradus/checkpoint.h>

/* The whole file, verified; the scope's. For looking at, without a model. */
grdi_archive *grdi_checkpoint_read(const char *op, const char *path);

/* The file's tokenizer; NULL with an error if it holds none. */
grd_tokenizer *grdi_checkpoint_tokenizer(const grdi_archive *archive);

/* ---- Tensors to be restored: all are checked and made before the first is written ---- */

typedef struct grdi_restored {
    grd_tensor *to;
    const grd_tensor *from;
} grdi_restored;

typedef struct grdi_restore {
    const grdi_archive *archive;
    bool convert; /* between floating types; else they must be the same */
    grdi_restored *tensors;
    int64_t count;
} grdi_restore;

/* Room for `capacity` tensors, in the scope. */
bool grdi_restore_init(grdi_restore *restore, const grdi_archive *archive, int64_t capacity);

/* Adds the array at `path` for the tensor `to`, which `name` tells; false with GRD_ERROR_MISMATCH
 * if it is missing or of another shape or dtype. */
bool grdi_restore_add(grdi_restore *restore, const char *path, const char *name, grd_tensor *to);

/* Adds all of the model, from model/NAME; an error lists what is missing and what is too many. */
bool grdi_restore_model(grdi_restore *restore, const grd_module *model);

/* Writes them all. */
bool grdi_restore_commit(const grdi_restore *restore);

#endif
