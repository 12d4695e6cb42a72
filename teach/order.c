/* A deliberately naive walk beside the library's: what goes wrong without an order. */
#include "teach/lesson.h"

#include <math.h>

typedef const grd_tensor *const *inputs;

typedef struct node {
    grd_tensor *(*op)(inputs in); /* NULL: a leaf */
    int count, from[2];           /* whose results it takes */
    double value, grad;
    bool visited;
} node;

static grd_tensor *triple(inputs in)
{
    return grd_mul_scalar(in[0], 3);
}

static grd_tensor *square(inputs in)
{
    return grd_square(in[0]);
}

static grd_tensor *product(inputs in)
{
    return grd_mul(in[0], in[1]);
}

enum { X, A, B, C, NODES };

/* Inputs first. */
static const node graph[NODES] = {
    [X] = { .value = 2 },
    [A] = { .op = triple, .count = 1, .from = { X } },
    [B] = { .op = square, .count = 1, .from = { A } },
    [C] = { .op = product, .count = 2, .from = { A, B } },
};

/* The values of a node's inputs, as leaves of their own. */
static void take_inputs(const node tape[], const node *n, grd_tensor *in[2])
{
    for (int i = 0; i < n->count; i++)
        in[i] = grd_require_grad(grd_scalar(tape[n->from[i]].value));
}

static void compute(node tape[])
{
    for (int i = 0; i < NODES; i++) {
        grd_tensor *in[2] = { NULL, NULL };
        tape[i] = graph[i];
        take_inputs(tape, &tape[i], in);
        if (tape[i].op)
            tape[i].value = grd_item(tape[i].op((inputs)in));
    }
    tape[C].grad = 1;
}

/* Adds the gradient of node n to its i-th input's, by the derivative of this one op. */
static void pass_on(node tape[], int n, int i)
{
    grd_tensor *in[2] = { NULL, NULL }, *dx = NULL;
    take_inputs(tape, &tape[n], in);
    grd_grad(GRD_LIST(tape[n].op((inputs)in)), GRD_LIST(in[i]), NULL, &dx);
    tape[tape[n].from[i]].grad += tape[n].grad * (dx ? grd_item(dx) : NAN);
}

/* Hands on at once, and never comes back. */
static void walk_once(node tape[], int n)
{
    if (tape[n].visited)
        return;
    tape[n].visited = true;
    for (int i = 0; i < tape[n].count; i++) {
        pass_on(tape, n, i);
        walk_once(tape, tape[n].from[i]);
    }
}

/* Hands on all it has whenever something comes in. */
static void walk_again(node tape[], int n)
{
    for (int i = 0; i < tape[n].count; i++) {
        pass_on(tape, n, i);
        walk_again(tape, tape[n].from[i]);
    }
}

/* Consumers first, each once: a topological order. */
static void walk_in_order(node tape[], int n)
{
    for (; n >= 0; n--)
        for (int i = 0; i < tape[n].count; i++)
            pass_on(tape, n, i);
}

static void name_walk(document *d, const char *name, void walk(node tape[], int n))
{
    node tape[NODES];
    double grads[NODES];
    compute(tape);
    walk(tape, C);
    for (int i = 0; i < NODES; i++)
        grads[i] = tape[i].grad;
    name_numbers(d, name, grads, NODES);
}

/* The same computation, recorded and walked by the library. */
static void name_library(document *d)
{
    grd_tensor *x = grd_require_grad(grd_scalar(graph[X].value));
    grd_tensor *a = grd_retain_grad(grd_mul_scalar(x, 3)), *b = grd_retain_grad(grd_square(a));
    grd_tensor *c = grd_retain_grad(grd_mul(a, b));
    grd_backward(c);
    const grd_tensor *of[NODES] = { [X] = x, [A] = a, [B] = b, [C] = c };
    double values[NODES], grads[NODES];
    for (int i = 0; i < NODES; i++) {
        values[i] = grd_item(of[i]);
        grads[i] = grd_item(grd_tensor_grad(of[i]));
    }
    name_numbers(d, "value", values, NODES);
    name_numbers(d, "library", grads, NODES);
}

/* ---- How long a walk of all ways is ---- */

static void count_ways(int height, double *calls)
{
    if (height == 0)
        return;
    ++*calls;
    count_ways(height - 1, calls);
    count_ways(height - 1, calls);
}

