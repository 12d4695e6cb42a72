/* Tensors: n-dimensional arrays on a device; and what they need around them: scopes, shapes,
 * devices, random numbers, memory.
 *
 * Ownership, the rule, whole: everything the library makes (tensors, modules, optimizers,
 * generators, data) belongs to the thread's innermost scope, and ends with it unless something that
 * lives longer holds it: a graph, a module, grd_keep. There is no free per object. What a function
 * takes it borrows, unless its contract says that it holds on to it. */
#ifndef GRADUS_TENSOR_H
#define GRADUS_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#ifdef __cplusplus
#include <initializer_list>
#endif

#include <gradus/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct grd_tensor grd_tensor;
typedef struct grd_scope grd_scope;
typedef struct grd_device grd_device;
typedef struct grd_rng grd_rng;

enum { GRD_MAX_RANK = 8 };

typedef enum grd_dtype {
    GRD_DTYPE_UNSET,
    GRD_F32,
    GRD_F64,
    GRD_F16,
    GRD_BF16,
    GRD_I64,
    GRD_BOOL,
    GRD_DTYPE_COUNT
} grd_dtype;

/* ---- Literals: small values, passed by value ---- */

/* Sizes, outermost dimension first, everywhere; rank 0 is a scalar. */
typedef struct grd_shape {
    int64_t rank;
    int64_t size[GRD_MAX_RANK];
} grd_shape;

/* Dimensions to reduce or permute, or an element's index; negative ones count from the last. */
typedef struct grd_dims {
    int64_t count;
    int64_t dim[GRD_MAX_RANK];
} grd_dims;

/* Several tensors as one argument; borrowed, and lives as long as the call that it stands in.
 * From an array: (grd_list){ n, array } with const grd_tensor *array[n]. */
typedef struct grd_list {
    int64_t count;
    const grd_tensor *const *at;
} grd_list;

/* An option whose zero is a legal value: unset is the default, GRD_SET(0) is zero. A value other
 * than zero counts as set, so that leaving GRD_SET out where it is not needed does no harm. */
typedef struct grd_maybe_int {
    int64_t value;
    bool set;
} grd_maybe_int;
typedef struct grd_maybe_real {
    double value;
    bool set;
} grd_maybe_real;
#define GRD_SET(v)                                                                                 \
    {                                                                                              \
        (v), true                                                                                  \
    }

/* GRD_SHAPE(8, 16, 64), GRD_SCALAR (the shape []), GRD_DIMS(-1), GRD_LIST(q, k, v): in C11 and in
 * C++17. More than eight sizes do not compile.
 *
 * Options are `&(type){ .field = x }` in C, GRD_WITH(type, .field = x) in C and in C++20, a filled
 * variable in C++17. They live as long as the call that they stand in. */
#ifdef __cplusplus
#define GRD_SHAPE(...) grd_make_shape(__VA_ARGS__)
#define GRD_SCALAR (grd_shape())
#define GRD_DIMS(...) grd_make_dims(__VA_ARGS__)
#define GRD_LIST(...) grd_make_list({ __VA_ARGS__ })
#define GRD_WITH(type, ...) grd_temporary(type{ __VA_ARGS__ })
#else
#define GRD_COUNT_OF(type, ...) ((int64_t)(sizeof((type[]){ __VA_ARGS__ }) / sizeof(type)))
#define GRD_SHAPE(...) ((grd_shape){ GRD_COUNT_OF(int64_t, __VA_ARGS__), { __VA_ARGS__ } })
#define GRD_SCALAR ((grd_shape){ 0, { 0 } })
#define GRD_DIMS(...) ((grd_dims){ GRD_COUNT_OF(int64_t, __VA_ARGS__), { __VA_ARGS__ } })
#define GRD_LIST(...)                                                                              \
    ((grd_list){ GRD_COUNT_OF(const grd_tensor *, __VA_ARGS__),                                    \
                 (const grd_tensor *const[]){ __VA_ARGS__ } })
