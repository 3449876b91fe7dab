// Moves the wall clock of the process that loads it (LD_PRELOAD) to what a test says. The monotonic clock stays.
//
// The test writes a file, which is mapped here: a count of its changes in the first byte, and from byte 8 on two slots
// of two numbers each: the time at which the clock stands still, and the offset of a running clock, in microseconds;
// a clock with a standing time of zero runs. The slot that counts is the one of the count's lowest bit. So no reader
// sees half of a change, whatever order and width the writes have.
//
// Nothing is allocated and no function of the C library is asked for the time: allocators ask for the time themselves.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MILLION = 1000000, LENGTH = 40 };

static const volatile unsigned char *file;

// A server that lived by another clock than its test would let tests pass for no reason: it ends instead.
__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("KV_SERVERS_TIME");
    if (!path) return;
    struct stat found;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    int whole = descriptor >= 0 && !fstat(descriptor, &found) && found.st_size == LENGTH;
    void *mapped = whole ? mmap(0, LENGTH, PROT_READ, MAP_SHARED, descriptor, 0) : MAP_FAILED;
    if (mapped == MAP_FAILED) {
        static const char text[] = "kv-servers: the file of the time cannot be read\n";
        ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
        (void)written;
        _exit(1);
    }
    close(descriptor);
    file = mapped;
}

static void move(struct timespec *time) {
    const volatile unsigned char *count = file;
    const volatile int64_t *slots = (const volatile int64_t *)(file + 8);
    unsigned char before, after = __atomic_load_n(count, __ATOMIC_ACQUIRE);
    int64_t standing, offset;
    do {
        before = after;
        standing = slots[2 * (before & 1)];
        offset = slots[2 * (before & 1) + 1];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        after = __atomic_load_n(count, __ATOMIC_ACQUIRE);
    } while (before != after);
    int64_t seconds = standing / MILLION, nanos = standing % MILLION * 1000;
    if (!standing) {
        seconds = time->tv_sec + offset / MILLION;
        nanos = time->tv_nsec + offset % MILLION * 1000;
    }
    if (nanos < 0) seconds -= 1, nanos += 1000 * MILLION;
    if (nanos >= 1000 * MILLION) seconds += 1, nanos -= 1000 * MILLION;
    time->tv_sec = seconds;
    time->tv_nsec = nanos;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (!result && file && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(time);
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *result) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
