/* A cuDNN without a GPU: it holds descriptors to the API's rules, fails on request, and runs a
 * graph on the processor, operation by operation, as work of the emulated driver's stream. What the
 * library asks of cuDNN can so be seen to mean what it should. */
#include "tests/cuda/cudnn_fake.h"

#include "tensor/cuda/cudnn.h"
#include "tests/cuda/emulation.h"

#include <array>
#include <map>
#include <mutex>
#include <stdlib.h>
#include <vector>

namespace
{

enum { BAD = 2000, NOT_FINAL = 2004, WRONG_TYPE = 2010 };

struct values {
    int type;
    int64_t count;
    std::vector<char> bytes;
};

} // namespace

struct grdi_cudnn_descriptor {
    int kind;
    bool final;
    int64_t engine, workspace; /* of a choice of engine */
    std::map<int, values> attributes;
};

struct grdi_cudnn_handle {
    bool streamed;
};

namespace
{

typedef grdi_cudnn_descriptor descriptor;

std::mutex lock;
long calls, held, graphs, fail_at;
int fail_with, best = 1, fallback = 1;
int64_t workspace = 64;

#define BEGIN                                                                                      \
    std::lock_guard<std::mutex> guard(lock);                                                       \
    if (++calls == fail_at)                                                                        \
    return fail_with

size_t size_of(int type)
{
    switch (type) {
    case GRDI_CUDNN_IS_CHAR:
    case GRDI_CUDNN_IS_BOOL:
        return 1;
    case GRDI_CUDNN_IS_DTYPE:
    case GRDI_CUDNN_IS_MODE:
    case GRDI_CUDNN_IS_HEURISTIC:
    case GRDI_CUDNN_IS_REDUCTION:
        return 4;
    default:
        return 8;
    }
}

template <class T> const T *all(const descriptor *d, int name)
{
    const auto found = d->attributes.find(name);
    return found == d->attributes.end() ? nullptr : (const T *)found->second.bytes.data();
}

template <class T> T get(const descriptor *d, int name, T otherwise = T())
{
    const T *found = all<T>(d, name);
    return found ? *found : otherwise;
}

/* ---- Running a graph ---- */

typedef std::array<int64_t, 4> index;

struct tensor {
    int64_t id;
    int dtype;
    index size, stride;
    bool between, by_value;

    explicit tensor(const descriptor *d)
        : id(get<int64_t>(d, GRDI_CUDNN_TENSOR_ID)), dtype(get<int>(d, GRDI_CUDNN_TENSOR_DTYPE)),
          between(get<bool>(d, GRDI_CUDNN_TENSOR_VIRTUAL)),
          by_value(get<bool>(d, GRDI_CUDNN_TENSOR_BY_VALUE))
    {
        for (int i = 0; i < 4; i++) {
            size[i] = all<int64_t>(d, GRDI_CUDNN_TENSOR_SIZES)[i];
            stride[i] = all<int64_t>(d, GRDI_CUDNN_TENSOR_STRIDES)[i];
        }
    }

    int64_t at(const index &i) const
    {
        int64_t offset = 0;
        for (int d = 0; d < 4; d++)
            offset += i[d] * stride[d];
        return offset;
    }

    template <class F> void each(F f) const
    {
        index i;
        for (i[0] = 0; i[0] < size[0]; i[0]++)
            for (i[1] = 0; i[1] < size[1]; i[1]++)
                for (i[2] = 0; i[2] < size[2]; i[2]++)
                    for (i[3] = 0; i[3] < size[3]; i[3]++)
                        f(i);
    }
};

double load(const void *from, int dtype, int64_t at)
{
    switch (dtype) {
    case GRDI_CUDNN_F16:
        return (double)f16_to_float(((const unsigned short *)from)[at]);
    case GRDI_CUDNN_BF16:
        return (double)bf16_to_float(((const unsigned short *)from)[at]);
    case GRDI_CUDNN_F32:
        return (double)((const float *)from)[at];
    case GRDI_CUDNN_I32:
        return ((const int *)from)[at];
    default:
        return (double)((const int64_t *)from)[at];
    }
}

void store(void *to, int dtype, int64_t at, double x)
{
    switch (dtype) {
    case GRDI_CUDNN_F16:
        ((unsigned short *)to)[at] = float_to_f16((float)x);
        break;
    case GRDI_CUDNN_BF16:
        ((unsigned short *)to)[at] = float_to_bf16((float)x);
        break;
    case GRDI_CUDNN_F32:
        ((float *)to)[at] = (float)x;
        break;
    default:
        ((int *)to)[at] = (int)x;
    }
}

double rounded(double x, int dtype)
{
    if (dtype == GRDI_CUDNN_F16)
        return (double)f16_to_float(float_to_f16((float)x));
    if (dtype == GRDI_CUDNN_BF16)
        return (double)bf16_to_float(float_to_bf16((float)x));
    return dtype == GRDI_CUDNN_F32 ? (double)(float)x : x;
}

/* What there is while a graph runs. What was not made yet is NaN. */
struct running {
    std::map<int64_t, void *> pointers;
    std::map<int64_t, std::vector<char>> by_value;        /* as it was when the run was asked for */
    std::map<int64_t, std::map<int64_t, double>> between; /* by id, then by place */