#define GRD_WITH(type, ...) (&(type){ __VA_ARGS__ })
#endif

/* ---- Scopes ---- */

/* What holds inside a scope. Zero: as in the scope around it; outermost: f32, cpu, gradients
 * recorded. */
typedef struct grd_scope_options {
    grd_dtype dtype;     /* of new floating tensors and parameters: GRD_F32 or GRD_F64 */
    grd_device *device;  /* of new tensors and parameters */
    bool no_grad;        /* record nothing for backward (torch.no_grad) */
    bool anomaly;        /* check values and gradients for NaN, name the op that made the first */
    bool strict_kernels; /* falling back from a fast kernel is an error (attention.h) */
} grd_scope_options;

/* Opens a scope on this thread, also while an error is latched. NULL only if memory ran out or the
 * options are wrong, and then the latch is set and nothing is made. */
GRD_API grd_scope *grd_scope_begin(void);
GRD_API grd_scope *grd_scope_begin_no_grad(void);
GRD_API grd_scope *grd_scope_begin_with(const grd_scope_options *options);

/* Ends the scope, and scopes inside it that were left open: a function may return early and let its
 * caller clean up. Returns the latched error and leaves it latched: here a step, and a program,
 * asks how it went. NULL is allowed. GRD_ERROR_SCOPE: not open on this thread, nor detached. */
GRD_API grd_status grd_scope_end(grd_scope *scope);

/* Ends the scope and hands one tensor to the scope around it: return grd_scope_return(scope, y);
 * GRD_ERROR_SCOPE when there is none around it. */
GRD_API grd_tensor *grd_scope_return(grd_scope *scope, grd_tensor *result);

/* Takes the scope off the thread's stack with all it owns alive; grd_scope_end, on any thread,
 * frees it. For objects that outlive the function that made them: an application's state, a C++ or
 * Python object. Ends scopes inside it. Returns it. */
GRD_API grd_scope *grd_scope_detach(grd_scope *scope);

/* For values carried round a loop: holds a tensor beyond its scope until grd_release. Both allow
 * NULL. A kept tensor may be read by several threads while none changes it. GRD_ERROR_SCOPE: it was
 * released more often than kept. */
GRD_API grd_tensor *grd_keep(grd_tensor *x);
GRD_API grd_status grd_release(grd_tensor *x);

/* ---- Devices and memory ---- */

/* The processor; never NULL. */
GRD_API grd_device *grd_cpu(void);
/* The n-th GPU; NULL with GRD_ERROR_DEVICE and the reason where there is none. grd_cuda_available
 * asks without an error. */
GRD_API grd_device *grd_cuda(int n);
GRD_API bool grd_cuda_available(void);
/* "cpu"; "cuda", the first GPU; "cuda:1", the second. A scope inside no other, that names no
 * device, is of the one that the environment's GRADUS_DEVICE names so; unset: cpu. */
GRD_API grd_device *grd_device_named(const char *name);
/* Whether a GPU's products of f32, and those within its attention, may round their factors to
 * TF32's 10 bits, which tensor cores take; at first they may not. GRD_ERROR_UNSUPPORTED on the
 * processor. */
GRD_API grd_status grd_device_allow_tf32(grd_device *device, bool allow);
/* Threads used for one op on this device; 0: as many as the process may use. Any number gives the
 * same bits. */
GRD_API grd_status grd_device_set_threads(grd_device *device, int count);
/* Whether a kernel of kernels.def exists there: ask before, instead of failing during. */
GRD_API bool grd_device_supports(const grd_device *device, const char *kernel);

/* How the processor computes; the strings are the library's. */
typedef struct grd_cpu_info {
    const char *instruction_set; /* of the kernels' loops: "avx512"; GRADUS_CPU caps it */
    const char *blas;            /* "OpenBLAS 0.3.21 DYNAMIC_ARCH ..." */
    const char *blas_core;       /* what BLAS tuned itself for: "SkylakeX" */
    int threads;                 /* that one op may use */
} grd_cpu_info;
GRD_API grd_cpu_info grd_cpu_describe(void);

