/* User threads that each train and save their own network while the library's threads come and go,
 * and a child that trains after a fork: for ThreadSanitizer, and for the same bits on every thread.
 */
#include "tensor/cpu/parallel.h"

#include <gradus/gradus.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { USERS = 4, STEPS = 8 };

static void fail(const char *what)
{
    fprintf(stderr, "threads: %s: %s\n", what, grd_error_message());
    exit(EXIT_FAILURE);
}

static void train_step(grd_module *model, grd_optimizer *optimizer, const grd_data *data, int64_t i)
{
    grd_scope *step = grd_scope_begin();
    const grd_batch batch = grd_batch_at(data, i);
    grd_backward(grd_cross_entropy(grd_forward(model, batch.inputs), batch.targets, NULL));
    grd_clip_grad_norm(model, 1.0);
    grd_optimizer_step(optimizer, 1e-3);
    grd_scope_end(step);
}

/* FNV-1a of all parameters' bits. */
static uint64_t fingerprint(const grd_module *model)
{
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < grd_module_num_parameters(model); i++) {
        const grd_tensor *x = grd_module_parameter_at(model, i).tensor;
        const size_t bytes = (size_t)grd_tensor_count(x) * sizeof(float);
        const unsigned char *data = (const unsigned char *)grd_data_f32(x);
        for (size_t b = 0; data && b < bytes; b++)
            hash = (hash ^ data[b]) * 1099511628211u;
    }
    return hash;
}

/* libhdf5 serves one thread at a time; the library sees to that. */
static void save_and_load(grd_module *model, grd_optimizer *optimizer)
{
    char path[] = "/tmp/gradus-threads-XXXXXX";
    const grd_checkpoint all = { .model = model, .optimizer = optimizer };
    const int file = mkstemp(path);
    if (file < 0)
        fail("no temporary file");
    close(file);
    for (int i = 0; i < 3; i++)
        if (grd_save(path, &all) != GRD_OK || grd_load(path, &all) != GRD_OK)
            fail("a checkpoint");
    unlink(path);
}

/* Large enough for the library to split its work among threads. */
static uint64_t train(void)
{
    grd_scope *run = grd_scope_begin();
    grd_rng *rng = grd_rng_create(1);
    const grd_data *data = grd_data_task("copy", &(grd_task_options){ .batch_size = 16 });
    grd_module *model = grd_transformer_create(
        rng, &(grd_transformer_options){ .vocab_size = grd_data_vocab_size(data),
                                         .context = grd_data_context(data),
                                         .embed_dim = 64,
                                         .num_heads = 4,
                                         .num_layers = 1,
                                         .direction = GRD_CAUSAL,
                                         .dropout = 0.1 });
    grd_optimizer *optimizer = grd_adamw_create(model, &(grd_adam_options){ .weight_decay = 0.01 });
    grd_module_train(model, rng);
    for (int64_t i = 0; i < STEPS; i++)
        train_step(model, optimizer, data, i);
    save_and_load(model, optimizer);
    const uint64_t hash = fingerprint(model);
    if (grd_scope_end(run) != GRD_OK)
        fail("training");
    return hash;
}

static void *user(void *result)
{
    *(uint64_t *)result = train();
    return NULL;
}

static void train_in_threads(uint64_t expected)
{
    pthread_t thread[USERS];
    uint64_t result[USERS];
    for (int i = 0; i < USERS; i++)
        if (pthread_create(&thread[i], NULL, user, &result[i]) != 0)
            fail("no thread");
    for (int count = 1; count <= 8; count++)
        if (grd_device_set_threads(grd_cpu(), count % 4 + 1) != GRD_OK)
            fail("threads cannot be set");
    for (int i = 0; i < USERS; i++) {
        pthread_join(thread[i], NULL);
        if (result[i] != expected)
            fail("a thread's weights differ");
    }
}

static void train_in_child(uint64_t expected)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(train() != expected);
    int status = -1;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("a forked child's weights differ");
}

/* ---- The pool alone ---- */

enum { PIECES = 37 };

static grd_status count_piece(void *context, int64_t first, int64_t last)
{
    atomic_int *times = context;
    for (int64_t i = first; i < last; i++)
        atomic_fetch_add(&times[i], 1);
    return GRD_OK;
}

/* Each piece is done once, whatever the helpers do: the pauses are such that they spin, fall asleep
 * or sleep when the next job comes. */
static void *share_jobs(void *jobs)
{
    for (int i = 0; i < *(const int *)jobs; i++) {
        atomic_int times[PIECES] = { 0 };
        if (grdi_parallel(PIECES, 1, count_piece, times) != GRD_OK)
            fail("a job fails");
        for (int j = 0; j < PIECES; j++)
            if (atomic_load(&times[j]) != 1)
                fail("a piece is not done once");
        nanosleep(&(struct timespec){ .tv_nsec = i * 7919 % 40 * 1000 }, NULL);
    }
    return NULL;
}

/* Two users and one who changes the number of threads. A wake-up that is lost hangs it, and the
 * alarm ends it. */
static void stress_pool(int jobs)
{
    pthread_t user[2];
    alarm(60 + (unsigned)jobs / 100);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&user[i], NULL, share_jobs, &jobs) != 0)
            fail("no thread");
    for (int i = 0; i < jobs / 20; i++) {
        grdi_set_threads(1 + i % 5);
        nanosleep(&(struct timespec){ .tv_nsec = i * 104729 % 900 * 1000 }, NULL);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(user[i], NULL);
    alarm(0);
}

/* usage: threads [JOBS]: with a number, only the pool, for so many jobs of each user. */
int main(int count, char **words)
{
    if (count > 1) {
        grd_device_set_threads(grd_cpu(), 3);
        stress_pool(atoi(words[1]));
        return EXIT_SUCCESS;
    }
    grd_device_set_threads(grd_cpu(), 1);
    const uint64_t expected = train();
    grd_device_set_threads(grd_cpu(), 3);
    if (train() != expected)
        fail("three threads give other weights");
    for (int round = 0; round < 3; round++)
        train_in_threads(expected);
    train_in_child(expected);
    stress_pool(2000);
    return EXIT_SUCCESS;
}
