// SPDX-License-Identifier: Apache-2.0
#pragma once

// What clang's -Wthread-safety reads; nothing to other compilers. How to use them: base/mutex.hpp.
#if defined(__clang__)
#define QED_ANNOTATE_THREADS(attribute) __attribute__((attribute))
#else
#define QED_ANNOTATE_THREADS(attribute)
#endif

// Of classes.
#define QED_CAPABILITY(name) QED_ANNOTATE_THREADS(capability(name))
#define QED_SCOPED_CAPABILITY QED_ANNOTATE_THREADS(scoped_lockable)

// Of members: the value, or what the pointer points to, is touched under the mutex only.
#define QED_GUARDED_BY(mutex) QED_ANNOTATE_THREADS(guarded_by(mutex))
#define QED_PT_GUARDED_BY(mutex) QED_ANNOTATE_THREADS(pt_guarded_by(mutex))

// Of functions: who calls them holds the mutex, or does not hold it.
#define QED_REQUIRES(...) QED_ANNOTATE_THREADS(requires_capability(__VA_ARGS__))
#define QED_EXCLUDES(...) QED_ANNOTATE_THREADS(locks_excluded(__VA_ARGS__))

// Of functions: they take it, let it go, or return it.
#define QED_ACQUIRE(...) QED_ANNOTATE_THREADS(acquire_capability(__VA_ARGS__))
#define QED_RELEASE(...) QED_ANNOTATE_THREADS(release_capability(__VA_ARGS__))
#define QED_TRY_ACQUIRE(...) QED_ANNOTATE_THREADS(try_acquire_capability(__VA_ARGS__))
#define QED_RETURN_CAPABILITY(mutex) QED_ANNOTATE_THREADS(lock_returned(mutex))

// Of functions that are right for a reason which the analysis cannot see; a comment gives it.
#define QED_NO_THREAD_SAFETY_ANALYSIS QED_ANNOTATE_THREADS(no_thread_safety_analysis)
