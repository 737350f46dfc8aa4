/* Locks, conditions and threads as the operating system has them: what the pool needs and no more. */
#ifndef KLFAST_SYSTEM_THREADS_H
#define KLFAST_SYSTEM_THREADS_H

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK system_lock;
typedef CONDITION_VARIABLE system_condition;
#define SYSTEM_LOCK SRWLOCK_INIT
#define SYSTEM_CONDITION CONDITION_VARIABLE_INIT

static inline void acquire(system_lock *lock) { AcquireSRWLockExclusive(lock); }
static inline void release(system_lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline void wait_for(system_condition *condition, system_lock *lock) {
    SleepConditionVariableSRW(condition, lock, INFINITE, 0);
}
static inline void wake_one(system_condition *condition) { WakeConditionVariable(condition); }
static inline void wake_all(system_condition *condition) { WakeAllConditionVariable(condition); }
static inline void renew(system_lock *lock, system_condition *first, system_condition *second) {
    InitializeSRWLock(lock);
    InitializeConditionVariable(first);
    InitializeConditionVariable(second);
}

typedef DWORD(WINAPI *system_thread)(void *);
#define SYSTEM_THREAD(name, argument) static DWORD WINAPI name(void *argument)

/* Starts a thread that ends with the process; returns whether there is one. */
static inline int start_thread(system_thread function) {
    HANDLE handle = CreateThread(NULL, 0, function, NULL, 0, NULL);
    if (!handle) return 0;
    CloseHandle(handle);
    return 1;
}
#else
#include <pthread.h>
#include <signal.h>

typedef pthread_mutex_t system_lock;
typedef pthread_cond_t system_condition;
#define SYSTEM_LOCK PTHREAD_MUTEX_INITIALIZER
#define SYSTEM_CONDITION PTHREAD_COND_INITIALIZER

static inline void acquire(system_lock *lock) { pthread_mutex_lock(lock); }
static inline void release(system_lock *lock) { pthread_mutex_unlock(lock); }
static inline void wait_for(system_condition *condition, system_lock *lock) { pthread_cond_wait(condition, lock); }
static inline void wake_one(system_condition *condition) { pthread_cond_signal(condition); }
static inline void wake_all(system_condition *condition) { pthread_cond_broadcast(condition); }
static inline void renew(system_lock *lock, system_condition *first, system_condition *second) {
    pthread_mutex_init(lock, NULL);
    pthread_cond_init(first, NULL);
    pthread_cond_init(second, NULL);
}

typedef void *(*system_thread)(void *);
#define SYSTEM_THREAD(name, argument) static void *name(void *argument)

/* What a thread of klfast needs is below 512 KiB (pairs side by side; other work less); some C libraries would give it no more
 * than 128, and as little to threads of OpenMP, which klfast is therefore built without there. */
enum { STACK_BYTES = 1 << 20 };

/* Starts a thread that ends with the process; returns whether there is one. Signals are none of its business: the program's
 * own threads are to handle them. */
static inline int start_thread(system_thread function) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes)) return 0;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int is_started = pthread_create(&thread, &attributes, function, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return is_started;
}
#endif

#endif
