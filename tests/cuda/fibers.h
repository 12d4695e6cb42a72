/* Blocks of CUDA threads on one thread of the processor: each CUDA thread is a fiber, which runs
 * until it meets a barrier. What order they take is the schedule's to say, so that a barrier that
 * is missing shows: in one order or another a thread reads what no one has written yet, or writes
 * what another has still to read. */
#ifndef TESTS_CUDA_FIBERS_H
#define TESTS_CUDA_FIBERS_H

#include <cstddef>
#include <cstdint>

namespace emulation
{

struct three {
    unsigned x, y, z;
};

/* The orders in which the threads of a block run. GREEDY lets one warp run as far as it can while
 * the others stand still. */
enum schedule { FORWARD, BACKWARD, SHUFFLED, GREEDY, SCHEDULES };

void set_schedule(schedule order, uint64_t seed);

/* Where the running thread is. */
three thread_index();
three block_index();
three block_size();
three grid_size();

/* Runs every block of a grid, one after another; `shared` bytes are the launch's. False: the
 * threads wait for each other without end. */
typedef void body(void *context);
bool run_grid(three grid, three block, size_t shared, body *run, void *context);

/* Waits until all threads of the block that have not ended are here. */
void wait_for_block();

/* The same; whether one of them that got here said `value`. */
bool any_of_block(bool value);

/* Waits until those of `mask` in this warp that have not ended are here. */
void wait_for_warp(unsigned mask);

/* Memory of this block: one for each `site`, in the order in which they are first met; full of
 * nonsense at first. */
void *shared_of(const void *site, size_t bytes);
void *shared_rest();

/* Bytes that the threads of a warp show each other. */
void *exchange_of(unsigned lane);
unsigned lane();

/* Which of the warp's threads have not ended. */
unsigned alive();

} // namespace emulation

#endif
