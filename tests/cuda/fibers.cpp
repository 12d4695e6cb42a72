#include "tests/cuda/fibers.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation
{

enum { WARP = 32, MOST_THREADS = 1024, STACK = 64 << 10, EXCHANGE = 64 };
enum { SHARED_BYTES = 228 << 10 }; /* of the largest block there is */

namespace
{

enum state { READY, AT_BLOCK, AT_WARP, ENDED };

struct fiber {
    ucontext_t start;
    jmp_buf here;
    bool started;
    state is;
    unsigned mask; /* who is waited for */
    bool voted;
    three index;
    void *stack;
};

fiber fibers[MOST_THREADS];
char exchange[MOST_THREADS / WARP][WARP][EXCHANGE];
jmp_buf scheduler;
ucontext_t nowhere;
fiber *running;
three now_grid, now_block, now_at;
unsigned threads;
body *now_run;
void *now_context;

alignas(128) unsigned char shared[SHARED_BYTES];
size_t shared_used, rest_bytes;
std::map<const void *, void *> sites;

schedule order = FORWARD;
uint64_t random_state = 1;

unsigned draw(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % below);
}

/* A fiber never returns: when a thread has ended, the same fiber runs another. */
void live()
{
    for (;;) {
        now_run(now_context);
        running->is = ENDED;
        if (_setjmp(running->here) == 0)
            _longjmp(scheduler, 1);
    }
}

void *new_stack()
{
    void *memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    return memory;
}

/* Goes on where the fiber stood, until it waits. */
void go_on(unsigned i)
{
    running = &fibers[i];
    if (_setjmp(scheduler) != 0)
        return;
    if (running->started)
        _longjmp(running->here, 1);
    running->started = true;
    running->stack = new_stack();
    getcontext(&running->start);
    running->start.uc_stack.ss_sp = running->stack;
    running->start.uc_stack.ss_size = STACK;
    running->start.uc_link = nullptr;
    makecontext(&running->start, live, 0);
    swapcontext(&nowhere, &running->start);
}

void wait(state at, unsigned mask)
{
    running->is = at;
    running->mask = mask;
    if (_setjmp(running->here) == 0)
        _longjmp(scheduler, 1);
}

bool run_ready(unsigned i)
{
    if (fibers[i].is != READY)
        return false;
    go_on(i);
    return true;
}

unsigned warp_end(unsigned first)
{
    return first + WARP < threads ? first + WARP : threads;
}

unsigned in_state(unsigned first, state is)
{
    unsigned mask = 0;
    for (unsigned i = first; i < warp_end(first); i++)
        if (fibers[i].is == is)
            mask |= 1u << (i - first);
    return mask;
}

/* Lets those go on that have met all whom they wait for. */
bool release_warp(unsigned first)
{
    const unsigned waiting = in_state(first, AT_WARP), gone = in_state(first, ENDED);
    bool any = false;
    for (unsigned i = first; i < warp_end(first); i++)
        if (fibers[i].is == AT_WARP && (fibers[i].mask & ~waiting & ~gone) == 0) {
            fibers[i].is = READY;
            any = true;
        }
    return any;
}

bool release_block()
{
    bool any = false;
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].is == READY || fibers[i].is == AT_WARP)
            return false;
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].is == AT_BLOCK) {
            fibers[i].is = READY;
            any = true;
        }
    return any;
}

bool run_warp(unsigned first)
{
    bool any = false;
    for (unsigned i = first; i < warp_end(first); i++)
        any |= run_ready(i);
    return any;
}

/* One warp as far as it gets alone. */
bool run_greedily()
{
    const unsigned warps = (threads + WARP - 1) / WARP, chosen = draw(warps);
    bool any = false;
    for (unsigned k = 0; k < warps && !any; k++) {
        const unsigned first = (chosen + k) % warps * WARP;
        for (bool more = true; more; any |= more) {
            more = run_warp(first);
            more |= release_warp(first);
        }
    }
    return any;
}

bool run_once()
{
    bool any = false;
    if (order == GREEDY)
        return run_greedily();
    const unsigned from = order == SHUFFLED ? draw(threads) : 0;
    for (unsigned k = 0; k < threads; k++) {
        const unsigned turned = (from + k) % threads;
        any |= run_ready(order == BACKWARD ? threads - 1 - k : turned);
    }
    return any;
}

bool all_ended()
{
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].is != ENDED)
            return false;
    return true;
}

void start_block()
{
    sites.clear();
    shared_used = (rest_bytes + 127) / 128 * 128;
    memset(shared, 0xFF, sizeof shared);
    for (unsigned i = 0; i < threads; i++) {
        fibers[i].is = READY;
        fibers[i].index = { i % now_block.x, i / now_block.x % now_block.y,
                            i / (now_block.x * now_block.y) };
    }
}

bool run_block()
{
    start_block();
    while (!all_ended()) {
        bool any = run_once();
        for (unsigned first = 0; first < threads; first += WARP)
            any |= release_warp(first);
        any |= release_block();
        if (!any)
            return false;
    }
    return true;
}

} // namespace

void set_schedule(schedule chosen, uint64_t seed)
{
    order = chosen;
    random_state = seed * 2 + 1;
}

three thread_index()
{
    return running->index;
}

three block_index()
{
    return now_at;
}

three block_size()
{
    return now_block;
}

three grid_size()
{
    return now_grid;
}

bool run_grid(three grid, three block, size_t bytes, body *run, void *context)
{
    now_grid = grid;
    now_block = block;
    threads = block.x * block.y * block.z;
    now_run = run;
    now_context = context;
    rest_bytes = bytes;
    if (threads == 0 || threads > MOST_THREADS || bytes > SHARED_BYTES)
        return false;
    for (now_at.z = 0; now_at.z < grid.z; now_at.z++)
        for (now_at.y = 0; now_at.y < grid.y; now_at.y++)
            for (now_at.x = 0; now_at.x < grid.x; now_at.x++)
                if (!run_block())
                    return false;
    return true;
}

void wait_for_block()
{
    wait(AT_BLOCK, 0);
}

bool any_of_block(bool value)
{
    running->voted = value;
    wait_for_block();
    bool any = false;
    for (unsigned i = 0; i < threads; i++)
        any |= fibers[i].is != ENDED && fibers[i].voted;
    wait_for_block();
    return any;
}

void wait_for_warp(unsigned mask)
{
    wait(AT_WARP, mask);
}

void *shared_of(const void *site, size_t bytes)
{
    void *&found = sites[site];
    if (!found) {
        if (shared_used + bytes > SHARED_BYTES)
            abort();
        found = shared + shared_used;
        shared_used += (bytes + 127) / 128 * 128;
    }
    return found;
}

void *shared_rest()
{
    return shared;
}

unsigned lane()
{
    return (unsigned)(running - fibers) % WARP;
}

void *exchange_of(unsigned l)
{
    return exchange[(running - fibers) / WARP][l];
}

unsigned alive()
{
    const unsigned first = (unsigned)(running - fibers) / WARP * WARP;
    return ~in_state(first, ENDED) &
           (warp_end(first) - first == WARP ? ~0u : (1u << (warp_end(first) - first)) - 1);
}

} // namespace emulation