    double read(const tensor &x, const index &i)
    {
        if (!x.between)
            return load(x.by_value ? by_value[x.id].data() : pointers[x.id], x.dtype, x.at(i));
        const auto &values = between[x.id];
        const auto found = values.find(x.at(i));
        return found == values.end() ? NAN : found->second;
    }

    /* A size of 1 stands for all; of fewer heads, each for as many. */
    double spread(const tensor &x, index i, const tensor &like)
    {
        for (int d = 0; d < 4; d++)
            i[d] = x.size[d] == like.size[d] ? i[d] : i[d] / (like.size[d] / x.size[d]);
        return read(x, i);
    }

    void write(const tensor &y, const index &i, double x)
    {
        if (y.between)
            between[y.id][y.at(i)] = rounded(x, y.dtype);
        else
            store(pointers[y.id], y.dtype, y.at(i), x);
    }
};

tensor part(const descriptor *op, int name)
{
    return tensor(get<descriptor *>(op, name));
}

double pointwise(int mode, double x, double b, double t)
{
    switch (mode) {
    case GRDI_CUDNN_ADD:
        return x + b;
    case GRDI_CUDNN_MUL:
        return x * b;
    case GRDI_CUDNN_DIV:
        return x / b;
    case GRDI_CUDNN_SUB:
        return x - b;
    case GRDI_CUDNN_EXP:
        return exp(x);
    case GRDI_CUDNN_LOG:
        return log(x);
    case GRDI_CUDNN_GREATER:
        return x > b;
    case GRDI_CUDNN_AT_LEAST:
        return x >= b;
    case GRDI_CUDNN_LESS:
        return x < b;
    case GRDI_CUDNN_AND:
        return x != 0 && b != 0;
    case GRDI_CUDNN_SELECT:
        return t != 0 ? x : b;
    default:
        return x;
    }
}

void run_pointwise(running &r, const descriptor *op)
{
    const descriptor *is = get<descriptor *>(op, GRDI_CUDNN_OP_POINTWISE_IS);
    const int mode = get<int>(is, GRDI_CUDNN_POINTWISE_MODE);
    const int64_t axis = get<int64_t>(is, GRDI_CUDNN_POINTWISE_AXIS);
    const tensor x = part(op, GRDI_CUDNN_OP_POINTWISE_X), y = part(op, GRDI_CUDNN_OP_POINTWISE_Y);
    const bool has_b = all<void *>(op, GRDI_CUDNN_OP_POINTWISE_B);
    const bool has_t = all<void *>(op, GRDI_CUDNN_OP_POINTWISE_T);
    const tensor b = has_b ? part(op, GRDI_CUDNN_OP_POINTWISE_B) : x;
    const tensor t = has_t ? part(op, GRDI_CUDNN_OP_POINTWISE_T) : x;
    y.each([&](const index &i) {
        if (mode == GRDI_CUDNN_INDEX)
            return r.write(y, i, (double)i[axis]);
        r.write(y, i,
                pointwise(mode, r.spread(x, i, y), has_b ? r.spread(b, i, y) : 0,
                          has_t ? r.spread(t, i, y) : 0));
    });
}

int64_t limit(running &r, const descriptor *op, int name, int64_t sample, int64_t otherwise)
{
    if (!all<void *>(op, name))
        return otherwise;
    const tensor lengths = part(op, name);
    return (int64_t)r.read(lengths, { sample, 0, 0, 0 });
}

/* Past the rows and columns that count there is 0, and no more is read than counts. */
void run_matmul(running &r, const descriptor *op)
{
    const tensor a = part(op, GRDI_CUDNN_OP_MATMUL_A), b = part(op, GRDI_CUDNN_OP_MATMUL_B);
    const tensor c = part(op, GRDI_CUDNN_OP_MATMUL_C);
    c.each([&](const index &i) {
        const int64_t rows = limit(r, op, GRDI_CUDNN_OP_MATMUL_ROWS, i[0], c.size[2]);
        const int64_t columns = limit(r, op, GRDI_CUDNN_OP_MATMUL_COLUMNS, i[0], c.size[3]);
        const int64_t terms = limit(r, op, GRDI_CUDNN_OP_MATMUL_TERMS, i[0], a.size[3]);
        double sum = 0;
        for (int64_t k = 0; k < terms && i[2] < rows && i[3] < columns; k++)
            sum += r.read(a, { i[0], i[1] / (c.size[1] / a.size[1]), i[2], k }) *
                   r.read(b, { i[0], i[1] / (c.size[1] / b.size[1]), k, i[3] });
        r.write(c, i, sum);
    });
}

void run_reduction(running &r, const descriptor *op)
{
    const descriptor *is = get<descriptor *>(op, GRDI_CUDNN_OP_REDUCTION_IS);
    const bool max = get<int>(is, GRDI_CUDNN_REDUCTION_MODE) == GRDI_CUDNN_REDUCE_MAX;
    const tensor x = part(op, GRDI_CUDNN_OP_REDUCTION_X), y = part(op, GRDI_CUDNN_OP_REDUCTION_Y);
    std::map<index, double> sums;
    x.each([&](const index &i) {
        index to;
        for (int d = 0; d < 4; d++)
            to[d] = i[d] / (x.size[d] / y.size[d]);
        const double value = r.read(x, i);
        const auto found = sums.find(to);
        if (found == sums.end())
            sums[to] = value;
        else
            found->second = max ? fmax(found->second, value) : found->second + value;
    });
    y.each([&](const index &i) { r.write(y, i, sums[i]); });
}

/* The same places in other sizes and strides. */
void run_reshape(running &r, const descriptor *op)
{
    const tensor x = part(op, GRDI_CUDNN_OP_RESHAPE_X), y = part(op, GRDI_CUDNN_OP_RESHAPE_Y);
    std::map<int64_t, double> places;
    x.each([&](const index &i) { places[x.at(i)] = r.read(x, i); });
    y.each([&](const index &i) { r.write(y, i, places.count(y.at(i)) ? places[y.at(i)] : NAN); });
}

void run_op(running &r, const descriptor *op)
{
    if (op->kind == GRDI_CUDNN_OP_POINTWISE)
        run_pointwise(r, op);
    else if (op->kind == GRDI_CUDNN_OP_MATMUL)
        run_matmul(r, op);
    else if (op->kind == GRDI_CUDNN_OP_REDUCTION)
        run_reduction(r, op);
    else
        run_reshape(r, op);
}

const descriptor *graph_of(const descriptor *plan)
{
    const descriptor *config = get<descriptor *>(plan, GRDI_CUDNN_PLAN_CONFIG);
    return get<descriptor *>(config, GRDI_CUDNN_HEURISTIC_GRAPH);
}

/* The tensors of a graph that are not between its operations. */
std::map<int64_t, const descriptor *> tensors_of(const std::vector<const descriptor *> &ops)
{
    std::map<int64_t, const descriptor *> found;
    for (const descriptor *op : ops)
        for (const auto &attribute : op->attributes) {
            const descriptor *d = *(descriptor *const *)attribute.second.bytes.data();
            if (d->kind == GRDI_CUDNN_TENSOR && !get<bool>(d, GRDI_CUDNN_TENSOR_VIRTUAL))
                found[get<int64_t>(d, GRDI_CUDNN_TENSOR_ID)] = d;
        }
    return found;
}

/* Whether all that was handed is wanted, and all that is wanted handed; it runs later. */
bool start_graph(const descriptor *graph, const descriptor *pack)
{
    running r;
    const values &of_graph = graph->attributes.at(GRDI_CUDNN_GRAPH_OPS);
    descriptor *const *op = (descriptor *const *)of_graph.bytes.data();
    const std::vector<const descriptor *> ops(op, op + of_graph.count);
    const auto tensors = tensors_of(ops);
    const int64_t count = pack->attributes.at(GRDI_CUDNN_PACK_IDS).count;
    for (int64_t i = 0; i < count; i++) {
        const int64_t id = all<int64_t>(pack, GRDI_CUDNN_PACK_IDS)[i];
        char *at = (char *)all<void *>(pack, GRDI_CUDNN_PACK_POINTERS)[i];
        if (!tensors.count(id) || !at)
            return false;
        r.pointers[id] = at;
        if (get<bool>(tensors.at(id), GRDI_CUDNN_TENSOR_BY_VALUE))
            r.by_value[id].assign(at, at + 4);
    }
    if (r.pointers.size() != tensors.size())
        return false;
    emulation::enqueue("cuDNN", [r, ops]() mutable {
        for (const descriptor *each : ops)
            run_op(r, each);
    });
    return true;
}

/* ---- Lists of engines ---- */

int list_engines(const descriptor *list, int64_t room, int64_t *found, descriptor **into)
{
    const bool first = get<int>(list, GRDI_CUDNN_HEURISTIC_MODE) == GRDI_CUDNN_BEST;
    const int64_t count = first ? best : fallback;
    *found = count < room || room == 0 ? count : room;
    for (int64_t i = 0; i < *found && room; i++) {
        into[i]->attributes[GRDI_CUDNN_HEURISTIC_GRAPH] =
            list->attributes.at(GRDI_CUDNN_HEURISTIC_GRAPH);
        into[i]->engine = first ? 10 + i : 20 + i;
        into[i]->workspace = workspace;
        into[i]->final = true;
    }
    return 0;
}

} // namespace

