/* CUDA's driver without a GPU: device memory that faults when the host touches it, streams whose
 * work runs only when someone waits for it, and kernels run by fibers. It notices what a GPU may
 * let pass: a write beside a block, work on memory that was given back, barriers that not all
 * threads meet. A test asks it to fail, and counts what is left. */
#include "tests/cuda/driver.h"

#include "tensor/cuda/driver.h"
#include "tests/cuda/emulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace
{

enum { ARENA = 1 << 30, BESIDE = 256 }; /* bytes; and those around a block that no one may touch */
const unsigned char NONSENSE = 0xFF;    /* a NaN of any kind, a negative integer */

unsigned char *arena;
size_t used;
size_t limit = ARENA;
std::map<grdi_cu_memory, size_t> blocks; /* that are held */
size_t held;
std::multimap<size_t, grdi_cu_memory> freed;

/* What was asked of the stream: a kernel by its name, or something else. */
struct work {
    std::string what;
    emulation::call run;
};
std::deque<work> queue; /* not waited for so far */
long asked, ran;        /* of all that ever stood there */
long waits;             /* of the host, for something that had not run */
int lasting;            /* the result of all further calls */

/* The graph that is collected. */
struct collection {
    bool open, spoilt; /* by a call that a stream does not take meanwhile */
    bool relaxed;      /* calls that could wait, but not for it, are allowed */
    std::vector<work> calls;
} collected;

struct event {
    long after; /* so much of the stream's work */
    bool in_graph;
};

std::map<grdi_cu_function *, int> allowed_shared; /* bytes, where more than usual */

long calls, fail_at;
int fail_with;
long objects; /* contexts, streams, events, graphs and pinned memory that were not given back */
long instantiations; /* of graphs */

std::recursive_mutex lock;

/* ---- Memory ---- */

void protect(int protection)
{
    if (used > 0 && mprotect(arena, (used + 4095) / 4096 * 4096, protection) != 0)
        abort();
}

struct unlocked {
    unlocked()
    {
        protect(PROT_READ | PROT_WRITE);
    }
    ~unlocked()
    {
        protect(PROT_NONE);
    }
};

size_t room_for(size_t bytes)
{
    return (bytes + 255) / 256 * 256 + 2 * BESIDE;
}

bool reuse(size_t room, grdi_cu_memory *at)
{
    const auto found = freed.find(room);
    if (found == freed.end())
        return false;
    *at = found->second;
    freed.erase(found);
    return true;
}

bool take(size_t room, grdi_cu_memory *at)
{
    if (!arena) {
        void *memory =
            mmap(nullptr, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            return false;
        arena = (unsigned char *)memory;
    }
    if (room > ARENA - used)
        return false;
    *at = (grdi_cu_memory)(uintptr_t)arena + used;
    used += room;
    return true;
}

bool is_untouched(const unsigned char *from, const unsigned char *to)
{
    for (; from < to; from++)
        if (*from != NONSENSE)
            return false;
    return true;
}

/* The memory is unlocked. */
bool all_untouched()
{
    for (const auto &block : blocks) {
        const unsigned char *at = (unsigned char *)(uintptr_t)block.first;
        const unsigned char *end = at + block.second;
        if (!is_untouched(at - BESIDE, at) ||
            !is_untouched(end, at + room_for(block.second) - BESIDE))
            return false;
    }
    return true;
}

/* Whether bytes from `at` on lie in one block. */
bool is_held(grdi_cu_memory at, size_t bytes)
{
    auto block = blocks.upper_bound(at);
    if (block == blocks.begin())
        return false;
    --block;
    return at + bytes <= block->first + block->second;
}

/* ---- The stream ---- */

int complain(int result, const std::string &what)
{
    fprintf(stderr, "emulated driver: %s\n", what.c_str());
    lasting = result;
    return result;
}

int run_until(long count)
{
    waits += ran < count;
    while (ran < count) {
        const work next = queue.front();
        queue.pop_front();
        ran++;
        if (!lasting)
            next.run();
    }
    return lasting;
}

void push(const std::string &what, const emulation::call &run)
{
    if (collected.open)
        return collected.calls.push_back({ what, run });
    queue.push_back({ what, run });
    asked++;
}

/* What a call gives that is refused while a graph is collected, which it spoils. */
int spoil()
{
    collected.spoilt = true;
    return 900; /* CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED */
}

void run_kernel(const emulation::kernel *kernel, emulation::three grid, emulation::three block,
                size_t shared, const emulation::call &call)
{
    unlocked memory;
    const bool met = emulation::run_grid(
        grid, block, shared, [](void *body) { (*(emulation::call *)body)(); }, (void *)&call);
    if (!met)
        complain(719, std::string(kernel->name) + ": threads wait for each other without end");
    else if (!all_untouched())
        complain(700, std::string(kernel->name) + " wrote beside a block");
}

void copy(grdi_cu_memory to, grdi_cu_memory from, size_t bytes, grdi_cu_memory on_device)
{
    unlocked memory;
    if (!is_held(on_device, bytes))
        complain(700, "a copy beside all blocks");
    else
        memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
}

} // namespace

/* Of the stream of another library: it may do with the GPU's memory what a kernel may. */
void emulation::enqueue(const char *name, const call &work)
{
    push(name, [=] {
        unlocked memory;
        work();
        if (!all_untouched())
            complain(700, std::string(name) + " wrote beside a block");
    });
}

namespace
{

/* What each call starts with: the error that lasts, or the one that was asked for. */
int begin()
{
    calls++;
    if (lasting)
        return lasting;
    if (fail_at == 0 || calls != fail_at)
        return 0;
    if (fail_with >= GRDI_CU_FIRST_LASTING && fail_with <= GRDI_CU_LAST_LASTING)
        lasting = fail_with;
    return fail_with;
}

} // namespace

#define BEGIN                                                                                      \
    const std::lock_guard<std::recursive_mutex> locked(lock);                                      \
    const int failed = begin();                                                                    \
    if (failed)                                                                                    \
    return failed

extern "C" {

/* ---- What tests ask of it ---- */

long emulated_calls(void)
{
    return calls;
}

void emulated_fail(long after, int result)
{
    fail_at = after > 0 ? calls + after : 0;
    fail_with = result;
}

size_t emulated_held(void)
{
    return held;
}

long emulated_objects(void)
{
    return objects;
}

long emulated_waits(void)
{
    return waits;
}

long emulated_instantiations(void)
{
    return instantiations;
}

void emulated_limit(size_t bytes)
{
    limit = bytes;
}

void emulated_schedule(int order, uint64_t seed)
{
    emulation::set_schedule((emulation::schedule)order, seed);
}

/* ---- The driver ---- */

int cuInit(unsigned)
{
    const char *order = getenv("EMULATED_SCHEDULE"), *seed = getenv("EMULATED_SEED");
    emulated_schedule(order ? atoi(order) : 0, seed ? strtoull(seed, nullptr, 10) : 0);
    return 0;
}

int cuDriverGetVersion(int *version)
{
    const char *told = getenv("EMULATED_VERSION");
    *version = told ? atoi(told) : 13000;
    return 0;
}

int cuGetErrorString(int result, const char **text)
{
    *text = result == 700   ? "an illegal memory access was encountered"
            : result == 719 ? "unspecified launch failure"
                            : "an emulated error";
    return 0;
}

int cuDeviceGetCount(int *count)
{
    const char *told = getenv("EMULATED_GPUS");
    *count = told ? atoi(told) : 2;
    return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
    BEGIN;
    *device = ordinal;
    return 0;
}

int cuDeviceGetName(char *name, int size, int)
{
    BEGIN;
    snprintf(name, (size_t)size, "emulated GPU");
    return 0;
}

/* Blocks are as long as they are asked for, so that nothing lies between a block and what no one
 * may touch. */
int cuDeviceGetAttribute(int *value, int attribute, int)
{
    BEGIN;
    *value = attribute == GRDI_CU_MAJOR             ? 9
             : attribute == GRDI_CU_MULTIPROCESSORS ? 2
             : attribute == GRDI_CU_ALIGNMENT       ? 1
             : attribute == GRDI_CU_MOST_SHARED     ? 227 << 10
                                                    : 0;
    return 0;
}

int cuDevicePrimaryCtxRetain(grdi_cu_context **context, int device)
{
    BEGIN;
    *context = (grdi_cu_context *)(uintptr_t)(device + 1);
    objects++;
    return 0;
}

int cuCtxSetCurrent(grdi_cu_context *)
{
    BEGIN;
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int)
{
    objects--;
    return 0;
}

int cuMemAlloc_v2(grdi_cu_memory *memory, size_t bytes)
{
    BEGIN;
    const size_t room = room_for(bytes);
    grdi_cu_memory at;
    if (collected.open && !collected.relaxed)
        return spoil();
    if (held + bytes > limit || (!reuse(room, &at) && !take(room, &at)))
        return GRDI_CU_OUT_OF_MEMORY;
    unlocked now;
    memset((void *)(uintptr_t)at, NONSENSE, room);
    *memory = at + BESIDE;
    blocks[*memory] = bytes;
    held += bytes;
    return 0;
}

int cuMemFree_v2(grdi_cu_memory memory)
{
    BEGIN;
    const auto found = blocks.find(memory);
    if (collected.open)
        return spoil();
    if (found == blocks.end())
        return complain(700, "memory is given back that is not held");
    const int result = run_until(asked);
    freed.insert({ room_for(found->second), memory - BESIDE });
    held -= found->second;
    blocks.erase(found);
    return result;
}

int cuMemGetInfo_v2(size_t *left, size_t *total)
{
    BEGIN;
    *total = limit;
    *left = limit - held;
    return 0;
}

int cuMemHostAlloc(void **memory, size_t bytes, unsigned)
{
    BEGIN;
    *memory = malloc(bytes);
    objects += *memory != nullptr;
    return *memory ? 0 : GRDI_CU_OUT_OF_MEMORY;
}

int cuMemFreeHost(void *memory)
{
    free(memory);
    objects--;
    return 0;
}

int cuMemcpyHtoDAsync_v2(grdi_cu_memory to, const void *from, size_t bytes, grdi_cu_stream *)
{
    BEGIN;
    push("upload", [=] { copy(to, (uintptr_t)from, bytes, to); });
    return 0;
}

int cuMemcpyDtoHAsync_v2(void *to, grdi_cu_memory from, size_t bytes, grdi_cu_stream *)
{
    BEGIN;
    push("download", [=] { copy((uintptr_t)to, from, bytes, from); });
    return 0;
}

int cuStreamCreate(grdi_cu_stream **stream, unsigned)
{
    BEGIN;
    *stream = (grdi_cu_stream *)(uintptr_t)1;
    objects++;
    return 0;
}

int cuStreamDestroy_v2(grdi_cu_stream *)
{
    objects--;
    return 0;
}

int cuStreamSynchronize(grdi_cu_stream *)
{
    BEGIN;
    return collected.open ? spoil() : run_until(asked);
}

int cuEventCreate(grdi_cu_event **made, unsigned)
{
    BEGIN;
    *made = (grdi_cu_event *)new event{};
    objects++;
    return 0;
}

int cuEventDestroy_v2(grdi_cu_event *which)
{
    delete (event *)which;
    objects--;
    return 0;
}

int cuEventRecord(grdi_cu_event *which, grdi_cu_stream *)
{
    BEGIN;
    *(event *)which = { asked, collected.open };
    return 0;
}

int cuEventSynchronize(grdi_cu_event *which)
{
    BEGIN;
    const event *e = (const event *)which;
    if (e->in_graph || (collected.open && !collected.relaxed))
        return spoil();
    return run_until(e->after);
}

/* ---- Graphs ---- */

int cuStreamBeginCapture_v2(grdi_cu_stream *, int mode)
{
    BEGIN;
    if (collected.open)
        return 1;
    collected = { true, false, mode == GRDI_CU_CAPTURE_RELAXED, {} };
    return 0;
}

/* Ends it whether it fails or not, as the driver does. */
int cuStreamEndCapture(grdi_cu_stream *, grdi_cu_graph **graph)
{
    const std::lock_guard<std::recursive_mutex> locked(lock);
    const int failed = begin();
    const bool open = collected.open;
    collected.open = false;
    *graph = nullptr;
    if (failed || !open || collected.spoilt)
        return failed ? failed : 901; /* CUDA_ERROR_STREAM_CAPTURE_INVALIDATED */
    *graph = (grdi_cu_graph *)new std::vector<work>(collected.calls);
    objects++;
    return 0;
}

int cuGraphInstantiateWithFlags(grdi_cu_executable **made, grdi_cu_graph *graph, unsigned long long)
{
    BEGIN;
    *made = (grdi_cu_executable *)new std::vector<work>(*(std::vector<work> *)graph);
    objects++;
    instantiations++;
    return 0;
}

int cuGraphExecUpdate_v2(grdi_cu_executable *ready, grdi_cu_graph *graph, grdi_cu_update *)
{
    BEGIN;
    auto &to = *(std::vector<work> *)ready;
    const auto &from = *(const std::vector<work> *)graph;
    const auto alike = [](const work &a, const work &b) { return a.what == b.what; };
    if (!std::equal(to.begin(), to.end(), from.begin(), from.end(), alike))
        return GRDI_CU_NOT_UPDATED;
    to = from;
    return 0;
}

int cuGraphLaunch(grdi_cu_executable *ready, grdi_cu_stream *)
{
    BEGIN;
    for (const work &w : *(const std::vector<work> *)ready)
        push(w.what, w.run);
    return 0;
}

int cuGraphExecDestroy(grdi_cu_executable *ready)
{
    delete (std::vector<work> *)ready;
    objects--;
    return 0;
}

int cuGraphDestroy(grdi_cu_graph *graph)
{
    delete (std::vector<work> *)graph;
    objects--;
    return 0;
}

int cuModuleLoadData(grdi_cu_module **module, const void *)
{
    BEGIN;
    if (collected.open && !collected.relaxed)
        return spoil();
    *module = (grdi_cu_module *)(uintptr_t)1;
    return 0;
}

int cuModuleGetFunction(grdi_cu_function **function, grdi_cu_module *, const char *name)
{
    BEGIN;
    for (emulation::kernel *k = emulation::kernel::all(); k; k = k->next)
        if (strcmp(k->name, name) == 0) {
            *function = (grdi_cu_function *)k;
            return 0;
        }
    return GRDI_CU_NOT_FOUND;
}

int cuFuncSetAttribute(grdi_cu_function *function, int attribute, int value)
{
    BEGIN;
    if (attribute == GRDI_CU_DYNAMIC_SHARED)
        allowed_shared[function] = value;
    return 0;
}

int cuLaunchKernel(grdi_cu_function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                   grdi_cu_stream *, void **arguments, void **)
{
    BEGIN;
    const auto *kernel = (const emulation::kernel *)function;
    const emulation::call call = kernel->bind(kernel->function, arguments);
    const emulation::three grid = { grid_x, grid_y, grid_z }, block = { block_x, block_y, block_z };
    const auto allowed = allowed_shared.find(function);
    if (grid_x == 0 || grid_y == 0 || grid_z == 0 ||
        shared > (allowed == allowed_shared.end() ? 48u << 10 : (unsigned)allowed->second))
        return 1; /* CUDA_ERROR_INVALID_VALUE, as the driver */
    push(kernel->name, [=] { run_kernel(kernel, grid, block, shared, call); });
    return 0;
}

} // extern "C"
