#include "tensor/cuda/cudnn_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CANDIDATES = 16, MOST_PLANS = 512 };

typedef grdi_cudnn_graph graph;
typedef grdi_cudnn_descriptor descriptor;
typedef grdi_cudnn_attribute attribute;
typedef grdi_cudnn_candidate candidate;
typedef grdi_cudnn_plan plan;

/* ---- Candidates ---- */

static descriptor *whole_of(graph *g)
{
    const attribute attributes[] = {
        { GRDI_CUDNN_GRAPH_OPS, GRDI_CUDNN_IS_DESCRIPTOR, g->num_ops, g->op },
        { GRDI_CUDNN_GRAPH_HANDLE, GRDI_CUDNN_IS_HANDLE, 1, g->handle ? &g->handle : NULL },
    };
    return grdi_cudnn_make(g, GRDI_CUDNN_GRAPH, "the graph of attention", 2, attributes);
}

static descriptor *list_of(graph *g, int list)
{
    descriptor *whole = whole_of(g);
    const attribute attributes[] = {
        { GRDI_CUDNN_HEURISTIC_GRAPH, GRDI_CUDNN_IS_DESCRIPTOR, 1, &whole },
        { GRDI_CUDNN_HEURISTIC_MODE, GRDI_CUDNN_IS_HEURISTIC, 1, &list },
        { GRDI_CUDNN_HEURISTIC_DEVICE, GRDI_CUDNN_IS_DESCRIPTOR, 1, &g->device },
    };
    return grdi_cudnn_make(g, GRDI_CUDNN_HEURISTIC, "the list of engines", 3, attributes);
}

static bool read(graph *g, descriptor *from, const char *what, int name, int type, int64_t count,
                 int64_t *found, void *values)
{
    return !g->failed && grdi_cudnn_ok(g, "reading", what,
                                       g->cudnn->cudnnBackendGetAttribute(from, name, type, count,
                                                                          found, values));
}

/* What is said of a candidate beside itself; that it cannot be had is no failure. */
static void describe(graph *g, candidate *c)
{
    int64_t found = 0;
    descriptor *engine = grdi_cudnn_create(g, GRDI_CUDNN_ENGINE, "an engine");
    c->engine = c->workspace = -1;
    g->cudnn->cudnnBackendGetAttribute(c->config, GRDI_CUDNN_CONFIG_WORKSPACE, GRDI_CUDNN_IS_I64, 1,
                                       &found, &c->workspace);
    if (engine &&
        g->cudnn->cudnnBackendGetAttribute(c->config, GRDI_CUDNN_CONFIG_ENGINE,
                                           GRDI_CUDNN_IS_DESCRIPTOR, 1, &found, &engine) == 0)
        g->cudnn->cudnnBackendGetAttribute(engine, GRDI_CUDNN_ENGINE_INDEX, GRDI_CUDNN_IS_I64, 1,
                                           &found, &c->engine);
}

int grdi_cudnn_candidates(graph *g, int list, candidate *candidates, int most)
{
    static const char what[] = "the list of engines";
    descriptor *from = list_of(g, list), *config[MOST_CANDIDATES];
    int64_t count = 0, found = 0;
    if (!read(g, from, what, GRDI_CUDNN_HEURISTIC_RESULTS, GRDI_CUDNN_IS_DESCRIPTOR, 0, &count,
              NULL))
        return 0;
    most = most < MOST_CANDIDATES ? most : MOST_CANDIDATES;
    count = count < most ? count : most;
    for (int64_t i = 0; i < count; i++)
        config[i] = grdi_cudnn_create(g, GRDI_CUDNN_CONFIG, "a choice of engine");
    if (count == 0 || !read(g, from, what, GRDI_CUDNN_HEURISTIC_RESULTS, GRDI_CUDNN_IS_DESCRIPTOR,
                            count, &found, config))
        return 0;
    for (int64_t i = 0; i < found; i++) {
        candidates[i].config = config[i];
        describe(g, &candidates[i]);
    }
    return g->failed ? 0 : (int)found;
}

/* ---- A plan ---- */

/* That a candidate cannot be had is told by the next one, or if it is the last, as the refusal. */
static bool make_of(plan *p, const candidate *c)
{
    graph *g = &p->graph;
    const attribute attributes[] = {
        { GRDI_CUDNN_PLAN_CONFIG, GRDI_CUDNN_IS_DESCRIPTOR, 1, &c->config },
        { GRDI_CUDNN_PLAN_HANDLE, GRDI_CUDNN_IS_HANDLE, 1, g->handle ? &g->handle : NULL },
    };
    int64_t found = 0;
    g->failed = g->out_of_memory = false;
    p->plan = grdi_cudnn_make(g, GRDI_CUDNN_PLAN, "a plan", 2, attributes);
    p->engine = c->engine;
    return read(g, p->plan, "a plan", GRDI_CUDNN_PLAN_WORKSPACE, GRDI_CUDNN_IS_I64, 1, &found,
                &p->workspace);
}

