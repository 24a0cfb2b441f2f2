// Lets a library that was linked on a newer Linux run on an older one: cmake/portable.cmake says when it is compiled.
//
// glibc 2.34 moved the functions of libdl and libpthread into libc, under a new version. A library linked there asks
// for that version, which older systems do not have. These functions have the old version too, and behave the same.
// Each is defined here, visible in this library only, and calls glibc's by the old version. So the core and the C++
// library linked into it find these.
#include <limits.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#else
#define OLDEST "GLIBC_2.17"
#endif
#define HERE __attribute__((visibility("hidden")))
#define OLD(name) __asm__(".symver glibc_" #name "," #name "@" OLDEST)

typedef unsigned long Thread;  // pthread_t

OLD(dlopen);
extern void* glibc_dlopen(const char* name, int flags);
HERE void* dlopen(const char* name, int flags) { return glibc_dlopen(name, flags); }

OLD(dlsym);
extern void* glibc_dlsym(void* library, const char* name);
HERE void* dlsym(void* library, const char* name) { return glibc_dlsym(library, name); }

OLD(dlerror);
extern char* glibc_dlerror(void);
HERE char* dlerror(void) { return glibc_dlerror(); }

OLD(pthread_create);
extern int glibc_pthread_create(Thread*, const void* attributes, void* (*run)(void*), void*);
HERE int pthread_create(Thread* thread, const void* attributes, void* (*run)(void*), void* argument) {
  return glibc_pthread_create(thread, attributes, run, argument);
}

OLD(pthread_join);
extern int glibc_pthread_join(Thread, void** returned);
HERE int pthread_join(Thread thread, void** returned) { return glibc_pthread_join(thread, returned); }

OLD(pthread_once);
extern int glibc_pthread_once(int* control, void (*run)(void));
HERE int pthread_once(int* control, void (*run)(void)) { return glibc_pthread_once(control, run); }

// Since glibc 2.32 it says whether the process has one thread only, and then the C++ library counts references without
// atomic instructions. 0 means that it may have more.
HERE char __libc_single_threaded = 0;

#else
typedef int nothing;  // a translation unit must not be empty
#endif
