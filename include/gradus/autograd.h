/* Gradients: reverse mode over the graph that ops record.
 *
 * An op whose input requires grad records a node beside its result. The graph lives as long as its
 * outputs; a walk frees what it saved unless told to retain it. A leaf's gradient lives with the
 * leaf, whatever scopes end. A graph belongs to one thread; threads may walk different graphs at
 * once. */
#ifndef GRADUS_AUTOGRAD_H
#define GRADUS_AUTOGRAD_H

#include <gradus/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes x, which must not be the result of a recorded op, a leaf that collects a gradient; floating
 * types only. Returns x. */
GRD_API grd_tensor *grd_require_grad(grd_tensor *x);
/* Whether x is such a leaf or depends on one. */
GRD_API bool grd_tensor_requires_grad(const grd_tensor *x);
/* The collected gradient: contiguous, x's shape, sharing memory with nothing. Borrowed: it lives
 * until grd_zero_grad, the next grd_backward or x's end. NULL without an error when there is none
 * yet. */
GRD_API const grd_tensor *grd_tensor_grad(const grd_tensor *x);
/* Drops the collected gradient, also while an error is latched: afterwards there is none.
 * Optimizers do it after their step. */
GRD_API void grd_zero_grad(grd_tensor *x);
/* From now on grd_backward collects the gradient of x too, which is no leaf but requires grad; as
 * for a leaf, grd_tensor_grad reads it. Returns x. */
GRD_API grd_tensor *grd_retain_grad(grd_tensor *x);
/* x's values (the same memory) without its graph. */
GRD_NEW grd_tensor *grd_detach(const grd_tensor *x);

typedef struct grd_backward_options {
    const grd_tensor *gradient; /* of the root, its shape; NULL: 1, and the root has one element */
    bool retain_graph;          /* keep the graph for another walk; otherwise it is freed */
} grd_backward_options;

/* Adds d root / d leaf to the gradient of every leaf that root depends on. GRD_ERROR_GRAPH: nothing
 * requires a gradient; the graph was freed by an earlier walk; a saved tensor was changed in place.
 * On an error leaves keep the gradients they had. */
GRD_API grd_status grd_backward(const grd_tensor *root);
GRD_API grd_status grd_backward_with(const grd_tensor *root, const grd_backward_options *options);

typedef struct grd_grad_options {
    grd_list gradients; /* of the outputs; count 0, or a NULL: 1, and that output has one element */
    bool retain_graph;
    bool create_graph; /* record the walk, so that the gradients can be differentiated; retains */
    bool allow_unused; /* an input that no output depends on gets NULL instead of an error */
} grd_grad_options;

/* gradients[i] = d(sum of outputs) / d inputs[i], for inputs.count tensors, leaves or not; no
 * leaf's own gradient changes, and on an error gradients are NULL. They belong to the innermost
 * scope and may share memory: read them, do not write to them. Only this call can create a graph: a
 * leaf that owned a gradient that depends on the leaf would never be freed. */
GRD_API grd_status grd_grad(grd_list outputs, grd_list inputs, const grd_grad_options *options,
                            grd_tensor **gradients);

/* ---- Watching ---- */

/* Called with the gradient of x, leaf or not, once a walk has all of it and before it is collected
 * or handed on; the hooks of a tensor are called in order. Returns what takes its place, of its
 * shape, dtype and device, or NULL to leave it. Recorded only under create_graph; it may walk. */
typedef grd_tensor *(*grd_gradient_hook)(const grd_tensor *gradient, void *user);
/* The hook stays as long as x and its graph; x requires grad. */
GRD_API grd_status grd_on_gradient(grd_tensor *x, grd_gradient_hook hook, void *user);

/* One step of a backward walk, shown to whoever steps through it. Borrowed for the call. A graph
 * keeps only what gradients are computed from: output and inputs are NULL where it was not kept. */
typedef struct grd_backward_step {
    const char *op, *file;
    int line;
    int64_t index, total; /* this is step index of total */
    const grd_tensor *output, *doutput;
    grd_list inputs, dinputs; /* dinputs: NULL entries where none is needed */
} grd_backward_step;
/* false: stop here, backward fails */
typedef bool (*grd_backward_watch)(const grd_backward_step *step, void *user);
/* Watches every walk on this thread within the scope, also those inside others (of hooks, of
 * grd_recompute), but not what a watch walks itself. One a scope: another takes its place, NULL
 * ends it; those of scopes around see the step after it. */
GRD_API grd_status grd_on_backward(grd_scope *scope, grd_backward_watch watch, void *user);

/* ---- Tracing ---- */

/* A graph keeps only what gradients are computed from. A trace keeps all that a graph shows: the
 * values of every op that is recorded while it is open, and of its inputs, the module that ran, and
 * the gradients of every walk. It changes no bit of them, and holds on to all of it until its scope
 * ends: for a step or two, not for a run. grd_graph_dump and grd_view_backward (view.h) draw it. */
typedef struct grd_trace grd_trace;
/* Notes what is recorded and walked in the innermost scope and those inside, until that ends or
 * grd_trace_end. One at a time: GRD_ERROR_STATE. */
GRD_NEW grd_trace *grd_trace_begin(void);
/* From now on nothing is noted; what was is kept. */
GRD_API grd_status grd_trace_end(grd_trace *trace);

/* ---- Ops of one's own ---- */