/* Host memory is taken in blocks aligned to 64 bytes and kept for reuse. `release` gets the size
 * that `allocate` was asked for. Both may be called from any thread. */
typedef struct grd_allocator {
    void *(*allocate)(size_t bytes, void *user); /* NULL: out of memory */
    void (*release)(void *block, size_t bytes, void *user);
    void *user;
    bool uncached; /* hand every block straight back: for memory checkers and fault tests */
} grd_allocator;

/* The library's one global; NULL: the system's. GRD_ERROR_STATE while blocks of the current
 * allocator are in use. */
GRD_API grd_status grd_set_allocator(const grd_allocator *allocator);
/* Gives this thread's and the shared unused blocks back to the allocator, and those of GPUs to
 * their driver. */
GRD_API void grd_memory_trim(void);

/* Work of a GPU that is collected, and then started as one, which spares the GPU the time between
 * small kernels (torch: torch.cuda.graph). From begin to launch, ops on its device only note what
 * they would do: values cannot be read (GRD_ERROR_STATE), and no other thread may use the device.
 * Launch does it, once, with the bits that it has without a graph. A graph is collected anew for
 * each step, and so has the step's own data, learning rate and random numbers; what it keeps makes
 * one of the same ops start faster. While an error is latched, launch drops what was collected. The
 * first steps fetch kernels and memory, and do better without. Only GPUs have graphs. */
typedef struct grd_cuda_graph grd_cuda_graph;
GRD_NEW grd_cuda_graph *grd_cuda_graph_create(grd_device *device);
GRD_API grd_status grd_cuda_graph_begin(grd_cuda_graph *graph);
GRD_API grd_status grd_cuda_graph_launch(grd_cuda_graph *graph);

/* ---- Random numbers ----
 * Philox4x32-10 (Salmon et al., 2011): a number depends on the stream's key and on its place alone,
 * so it is the same on every device and for any number of threads (normal ones up to the rounding
 * of the device's logarithm, sine and cosine). A generator belongs to one thread at a time. A draw
 * of n numbers advances it by n / 4 blocks, rounded up; one that fails leaves it as it was. */

GRD_NEW grd_rng *grd_rng_create(uint64_t seed);
/* A stream of its own, made from rng's key and the name: the same name gives the same stream, and
 * rng is not advanced, so that adding a use of randomness here changes none elsewhere. */
GRD_NEW grd_rng *grd_rng_split(const grd_rng *rng, const char *name);

/* ---- Making tensors: of the scope's dtype, on its device ---- */

GRD_NEW grd_tensor *grd_zeros(grd_shape shape);
GRD_NEW grd_tensor *grd_ones(grd_shape shape);
GRD_NEW grd_tensor *grd_full(grd_shape shape, double value);
GRD_NEW grd_tensor *grd_scalar(double value); /* [] */
/* Of x's dtype, on x's device. */
GRD_NEW grd_tensor *grd_zeros_like(const grd_tensor *x);
GRD_NEW grd_tensor *grd_ones_like(const grd_tensor *x);
GRD_NEW grd_tensor *grd_full_like(const grd_tensor *x, double value);
/* start, start + step, ... before stop, i64; none where step leads away from stop, as in Python. */
GRD_NEW grd_tensor *grd_arange(int64_t start, int64_t stop, int64_t step);
/* count numbers evenly from first to last, both exact. */
GRD_NEW grd_tensor *grd_linspace(double first, double last, int64_t count);
GRD_NEW grd_tensor *grd_eye(int64_t n);
GRD_NEW grd_tensor *grd_rand(grd_rng *rng, grd_shape shape); /* uniform in [0, 1) */
/* Mean 0, deviation 1, by Box-Muller: none is beyond 6.7. */
GRD_NEW grd_tensor *grd_randn(grd_rng *rng, grd_shape shape);
/* i64 in [low, high), high not included; and 0..n - 1 in random order. */
GRD_NEW grd_tensor *grd_randint(grd_rng *rng, int64_t low, int64_t high, grd_shape shape);
GRD_NEW grd_tensor *grd_randperm(grd_rng *rng, int64_t n);
/* 1 with probability p, in [0, 1], else 0; of p's type. No derivative. */
GRD_NEW grd_tensor *grd_bernoulli(grd_rng *rng, const grd_tensor *p);
/* weights (..., C), floating -> i64 (..., samples): class c with probability weights[c] / their
 * sum, each sample apart from the others (torch: replacement=True). A weight that is negative or
 * not finite, or a row without one above 0, is an error. */