static bool count_step(const grd_backward_step *step, void *count)
{
    (void)step;
    ++*(double *)count;
    return true;
}

static double count_library(int height)
{
    double calls = 0;
    grd_scope *scope = grd_scope_begin();
    grd_on_backward(scope, count_step, &calls);
    const grd_tensor *y = grd_require_grad(grd_scalar(1));
    for (int i = 0; i < height; i++)
        y = grd_add(y, y);
    grd_backward(y);
    grd_scope_end(scope);
    return calls;
}

static void tell_cost(document *d)
{
    enum { HEIGHTS = 5 };
    double heights[HEIGHTS], ways[HEIGHTS] = { 0 }, library[HEIGHTS];
    for (int i = 0; i < HEIGHTS; i++) {
        heights[i] = 1 + 5 * i;
        count_ways((int)heights[i], &ways[i]);
        library[i] = count_library((int)heights[i]);
    }
    name_numbers(d, "height", heights, HEIGHTS);
    name_numbers(d, "calls by ways", ways, HEIGHTS);
    name_numbers(d, "calls in order", library, HEIGHTS);
    put_section(d, "Right, but endless");
    put_text(d, "One could also walk every way apart from the others and hand on only what came "
                "in by it. That gives the right numbers. But ways multiply: of diamonds stacked "
                "on each other (`y = grd_add(y, y)` again and again) each one doubles them.");
    put_columns(d, "How often a derivative is called:", "diamonds | every way | in order",
                "height | calls by ways | calls in order");
}

static void tell_walks(document *d)
{
    put_picture(d, "*once:* a depth-first walk that visits each node when it first gets there.",
                "walk_once(n):   if n was visited, return\n"
                "                for each input: input.grad += n.grad * d n / d input\n"
                "                                walk_once(input)\n");
    put_picture(d, "*again:* the same without remembering who was visited.",
                "walk_again(n):  for each input: input.grad += n.grad * d n / d input\n"
                "                                walk_again(input)\n");
    put_picture(d, "*in order:* every node after all who use it.",
                "for n in c, b, a, x:  for each input: input.grad += n.grad * d n / d input\n");
    put_table(d, "The gradients that they leave:", "node | once | again | in order | library");
    put_row(d, "c | {once[3]} | {again[3]} | {in order[3]} | {library[3]}");
    put_row(d, "b | {once[2]} | {again[2]} | {in order[2]} | {library[2]}");
    put_row(d, "a | {once[1]} | {again[1]} | {in order[1]} | {library[1]}");
    put_row(d, "x | {once[0]} | {again[0]} | {in order[0]} | {library[0]}");
}

void tell_order(document *d)
{
    put_text(d, "Backward visits each op of the graph and hands its gradient to its inputs. In "
                "which order? Here is a graph in which it matters: a is used by b, and once more "
                "by c, above it.");
    put_picture(d, "x feeds a; a feeds b and c; b feeds c.",
                "  c = a b\n"
                "  |  \\\n"
                "  |   b = a a\n"
                "  |  /\n"
                "  a = 3 x\n"
                "  |\n"
                "  x\n");
    name_library(d);
    name_walk(d, "once", walk_once);
    name_walk(d, "again", walk_again);
    name_walk(d, "in order", walk_in_order);
    put_text(d, "With x = {value[0]}: a = {value[1]}, b = {value[2]}, c = {value[3]}, which is "
                "`27 x³`, so that the gradient of x is `81 x²`. Three walks, written in a few "
                "lines each; they start at c with a gradient of one.");
    tell_walks(d);
    put_text(d, "*Once* is too small: a hands on its gradient when it has heard from c only. What "
                "b adds later arrives at a, whose own number ends right, but x never hears of it.");
    put_text(d, "*Again* is too large: when b's share arrives, a hands on all that it has, with "
                "the first share in it a second time.");
    put_remark(d, "A node may hand on its gradient when all who use it have handed on theirs. An "
                  "order in which that holds is a topological order, and the library counts each "
                  "node's users first to find one.");
    tell_cost(d);
    put_question(d, "Why do small examples so often work without an order?",
                 "On a chain, and on every tree, each node has one user: whoever arrives first is "
                 "the only one. It takes a value that is used twice, at different depths, which "
                 "every residual connection makes.");
}
