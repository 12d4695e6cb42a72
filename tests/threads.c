/* User threads that each train their own network while the library's threads come and go, and a
 * child that trains after a fork: for ThreadSanitizer, and for the same bits on every thread. */
#include <gradus/gradus.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USERS = 4, STEPS = 12, SIZE = 96 };

static void fail(const char *what)
{
    fprintf(stderr, "threads: %s: %s\n", what, grd_error_message());
    exit(EXIT_FAILURE);
}

/* Large enough for the library to split its work among threads. */
static grd_tensor *wave(int64_t rows, int64_t columns)
{
    float *values = malloc((size_t)(rows * columns) * sizeof *values);
    for (int64_t i = 0; values && i < rows * columns; i++)
        values[i] = (float)(i * 7919 % 101) / 101 - 0.5f;
    grd_tensor *x = grd_from_f32(values, rows * columns, GRD_SHAPE(rows, columns));
    free(values);
    return x;
}

static grd_tensor *descend(grd_tensor *w, const grd_tensor *x)
{
    grd_scope *step = grd_scope_begin();
    const grd_tensor *y = grd_softmax(grd_matmul(x, w), -1);
    grd_tensor *dw;
    grd_grad(GRD_LIST(grd_sum(grd_mul(y, y))), GRD_LIST(w), NULL, &dw);
    grd_tensor *next = grd_add(w, dw);
    return grd_require_grad(grd_scope_return(step, grd_detach(next)));
}

/* Trains and returns a fingerprint of the weights. */
static uint64_t train(void)
{
    static const uint64_t prime = 1099511628211u;
    float values[SIZE * SIZE];
    grd_scope *run = grd_scope_begin();
    const grd_tensor *x = wave(3 * SIZE, SIZE);
    grd_tensor *w = grd_require_grad(wave(SIZE, SIZE));
    for (int i = 0; i < STEPS; i++)
        w = descend(w, x);
    if (grd_read_f32(w, values, SIZE * SIZE) != GRD_OK || grd_scope_end(run) != GRD_OK)
        fail("training");
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < sizeof values; i++)
        hash = (hash ^ ((const unsigned char *)values)[i]) * prime;
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

int main(void)
{
    grd_device_set_threads(grd_cpu(), 1);
    const uint64_t expected = train();
    grd_device_set_threads(grd_cpu(), 3);
    if (train() != expected)
        fail("three threads give other weights");
    for (int round = 0; round < 3; round++)
        train_in_threads(expected);
    train_in_child(expected);
    return EXIT_SUCCESS;
}