GRD_NEW grd_tensor *grd_multinomial(grd_rng *rng, const grd_tensor *weights, int64_t samples);
/* Copies of C arrays, outermost dimension first, of the array's type whatever the scope's. count
 * must be the product of shape: C does not know how long an array is. */
GRD_NEW grd_tensor *grd_from_f32(const float *values, int64_t count, grd_shape shape);
GRD_NEW grd_tensor *grd_from_f64(const double *values, int64_t count, grd_shape shape);
GRD_NEW grd_tensor *grd_from_i64(const int64_t *values, int64_t count, grd_shape shape);
GRD_NEW grd_tensor *grd_from_bool(const bool *values, int64_t count, grd_shape shape);

/* ---- Asking: also while an error is latched, and of NULL ---- */

GRD_API grd_shape grd_tensor_shape(const grd_tensor *x);           /* NULL: rank -1 */
GRD_API int64_t grd_tensor_rank(const grd_tensor *x);              /* NULL: -1 */
GRD_API int64_t grd_tensor_size(const grd_tensor *x, int64_t dim); /* no such dim: -1 */
GRD_API int64_t grd_tensor_count(const grd_tensor *x);             /* of all elements; NULL: 0 */
GRD_API grd_dtype grd_tensor_dtype(const grd_tensor *x);           /* NULL: GRD_DTYPE_UNSET */
GRD_API grd_device *grd_tensor_device(const grd_tensor *x);        /* NULL: NULL */
/* Row-major without gaps; NULL: false. */
GRD_API bool grd_tensor_is_contiguous(const grd_tensor *x);
/* A name for messages, graphs and pages, copied; NULL takes it away. Views of x do not share it.
 * Returns x. */
GRD_API grd_tensor *grd_tensor_set_name(grd_tensor *x, const char *name);
GRD_API const char *grd_tensor_name(const grd_tensor *x); /* NULL: none */

/* ---- Reading values out ---- */

/* The value of a tensor of one element, of any type; NaN after any failure. */
GRD_API double grd_item(const grd_tensor *x);
/* One element: grd_item_at(x, GRD_DIMS(0, -1)); as many indices as dimensions. For looking, not for
 * loops. */
GRD_API double grd_item_at(const grd_tensor *x, grd_dims index);
/* Copies all elements out, in row-major order; count must match. Floating types convert to each
 * other; i64 and bool are read as what they are. On failure out is left as it was. */
GRD_API GRD_MUST_USE grd_status grd_read_f32(const grd_tensor *x, float *out, int64_t count);
GRD_API GRD_MUST_USE grd_status grd_read_f64(const grd_tensor *x, double *out, int64_t count);
GRD_API GRD_MUST_USE grd_status grd_read_i64(const grd_tensor *x, int64_t *out, int64_t count);
GRD_API GRD_MUST_USE grd_status grd_read_bool(const grd_tensor *x, bool *out, int64_t count);
/* The elements in place: cpu, contiguous and of that type, else NULL and an error. Valid while x
 * lives; NULL without an error where there are none. */
