// SPDX-License-Identifier: Apache-2.0
#pragma once

// Annotations for clang's -Wthread-safety; empty for other compilers. base/mutex.hpp explains them.
#if defined(__clang__)
#define QED_ANNOTATE_THREADS(attribute) __attribute__((attribute))
#else
#define QED_ANNOTATE_THREADS(attribute)
#endif

// For classes.
#define QED_CAPABILITY(name) QED_ANNOTATE_THREADS(capability(name))
#define QED_SCOPED_CAPABILITY QED_ANNOTATE_THREADS(scoped_lockable)

// For members: the value, or the target of the pointer, is used under the mutex only.
#define QED_GUARDED_BY(mutex) QED_ANNOTATE_THREADS(guarded_by(mutex))
#define QED_PT_GUARDED_BY(mutex) QED_ANNOTATE_THREADS(pt_guarded_by(mutex))

// For functions: the caller holds the mutex, or does not hold it.
#define QED_REQUIRES(...) QED_ANNOTATE_THREADS(requires_capability(__VA_ARGS__))
#define QED_EXCLUDES(...) QED_ANNOTATE_THREADS(locks_excluded(__VA_ARGS__))

// For functions that take the mutex, release it, or return it.
#define QED_ACQUIRE(...) QED_ANNOTATE_THREADS(acquire_capability(__VA_ARGS__))
#define QED_RELEASE(...) QED_ANNOTATE_THREADS(release_capability(__VA_ARGS__))
#define QED_TRY_ACQUIRE(...) QED_ANNOTATE_THREADS(try_acquire_capability(__VA_ARGS__))
#define QED_RETURN_CAPABILITY(mutex) QED_ANNOTATE_THREADS(lock_returned(mutex))

// For functions that are correct for a reason that the analysis cannot see; a comment states it.
#define QED_NO_THREAD_SAFETY_ANALYSIS QED_ANNOTATE_THREADS(no_thread_safety_analysis)
