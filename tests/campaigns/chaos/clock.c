/* A host clock that can be set wrong: shifts CLOCK_REALTIME of the process it is preloaded into.

   A slot of the shared file CHAOS_CLOCK holds the shift [ns]; the process names its slot once.
   Monotonic clocks are left alone, as a step of NTP leaves them alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile long long *shift_ns;

void chaos_clock_slot(int slot)
{
    int file = open(getenv("CHAOS_CLOCK"), O_RDONLY);
    long long *slots = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    shift_ns = slots + slot;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && shift_ns) {
        long long ns = now->tv_nsec + *shift_ns;
        long long seconds = ns / 1000000000;
        ns %= 1000000000;
        if (ns < 0) {
            ns += 1000000000;
            seconds -= 1;
        }
        now->tv_sec += seconds;
        now->tv_nsec = ns;
    }
    return result;
}
