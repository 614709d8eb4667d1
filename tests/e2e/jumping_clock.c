/* A wall clock that jumps while a process runs, for LD_PRELOAD.
   CLOCK_REALTIME is ahead by the seconds that stand in the file $CLOCK_AHEAD; no file is no jump. Every other clock is
   left to the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long ahead(void) {
    const char *path = getenv("CLOCK_AHEAD");
    char text[32];
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[length > 0 ? length : 0] = 0;
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = REAL(clock_gettime)(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += ahead();
    return failed;
}

time_t time(time_t *now) {
    time_t seconds = REAL(time)(NULL) + ahead();
    if (now) *now = seconds;
    return seconds;
}