typedef struct grd_call grd_call; /* one use of an op: what it saved and its settings */
/* A constant: it lives as long as the graphs that it made. */
typedef struct grd_custom_op {
    const char *name;
    /* Makes y from inputs in a scope of its own, unrecorded. NULL after grd_fail. Where gradients
     * are differentiated again it is called again, recorded and with the same random numbers, for
     * what it saves. */
    grd_tensor *(*forward)(grd_call *call, const grd_tensor *const *inputs);
    /* Fills dinputs[i], in public ops so that it can be differentiated again; an entry left NULL is
     * a zero gradient. NULL: no derivative, an error at forward time when an input needs one. */
    void (*backward)(const grd_call *call, const grd_tensor *dy, grd_tensor **dinputs);
    size_t settings_size; /* bytes copied from grd_custom's settings into the call */
} grd_custom_op;
/* 1 to 16 inputs. */
GRD_NEW grd_tensor *grd_custom(const grd_custom_op *op, grd_list inputs, const void *settings);
/* In forward: 0, 1, ... in order, up to 16; holds on to x. Inputs are saved anyway. */
GRD_API grd_status grd_call_save(grd_call *call, const grd_tensor *x);
GRD_API const grd_tensor *grd_call_saved(const grd_call *call, int64_t i);
GRD_API const grd_tensor *grd_call_input(const grd_call *call, int64_t i);
/* Whether backward must fill dinputs[i]; others are ignored. In forward: whether it may have to. */
GRD_API bool grd_call_wants(const grd_call *call, int64_t i);
GRD_API const void *grd_call_settings(const grd_call *call);

/* A function of tensors, to be differentiated, checked or recomputed. */
typedef grd_tensor *(*grd_function)(const grd_tensor *const *inputs, void *user);
/* f(inputs), saving only the inputs and computing f again in backward (torch.utils.checkpoint),
 * with the same random numbers. f may also use tensors that it finds by way of user, such as a
 * module's parameters: they get their gradients like inputs, in any kind of walk. f must depend on
 * the same tensors both times (GRD_ERROR_GRAPH), and what it finds by way of user must hold the
 * same values. user lives as long as the graph. */
GRD_NEW grd_tensor *grd_recompute(grd_function f, void *user, grd_list inputs);

/* ---- Checking ---- */

typedef struct grd_gradcheck_options {
    double eps, atol, rtol;    /* 0: 1e-6, 1e-5, 1e-3 */
    double nondet_tol;         /* two backward runs may differ by this much */
    bool fast;                 /* along one fixed direction instead of every element */
    struct grd_module *module; /* its parameters that require grad are checked too (nn.h) */
} grd_gradcheck_options;

/* An answer, not an error; it tells of the worst derivative. passed is false too when f failed, and
 * then the latch is set. */
typedef struct grd_gradcheck_report {
    /* |analytic - numeric| <= atol + rtol |numeric| everywhere, two backward runs differ by
     * nondet_tol at most, and a zero gradient of the result gives zeros */
    bool passed;
    int64_t compared;       /* derivatives; passed with 0 is impossible */
    int64_t input;          /* the worst one; after the inputs come the module's parameters */
    grd_dims index, output; /* where in it, and in the result; fast: count 0 */
    double analytic, numeric, relative_error;
    /* "d output [1] / d input 0 [2, 3]: analytic 0.5123, numeric 0.5202, relative error 1.5e-02" */
    char text[256];
} grd_gradcheck_report;

/* Compares backward with central differences for every floating input, all elements, in f64. f runs
 * in a scope of f64 that records, on copies of the inputs that lie in memory as they do, of which
 * the floating ones are leaves; an input that is given twice is one. Parameters are changed in
 * place meanwhile and end with the bits that they had. f must compute the same every time. 0 to 15
 * inputs; f32 ones are an error that says so. */
GRD_API GRD_MUST_USE grd_gradcheck_report grd_gradcheck(grd_function f, void *user, grd_list inputs,
                                                        const grd_gradcheck_options *options);
/* The same for the gradient of the gradient, along one fixed direction of all inputs and of the
 * result, whose gradient is a variable too: number -1 in the report. */
GRD_API GRD_MUST_USE grd_gradcheck_report grd_gradgradcheck(grd_function f, void *user,
                                                            grd_list inputs,
                                                            const grd_gradcheck_options *options);

GRD_API GRD_MUST_USE grd_gradcheck_report grd_at_gradcheck_report(grd_gradcheck_report result,
                                                                  const char *file, int line);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_require_grad(...) GRD_AT(grd_tensor, grd_require_grad(__VA_ARGS__))
#define grd_retain_grad(...) GRD_AT(grd_tensor, grd_retain_grad(__VA_ARGS__))
#define grd_detach(...) grd_at(grd_detach(__VA_ARGS__), __FILE__, __LINE__)
#define grd_backward(...) grd_at_status(grd_backward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_backward_with(...) grd_at_status(grd_backward_with(__VA_ARGS__), __FILE__, __LINE__)
#define grd_grad(...) grd_at_status(grd_grad(__VA_ARGS__), __FILE__, __LINE__)
#define grd_on_gradient(...) grd_at_status(grd_on_gradient(__VA_ARGS__), __FILE__, __LINE__)
#define grd_on_backward(...) grd_at_status(grd_on_backward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_trace_begin(...) GRD_AT(grd_trace, grd_trace_begin(__VA_ARGS__))
#define grd_trace_end(...) grd_at_status(grd_trace_end(__VA_ARGS__), __FILE__, __LINE__)
#define grd_custom(...) grd_at(grd_custom(__VA_ARGS__), __FILE__, __LINE__)
#define grd_call_save(...) grd_at_status(grd_call_save(__VA_ARGS__), __FILE__, __LINE__)
#define grd_recompute(...) grd_at(grd_recompute(__VA_ARGS__), __FILE__, __LINE__)
#define grd_gradcheck(...) grd_at_gradcheck_report(grd_gradcheck(__VA_ARGS__), __FILE__, __LINE__)
#define grd_gradgradcheck(...)                                                                     \
    grd_at_gradcheck_report(grd_gradgradcheck(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
