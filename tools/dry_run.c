/* gradus train --dry-run: two steps of training, saved nowhere, in memory that is counted. */
#include "nn/optimizer.h"
#include "tensor/tensor.h"
#include "tools/step.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct counter {
    atomic_llong live, peak;
} counter;

static void *count_allocate(size_t bytes, void *user)
{
    counter *c = user;
    void *block = aligned_alloc(64, bytes);
    if (!block)
        return NULL;
    const long long live = atomic_fetch_add(&c->live, (long long)bytes) + (long long)bytes;
    long long peak = atomic_load(&c->peak);
    while (live > peak && !atomic_compare_exchange_weak(&c->peak, &peak, live))
        ;
    return block;
}

static void count_release(void *block, size_t bytes, void *user)
{
    atomic_fetch_sub(&((counter *)user)->live, (long long)bytes);
    free(block);
}

/* Bytes of what the model and its optimizer keep, each for itself as wide as it is. */
typedef struct kept {
    double weights, moments, masters;
} kept;

static double bytes_of(const grd_tensor *x)
{
    return (double)grd_tensor_count(x) * (double)grdi_dtype_size(grd_tensor_dtype(x));
}

static kept kept_by(const setup *s)
{
    kept all = { 0 };
    for (int64_t i = 0; i < grd_module_num_parameters(s->model); i++)
        all.weights += bytes_of(grd_module_parameter_at(s->model, i).tensor);
    for (int64_t i = 0; i < grdi_optimizer_num_moments(s->optimizer); i++) {
        const grdi_moment moment = grdi_optimizer_moment(s->optimizer, i);
        *(strcmp(moment.kind, "master") == 0 ? &all.masters : &all.moments) +=
            bytes_of(moment.tensor);
    }
    return all;
}

static void print_size(const char *what, double bytes)
{
    printf("%-24s %10.1f MiB\n", what, bytes / 1048576);
}

/* Bytes of the process that are in memory, of the kind that /proc/self/status calls `name`; 0 where
 * Linux does not say. */
static double resident_bytes(const char *name)
{
    char line[128];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtod(line + strlen(name), NULL);
    if (file)
        fclose(file);
    return kib * 1024;
}

/* The program itself: what was `allocated` before anything was counted, and the pages of code that
 * it and its libraries have come to use, which grow as it trains. */
static void print_memory(const stepper *t, const counter *c, double allocated)
{
    const double itself = allocated + resident_bytes("RssFile:");
    const kept all = kept_by(&t->s);
    const bool on_cpu = strcmp(t->o->device, "cpu") == 0;
    printf("%-24s %10" PRId64 "\n", "parameters", grd_module_num_values(t->s.model));
    print_size("weights", all.weights);
    print_size("gradients", t->s.scaler ? all.masters : all.weights); /* unscaled they are in f32 */
    if (all.masters > 0)
        print_size("masters, in f32", all.masters);
    print_size("moments", all.moments);
    print_size(on_cpu ? "tensors, at the most" : "host memory, at the most",
               (double)atomic_load(&c->peak));
    print_size("the program itself", itself);
    print_size("in all, at the most", (double)atomic_load(&c->peak) + itself);
}

/* The second step tells the speed: the first one fetches the memory. */
static grd_status measure(stepper *t, const counter *c)
{
    const double allocated = resident_bytes("RssAnon:");
    grd_scope *scope = open_scope(t->o);
    stepper_set_up(t);
    if (train_step(t) && stepper_wait(t) == 1 && train_step(t) && stepper_wait(t) == 1) {
        const step_report report = stepper_tell(t, 0);
        grd_module_print(stdout, t->s.model);
        print_memory(t, c, allocated);
        printf("%-24s %10.1f ms, %.0f tokens/s\n", "a step", 1e3 * report.seconds,
               report.tokens / report.seconds);
        printf("%-24s %10.0f s\n", "all steps", report.seconds * (double)t->o->steps);
    }
    return grd_scope_end(scope);
}

int dry_run(options *o)
{
    stepper t;
    static counter memory;
    const grd_allocator counted = { count_allocate, count_release, &memory, false };
    if (grd_set_allocator(&counted) != GRD_OK)
        return complain_of_library();
    if (!stepper_begin(&t, o))
        return complain("out of memory"), EXIT_FAILED;
    const grd_status status = measure(&t, &memory);
    stepper_end(&t);
    return status == GRD_OK ? 0 : complain_of_library();
}