GRD_API const float *grd_data_f32(const grd_tensor *x);
GRD_API const double *grd_data_f64(const grd_tensor *x);
GRD_API const int64_t *grd_data_i64(const grd_tensor *x);
/* Prints in a readable form: a line with x's name, if it has one, type and shape, then the elements
 * in nested brackets, those of more than 1000 by the first and last of each dimension. */
GRD_API grd_status grd_print(FILE *out, const grd_tensor *x);
/* The same into a buffer, as snprintf: returns the length it would need, without the '\0' that
 * always ends what fits. 0, and an empty string, after a failure. */
GRD_API size_t grd_format(const grd_tensor *x, char *buffer, size_t size);

/* Same shape, type and bits (NaN equals NaN, 0 is not -0), on whatever devices; false with NULL and
 * while an error is latched. */
GRD_API bool grd_equal(const grd_tensor *a, const grd_tensor *b);
/* Same shape and |a - b| <= atol + rtol |b| everywhere, in f64: types may differ. An infinity is
 * close to itself alone, a NaN to nothing. False as grd_equal is. */
GRD_API bool grd_allclose(const grd_tensor *a, const grd_tensor *b, double rtol, double atol);

/* For bindings: the size of a public struct by name, to be compared with the binding's own; 0 if
 * unknown. */
GRD_API size_t grd_sizeof(const char *type);
GRD_API const char *grd_version(void);

/* As grd_at_status (error.h), for new tensors: their graph nodes get the site too. */
GRD_NEW grd_tensor *grd_at(grd_tensor *result, const char *file, int line);

#ifdef __cplusplus
}

template <class... Sizes> inline grd_shape grd_make_shape(Sizes... sizes)
{
    return grd_shape{ int64_t(sizeof...(sizes)), { static_cast<int64_t>(sizes)... } };
}

template <class... Dims> inline grd_dims grd_make_dims(Dims... dims)
{
    return grd_dims{ int64_t(sizeof...(dims)), { static_cast<int64_t>(dims)... } };
}

inline grd_list grd_make_list(std::initializer_list<const grd_tensor *> list)
{
    return grd_list{ int64_t(list.size()), list.begin() };
}

