/* The tape: a node beside each recorded result, and what a derivative sees of it. */
#ifndef GRDI_NODE_H
#define GRDI_NODE_H

#include "tensor/front.h"
#include <gradus/autograd.h>

typedef struct grdi_node grdi_node;

/* What a gradient needs kept: any of the first 7 inputs, or the output. */
#define GRDI_INPUT(i) (1u << (i))
#define GRDI_OUTPUT (1u << 7)
enum { GRDI_MAX_INPUTS = 16, GRDI_MAX_SAVED = 7 };

/* An op's derivative. One node has one differentiable output.
 *
 * `backward` sets dx[i], in public ops, for every i that grdi_wants; the walk has zeroed dx. It
 * need not check for errors (they latch, and a NULL dx[i] is one) nor undo broadcasting (the walk
 * sums dx[i] down to the input's shape). NULL: the op cannot be differentiated, and recording it
 * fails. */
typedef struct grdi_derivative {
    const char *op;
    unsigned char needs[4]; /* needs[i]: what dx[i] is computed from; saved if input i wants it */
    size_t attributes;      /* bytes kept for backward, such as a dimension */
    void (*backward)(grdi_node *node, grd_tensor *dy, grd_tensor *dx[]);
    /* Adds the gradient of the only input to `sum`, which is contiguous and in its shape, as
     * `backward` and grd_add would; called in place of those when nothing is recorded. May be NULL:
     * for ops whose gradient is 0 almost everywhere. False if it cannot: `backward` is called
     * then. */
    bool (*add)(grdi_node *node, const grd_tensor *dy, grd_tensor *sum);
    const char *rule; /* for people: "y = x^2: dx = 2 x dy"; NULL: not this derivative's to say */
} grdi_derivative;

/* Returns y, with a node if recording is on and an input requires grad; NULL for a NULL y.
 * y is fresh: no one else holds it. `inputs` may contain NULL for an absent optional input. */
grd_tensor *grdi_record(const grdi_derivative *derivative, grd_tensor *y,
                        const grd_tensor *const inputs[], int count, const void *attributes);

/* The same for a derivative that also needs what is neither input nor output, such as a
 * log-sum-exp: `extra` tensors, none of them recorded, are saved whenever a node is. */
grd_tensor *grdi_record_saving(const grdi_derivative *derivative, grd_tensor *y,
                               const grd_tensor *const inputs[], int count, const void *attributes,
                               const grd_tensor *const extra[], int extras);

/* Gives y, which is fresh, a node of these inputs (of which some may be NULL, and which may be any
 * number) that holds `call`: for derivatives that keep what they need there. */
grd_tensor *grdi_record_call(const grdi_derivative *derivative, const char *op, grd_tensor *y,
                             grdi_node *const inputs[], int count, grdi_object *call);

/* For derivatives. */
bool grdi_wants(const grdi_node *node, int input);
/* NULL if it was changed in place since (an error), was absent, or no wanted gradient needs it. */
grd_tensor *grdi_saved(grdi_node *node, int input);
grd_tensor *grdi_saved_output(grdi_node *node);
grd_tensor *grdi_saved_extra(grdi_node *node, int i);
grdi_text grdi_site_text(const grdi_node *node); /* " at train.c:41"; "" if it is not known */
/* For onlookers: the saved tensor of that bit; NULL, without an error, if it was not saved or was
 * changed. */
const grd_tensor *grdi_peek(const grdi_node *node, unsigned bit);
/* Saved tensor i < node->kept, changed or not; *which: the input, -1: the output, less: an extra.
 */
const grd_tensor *grdi_kept(const grdi_node *node, int i, int *which);
const grd_shape *grdi_input_shape(const grdi_node *node, int input); /* of an input it wants */
const void *grdi_attributes(const grdi_node *node);
grd_tensor *grdi_constant(const grd_tensor *like,
                          double value); /* [], of like's dtype and device */

/* A tensor that a node keeps, and its storage's version then. */
typedef struct grdi_saved_tensor {
    grd_tensor *tensor;
    uint32_t version;
} grdi_saved_tensor;

grdi_saved_tensor grdi_save(const grd_tensor *x);

/* The tensor; NULL, with an error of `op`, if it was changed in place since. `number` < 0: none. */
grd_tensor *grdi_unchanged(const grdi_saved_tensor *saved, const char *op, const char *what,
                           int64_t number);

/* One block holds the node, its inputs, its saved tensors and its attributes, in this order. */
struct grdi_node {
    grdi_object object;
    const grdi_derivative *derivative; /* NULL: a leaf */
    const char *op;                    /* for people */
    const char *file;                  /* the forward call's site, if known */
    int line;
    int count;                /* of inputs; 0 for a leaf, and for a graph that was freed */
    int kept;                 /* saved tensors */
    unsigned saved_mask;      /* which: bits as in `needs` */
    grd_dtype dtype;          /* of the output, and so of its gradient; so is `shape` */
    size_t bytes;             /* of the block */
    grd_tensor *grad;         /* a leaf's, or a retaining node's, collected gradient */
    struct grdi_hook *hooks;  /* called with the gradient; NULL: none */
    grdi_object *call;        /* what an op of one's own or a recomputation keeps; NULL: none */
    struct grdi_visit *visit; /* the innermost walk's, while one is under way */
    bool freed, retains;      /* retains: collects a gradient though it is no leaf */
    uint32_t region;          /* of grd_recompute where it was made; 0: none */
    grd_shape shape;
    grdi_node *inputs[];
};

static inline grdi_node *grdi_history(const grd_tensor *x)
{
    return (grdi_node *)x->history;
}

grdi_node *grdi_leaf_create(const grd_tensor *x);

/* Undoes grd_require_grad: x, a leaf, collects no gradient any more and loses what it has. */
void grdi_leaf_forget(grd_tensor *x);
/* Puts another gradient in place of the one that x has. */
void grdi_leaf_set_grad(grd_tensor *x, grd_tensor *grad);

/* Releases what the node keeps; it stays as a tombstone, so that a second walk can say so. */
void grdi_node_free_graph(grdi_node *node);

bool grdi_recording(void);

/* view.c: grdi_place, recorded: the gradient of what takes a part. */
grd_tensor *grdi_placed(const grd_tensor *x, const grd_shape *shape, const grdi_range *range);

#endif