/* In bytes of 2^20, rounded up. */
static int64_t mib(int64_t bytes)
{
    return bytes / (1 << 20) + (bytes % (1 << 20) != 0);
}

static void refuse_for_workspace(plan *p, int64_t least, int64_t most)
{
    const bool ordered = p->attention.backward && p->attention.deterministic;
    snprintf(p->graph.why, sizeof p->graph.why,
             "cuDNN wants %" PRId64 " MiB to work in, and %" PRId64 " MiB are what it may have%s",
             mib(least), mib(most),
             ordered ? "; with GRADUS_CUDNN_FAST=1, which gives other bits in every run, it wants "
                       "less"
                     : "");
}

/* The first of a list that can be made and keeps to the limit; `least` is what others would want.
 */
static bool choose(plan *p, int list, int64_t most_workspace, int64_t *least)
{
    candidate c[MOST_CANDIDATES];
    const int count = grdi_cudnn_candidates(&p->graph, list, c, MOST_CANDIDATES);
    for (int i = 0; i < count; i++) {
        int64_t workspace = c[i].workspace;
        if (workspace <= most_workspace) {
            if (!make_of(p, &c[i]))
                continue;
            workspace = p->workspace;
        }
        if (workspace <= most_workspace)
            return true;
        if (*least < 0 || workspace < *least)
            *least = workspace;
    }
    p->plan = NULL;
    p->graph.failed &= count == 0; /* the other list may have what can be made */
    return false;
}

static void fill(plan *p, int64_t most_workspace)
{
    graph *g = &p->graph;
    int64_t least = -1;
    grdi_cudnn_add_attention(g, &p->attention);
    if (choose(p, GRDI_CUDNN_BEST, most_workspace, &least) ||
        choose(p, GRDI_CUDNN_FALLBACK, most_workspace, &least))
        return;
    g->failed = true;
    if (!*g->why && least >= 0)
        refuse_for_workspace(p, least, most_workspace);
    if (!*g->why)
        snprintf(g->why, sizeof g->why, "cuDNN has no engine for it on this GPU");
}

/* ---- Kept ---- */

static uint64_t hash_of(const grdi_cudnn_attention *a)
{
    uint64_t word[sizeof *a / 8], hash = 0;
    _Static_assert(sizeof *a % 8 == 0, "it is hashed by words");
    memcpy(word, a, sizeof *a);
    for (size_t i = 0; i < sizeof *a / 8; i++)
        hash = (hash ^ word[i]) * UINT64_C(0x9E3779B97F4A7C15), hash ^= hash >> 29;
    return hash;
}

static plan **place_of(const grdi_cudnn_plans *p, const grdi_cudnn_attention *a)
{
    size_t place = (size_t)hash_of(a) & (p->places - 1);
    while (p->at[place] && memcmp(&p->at[place]->attention, a, sizeof *a) != 0)
        place = (place + 1) & (p->places - 1);
    return &p->at[place];
}

static bool grow(grdi_cudnn_plans *p)
{
    grdi_cudnn_plans wider = { .places = p->places ? 2 * p->places : 64 };
    wider.at = calloc(wider.places, sizeof(plan *));
    if (!wider.at)
        return false;
    for (size_t i = 0; i < p->places; i++)
        if (p->at[i])
            *place_of(&wider, &p->at[i]->attention) = p->at[i];
    free(p->at);
    p->at = wider.at;
    p->places = wider.places;
    return true;
}

static void destroy(plan *p)
{
    grdi_cudnn_clear(&p->graph);
    free(p);
}

/* Where sizes change from call to call, making plans would take longer than computing. */
static const plan one_too_many = { .graph = { .why = "sizes change too often: cuDNN has made 512 "
                                                     "plans, and makes no more" } };

/* What failed for want of memory is tried again the next time. */
const plan *grdi_cudnn_plan_for(grdi_cudnn_plans *plans, const grdi_cudnn_attention *attention)
{
    if (2 * plans->count >= plans->places && !grow(plans))
        return NULL;
    plan **place = place_of(plans, attention);
    if (*place)
        return *place;
    if (plans->count >= MOST_PLANS)
        return &one_too_many;
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->attention = *attention;
    p->graph.cudnn = plans->cudnn;
    p->graph.handle = plans->handle;
    fill(p, plans->most_workspace);
    if (!p->plan)
        grdi_cudnn_clear(&p->graph);
    if (!p->plan && p->graph.out_of_memory) {
        destroy(p);
        return NULL;
    }
    *place = p;
    plans->count++;
    return p;
}

void grdi_cudnn_drop_plans(grdi_cudnn_plans *plans)
{
    for (size_t i = 0; i < plans->places; i++)
        if (plans->at[i])
            destroy(plans->at[i]);
    free(plans->at);
    plans->at = NULL;
    plans->places = plans->count = 0;
}