template <class Options> inline const Options *grd_temporary(const Options &options)
{
    return &options;
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_scope_begin(...) GRD_AT(grd_scope, grd_scope_begin(__VA_ARGS__))
#define grd_scope_begin_no_grad(...) GRD_AT(grd_scope, grd_scope_begin_no_grad(__VA_ARGS__))
#define grd_scope_begin_with(...) GRD_AT(grd_scope, grd_scope_begin_with(__VA_ARGS__))
#define grd_scope_end(...) grd_at_status(grd_scope_end(__VA_ARGS__), __FILE__, __LINE__)
#define grd_scope_return(...) GRD_AT(grd_tensor, grd_scope_return(__VA_ARGS__))
#define grd_scope_detach(...) GRD_AT(grd_scope, grd_scope_detach(__VA_ARGS__))
#define grd_release(...) grd_at_status(grd_release(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cuda(...) GRD_AT(grd_device, grd_cuda(__VA_ARGS__))
#define grd_device_named(...) GRD_AT(grd_device, grd_device_named(__VA_ARGS__))
#define grd_device_allow_tf32(...)                                                                 \
    grd_at_status(grd_device_allow_tf32(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cuda_graph_create(...) GRD_AT(grd_cuda_graph, grd_cuda_graph_create(__VA_ARGS__))
#define grd_cuda_graph_begin(...)                                                                  \
    grd_at_status(grd_cuda_graph_begin(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cuda_graph_launch(...)                                                                 \
    grd_at_status(grd_cuda_graph_launch(__VA_ARGS__), __FILE__, __LINE__)
#define grd_device_set_threads(...)                                                                \
    grd_at_status(grd_device_set_threads(__VA_ARGS__), __FILE__, __LINE__)
#define grd_set_allocator(...) grd_at_status(grd_set_allocator(__VA_ARGS__), __FILE__, __LINE__)
#define grd_rng_create(...) GRD_AT(grd_rng, grd_rng_create(__VA_ARGS__))
#define grd_rng_split(...) GRD_AT(grd_rng, grd_rng_split(__VA_ARGS__))
#define grd_zeros(...) grd_at(grd_zeros(__VA_ARGS__), __FILE__, __LINE__)
#define grd_ones(...) grd_at(grd_ones(__VA_ARGS__), __FILE__, __LINE__)
#define grd_full(...) grd_at(grd_full(__VA_ARGS__), __FILE__, __LINE__)
#define grd_scalar(...) grd_at(grd_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_zeros_like(...) grd_at(grd_zeros_like(__VA_ARGS__), __FILE__, __LINE__)
#define grd_ones_like(...) grd_at(grd_ones_like(__VA_ARGS__), __FILE__, __LINE__)
#define grd_full_like(...) grd_at(grd_full_like(__VA_ARGS__), __FILE__, __LINE__)
#define grd_arange(...) grd_at(grd_arange(__VA_ARGS__), __FILE__, __LINE__)
#define grd_linspace(...) grd_at(grd_linspace(__VA_ARGS__), __FILE__, __LINE__)
#define grd_eye(...) grd_at(grd_eye(__VA_ARGS__), __FILE__, __LINE__)
#define grd_rand(...) grd_at(grd_rand(__VA_ARGS__), __FILE__, __LINE__)
#define grd_randn(...) grd_at(grd_randn(__VA_ARGS__), __FILE__, __LINE__)
#define grd_randint(...) grd_at(grd_randint(__VA_ARGS__), __FILE__, __LINE__)
#define grd_randperm(...) grd_at(grd_randperm(__VA_ARGS__), __FILE__, __LINE__)
#define grd_bernoulli(...) grd_at(grd_bernoulli(__VA_ARGS__), __FILE__, __LINE__)
#define grd_multinomial(...) grd_at(grd_multinomial(__VA_ARGS__), __FILE__, __LINE__)
#define grd_from_f32(...) grd_at(grd_from_f32(__VA_ARGS__), __FILE__, __LINE__)
#define grd_from_f64(...) grd_at(grd_from_f64(__VA_ARGS__), __FILE__, __LINE__)
#define grd_from_i64(...) grd_at(grd_from_i64(__VA_ARGS__), __FILE__, __LINE__)
#define grd_from_bool(...) grd_at(grd_from_bool(__VA_ARGS__), __FILE__, __LINE__)
#define grd_tensor_set_name(...) GRD_AT(grd_tensor, grd_tensor_set_name(__VA_ARGS__))
#define grd_item(...) grd_at_value(grd_item(__VA_ARGS__), __FILE__, __LINE__)
#define grd_item_at(...) grd_at_value(grd_item_at(__VA_ARGS__), __FILE__, __LINE__)
#define grd_read_f32(...) grd_at_answer(grd_read_f32(__VA_ARGS__), __FILE__, __LINE__)
#define grd_read_f64(...) grd_at_answer(grd_read_f64(__VA_ARGS__), __FILE__, __LINE__)
#define grd_read_i64(...) grd_at_answer(grd_read_i64(__VA_ARGS__), __FILE__, __LINE__)
#define grd_read_bool(...) grd_at_answer(grd_read_bool(__VA_ARGS__), __FILE__, __LINE__)
#define grd_data_f32(...) GRD_AT(const float, grd_data_f32(__VA_ARGS__))
#define grd_data_f64(...) GRD_AT(const double, grd_data_f64(__VA_ARGS__))
#define grd_data_i64(...) GRD_AT(const int64_t, grd_data_i64(__VA_ARGS__))
#define grd_print(...) grd_at_status(grd_print(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
