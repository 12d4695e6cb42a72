/* How the threads of tensor/cpu/parallel.c sleep, wake, join a job and leave it: a model for spin,
 * which walks through every order in which they can run. pool.py runs it, once as it is and once
 * with each of the mistakes below, which spin must find.
 *
 * It is as exact as sequential consistency, which the pool's atomics have. A line of the C file that
 * a step stands for is quoted as `C: ...`; the test fails when the file no longer has it. Spinning
 * is looking once: what happens in between, another order of steps shows as well. Forks are left
 * out: the child has no thread of the pool. */

#ifndef HELPERS
#define HELPERS 2
#endif
#ifndef JOBS
#define JOBS 2
#endif
#define PIECES 2

/* Mistakes: what is done wrong, by name. pool.py lists them. */
#ifndef MISTAKE
#define MISTAKE 0
#endif
#define COUNTS_LATE 1        /* who falls asleep looks for a job first, and then counts itself */
#define WAKES_EARLY 2        /* the caller looks for sleepers first, and then opens the job */
#define WAKES_UNLOCKED 3     /* the caller wakes without the lock */
#define WAKES_ONE 4          /* one sleeper is woken, not all */
#define ENDS_SILENTLY 5      /* the end is set, and nobody woken */
#define ENDING_IS_NO_NEWS 6  /* a sleeper that is woken looks for a job alone */
#define RETURNS_EARLY 7      /* the caller does not wait for those who joined */
#define JOINS_BLINDLY 8      /* a helper joins without asking whether the job is still open */
#define STAYS_OPEN 9         /* the caller does not close the job before it waits */
#define NEVER_ENDS 10        /* a helper that is awake does not look for the end */

/* pool.job in its parts. */
bool open;
byte number, joined;

bool locked, ending;
byte asleep;
bool waits[HELPERS]; /* in pthread_cond_wait, neither woken nor holding the lock */
byte seen[HELPERS];
byte ended;

byte taken, done;    /* pieces of this job */
byte working;        /* threads that may still touch the job's data */
byte data;           /* whose data these are: a job's number */
bool woken;          /* the caller has woken all for the job that is open */

#define is_new(me) (open && number != seen[me])
#if MISTAKE == ENDING_IS_NO_NEWS
#define has_news(me) is_new(me)
#else
#define has_news(me) (is_new(me) || ending)
#endif

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }

inline wake_all()
{
    d_step {
        i = 0;
        do
        :: i < HELPERS && waits[i] ->
            waits[i] = false;
            if
            :: MISTAKE == WAKES_ONE -> i = HELPERS
            :: else -> i++
            fi
        :: i < HELPERS && !waits[i] -> i++
        :: i >= HELPERS -> break
        od;
        i = 0
    }
}

/* C: if (atomic_load(&pool.asleep) == 0) */
inline wake_helpers(sleepers)
{
    if
    :: sleepers == 0
    :: else ->
#if MISTAKE != WAKES_UNLOCKED
        lock();
#endif
        wake_all(); /* C: pthread_cond_broadcast(&pool.wake); */
#if MISTAKE != WAKES_UNLOCKED
        unlock()
#endif
    fi
}

/* C: while ((first = atomic_fetch_add(&pool.taken, pool.grain)) < pool.count) { */
inline take_pieces(job)
{
    do
    :: atomic { taken < PIECES -> taken++ };
        assert(data == job);
        done++
    :: taken >= PIECES -> break
    od
}

active proctype caller()
{
    byte job = 0, sleepers, i;
    do
    :: job < JOBS ->
        job++;
        assert(working == 0); /* else the data change below a helper's hands */
        data = job;
        taken = 0;            /* C: atomic_store(&pool.taken, 0); */
        done = 0;
#if MISTAKE == WAKES_EARLY
        sleepers = asleep;
#endif
        atomic { open = true; number = job } /* C: atomic_fetch_add(&pool.job, NEXT + OPEN); */
#if MISTAKE != WAKES_EARLY
        sleepers = asleep;
#endif
        wake_helpers(sleepers);
        woken = true;
        take_pieces(job);
        woken = false;
#if MISTAKE != STAYS_OPEN
        open = false;         /* C: unsigned job = atomic_fetch_and(&pool.job, ~(unsigned)OPEN); */
#endif
#if MISTAKE != RETURNS_EARLY
        joined == 0;          /* C: while (job % OPEN) { */
#endif
        assert(done == PIECES)
    :: else -> break
    od;
    ending = true;            /* C: atomic_store(&pool.ending, true); */
    sleepers = asleep;
#if MISTAKE != ENDS_SILENTLY
    wake_helpers(sleepers);
#endif
    ended == HELPERS          /* C: pthread_join(pool.helper[--pool.helpers], NULL); */
}

/* C: pthread_mutex_lock(&pool.lock); */
inline sleep(me)
{
    lock();
#if MISTAKE != COUNTS_LATE
    asleep++;                 /* C: atomic_fetch_add(&pool.asleep, 1); */
#endif
    do
    :: has_news(me) -> break  /* C: while (!has_news(seen)) */
    :: else ->
#if MISTAKE == COUNTS_LATE
        asleep++;
#endif
        atomic { waits[me] = true; locked = false } /* C: pthread_cond_wait(&pool.wake, &pool.lock); */
        if
        :: !waits[me]
#ifdef SPURIOUS
        :: waits[me] -> waits[me] = false
#endif
        fi;
#if MISTAKE == COUNTS_LATE
        asleep--;
#endif
        lock()
    od;
#if MISTAKE != COUNTS_LATE
    asleep--;                 /* C: atomic_fetch_sub(&pool.asleep, 1); */
#endif
    unlock()
}

proctype helper(byte me)
{
    bool fresh;
    byte job, before;
    do
    :: ending && MISTAKE != NEVER_ENDS -> break
    :: !ending || MISTAKE == NEVER_ENDS -> /* C: for (unsigned seen = 0; !atomic_load(&pool.ending); wait_for_news(seen)) { */
        d_step { fresh = is_new(me); job = number; before = joined } /* C: unsigned job = atomic_load(&pool.job); */
        if
        :: fresh ->
            /* C: atomic_compare_exchange_strong(&pool.job, &job, job + 1) */
            if
            :: atomic { (MISTAKE == JOINS_BLINDLY) || (open && number == job && joined == before) ->
                   joined++; working++ };
                seen[me] = job;
                take_pieces(job);
                atomic { joined--; working-- } /* C: atomic_fetch_sub(&pool.job, 1); */
            :: else
            fi
        :: else
        fi;
        if
        :: has_news(me)
        :: !has_news(me) -> sleep(me)
        fi
    od;
    ended++
}

/* No helper sleeps on while a job that it does not know is open and the caller believes all awake. */
active proctype monitor()
{
end:
    do
    :: atomic { woken && waits[0] && is_new(0) -> assert(false) }
#if HELPERS > 1
    :: atomic { woken && waits[1] && is_new(1) -> assert(false) }
#endif
#if HELPERS > 2
    :: atomic { woken && waits[2] && is_new(2) -> assert(false) }
#endif
    :: ended == HELPERS -> break
    od
}

init
{
    byte i;
    atomic {
        do
        :: i < HELPERS -> run helper(i); i++
        :: else -> break
        od
    }
}
