/* A disk that falls sick while a process runs, for LD_PRELOAD.
   Below the directory $SICK_BELOW, while the file $SICK_SWITCH is there: writes fail with "No space left on device" if
   it says "full", syncs with "Input/output error" if it says "sync"; if it says "hang", opening a file waits for as long as
   it does. Everything else is left to the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int told(char how) {
    const char *lever = getenv("SICK_SWITCH");
    char said = 0;
    if (!lever) return 0;
    int at = REAL(open)(lever, O_RDONLY | O_CLOEXEC);
    if (at < 0) return 0;
    ssize_t length = REAL(read)(at, &said, 1);
    close(at);
    return length == 1 && said == how;
}

static int sick(int descriptor, char how) {
    const char *below = getenv("SICK_BELOW");
    char link[64], path[PATH_MAX];
    if (!below || !told(how)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, below, strlen(below)) == 0;
}

static int refuse(int why) {
    errno = why;
    return -1;
}

ssize_t write(int d, const void *b, size_t n) { return sick(d, 'f') ? refuse(ENOSPC) : REAL(write)(d, b, n); }
ssize_t pwrite(int d, const void *b, size_t n, off_t o) { return sick(d, 'f') ? refuse(ENOSPC) : REAL(pwrite)(d, b, n, o); }
ssize_t pwrite64(int d, const void *b, size_t n, off64_t o) { return sick(d, 'f') ? refuse(ENOSPC) : REAL(pwrite64)(d, b, n, o); }

int open64(const char *path, int flags, ...) {
    const char *below = getenv("SICK_BELOW");
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    while (below && strncmp(path, below, strlen(below)) == 0 && told('h')) usleep(50000);
    return REAL(open64)(path, flags, mode);
}

int fsync(int d) { return sick(d, 's') ? refuse(EIO) : REAL(fsync)(d); }
int fdatasync(int d) { return sick(d, 's') ? refuse(EIO) : REAL(fdatasync)(d); }