/* ---- The API ---- */

extern "C" {

size_t cudnnGetVersion(void)
{
    const char *set = getenv("FAKE_CUDNN_VERSION");
    return set ? strtoul(set, nullptr, 10) : 91900;
}

const char *cudnnGetErrorString(int)
{
    return "FAKE_STATUS";
}

void cudnnGetLastErrorString(char *text, size_t size)
{
    snprintf(text, size, "said the fake");
}

int cudnnCreate(grdi_cudnn_handle **handle)
{
    BEGIN;
    *handle = new grdi_cudnn_handle();
    held++;
    return 0;
}

int cudnnDestroy(grdi_cudnn_handle *handle)
{
    delete handle;
    held--;
    return 0;
}

int cudnnSetStream(grdi_cudnn_handle *handle, grdi_cu_stream *stream)
{
    BEGIN;
    handle->streamed = stream != nullptr;
    return 0;
}

int cudnnBackendCreateDescriptor(int kind, descriptor **d)
{
    BEGIN;
    *d = new descriptor{ kind, false, 0, 0, {} };
    held++;
    return 0;
}

int cudnnBackendDestroyDescriptor(descriptor *d)
{
    delete d;
    held--;
    return 0;
}

int cudnnBackendFinalize(descriptor *d)
{
    BEGIN;
    if (d->final)
        return BAD;
    graphs += d->kind == GRDI_CUDNN_GRAPH;
    return d->final = true, 0;
}

int cudnnBackendSetAttribute(descriptor *d, int name, int type, int64_t count, const void *from)
{
    BEGIN;
    if (d->final || count < 1)
        return BAD;
    for (int64_t i = 0; type == GRDI_CUDNN_IS_DESCRIPTOR && i < count; i++)
        if (!((descriptor *const *)from)[i] || !((descriptor *const *)from)[i]->final)
            return NOT_FINAL;
    const char *bytes = (const char *)from;
    d->attributes[name] = { type, count, { bytes, bytes + (size_t)count * size_of(type) } };
    return 0;
}

int cudnnBackendGetAttribute(descriptor *d, int name, int type, int64_t room, int64_t *found,
                             void *into)
{
    BEGIN;
    if (!d->final)
        return NOT_FINAL;
    *found = 1;
    if (name == GRDI_CUDNN_HEURISTIC_RESULTS && type == GRDI_CUDNN_IS_DESCRIPTOR)
        return list_engines(d, room, found, (descriptor **)into);
    if (name == GRDI_CUDNN_CONFIG_WORKSPACE && type == GRDI_CUDNN_IS_I64)
        return *(int64_t *)into = d->workspace, 0;
    if (name == GRDI_CUDNN_CONFIG_ENGINE && type == GRDI_CUDNN_IS_DESCRIPTOR) {
        (*(descriptor **)into)->engine = d->engine;
        return (*(descriptor **)into)->final = true, 0;
    }
    if (name == GRDI_CUDNN_ENGINE_INDEX && type == GRDI_CUDNN_IS_I64)
        return *(int64_t *)into = d->engine, 0;
    if (name == GRDI_CUDNN_PLAN_WORKSPACE && type == GRDI_CUDNN_IS_I64)
        return *(int64_t *)into = get<descriptor *>(d, GRDI_CUDNN_PLAN_CONFIG)->workspace, 0;
    return WRONG_TYPE;
}

int cudnnBackendExecute(grdi_cudnn_handle *handle, descriptor *plan, descriptor *pack)
{
    BEGIN;
    if (!plan->final || !pack->final)
        return NOT_FINAL;
    const int64_t wanted = get<descriptor *>(plan, GRDI_CUDNN_PLAN_CONFIG)->workspace;
    if (wanted > 0 && !get<void *>(pack, GRDI_CUDNN_PACK_WORKSPACE))
        return BAD;
    return handle->streamed && start_graph(graph_of(plan), pack) ? 0 : BAD;
}

/* ---- What tests ask ---- */

long fake_cudnn_calls(void)
{
    return calls;
}

void fake_cudnn_fail(long after, int status)
{
    fail_at = after ? calls + after : 0;
    fail_with = status;
}

long fake_cudnn_held(void)
{
    return held;
}

long fake_cudnn_graphs(void)
{
    return graphs;
}

void fake_cudnn_engines(int of_best, int of_fallback, int64_t bytes)
{
    best = of_best;
    fallback = of_fallback;
    workspace = bytes;
}
}
