/* A file system without locks, as far as a program can tell: below $NO_LOCKS_IN, flock answers
 * $FLOCK_ERRNO and fcntl's locks $FCNTL_ERRNO, where they are set. Loaded with LD_PRELOAD. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refused(int descriptor, const char *variable)
{
    const char *folder = getenv("NO_LOCKS_IN"), *number = getenv(variable);
    char link[64], path[4096];
    if (!folder || !number)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) ? 0 : atoi(number);
}

int flock(int descriptor, int operation)
{
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    int error = refused(descriptor, "FLOCK_ERRNO");
    return error ? (errno = error, -1) : real(descriptor, operation);
}

static int any_fcntl(const char *name, int descriptor, int command, void *argument)
{
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    int locks = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
    int error = locks ? refused(descriptor, "FCNTL_ERRNO") : 0;
    return error ? (errno = error, -1) : real(descriptor, command, argument);
}

#define ARGUMENT(command) \
    va_list arguments; \
    va_start(arguments, command); \
    void *argument = va_arg(arguments, void *); \
    va_end(arguments)

int fcntl(int descriptor, int command, ...)
{
    ARGUMENT(command);
    return any_fcntl("fcntl", descriptor, command, argument);
}

int fcntl64(int descriptor, int command, ...)
{
    ARGUMENT(command);
    return any_fcntl("fcntl64", descriptor, command, argument);
}
