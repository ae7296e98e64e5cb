/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol of the table cache: two slices, a budget for one, readers that miss and share reads,
 * a reader of slice 0 that reads slice 1 ahead, a writer whose writes may fail and who moves tables.
 *
 * A section under the lock in the program is one atomic step here; reads and writes of the file are
 * separate steps. These properties are checked for every order of steps (tests/spin/models_test.py):
 *  - a lookup never returns an older value than one that was acknowledged, or that another lookup
 *    returned, before it began;
 *  - no request uses a slice that has been freed, whatever evicts or drops it meanwhile;
 *  - every request ends exactly once, whether its read fails, becomes stale, or is shared;
 *  - at the end no slice is pinned, the cache is within its budget, and it agrees with the file.
 *
 * Each of these options plants an error in the model, which must then fail:
 *  NO_PLACEHOLDER    a miss leaves no record until it commits
 *  KEEPS_DUPLICATE   and the second of two copies is freed while its request uses it
 *  NO_VERSION        a slice that was read ahead is stored although it is stale
 *  NO_OVERTAKING     a read continues although its table has been replaced
 *  EVICTS_HELD       the budget is kept by evicting pinned slices
 *  NO_WRITE_THROUGH  readers see an update before its write has succeeded
 *  NO_DROP           after a failed write the slice stays in the cache
 *  NEVER_ENDS        a failed read leaves its slice in the state loading
 *  ENDS_TWICE        a failed read ends its waiters twice
 */
#ifndef READERS
#define READERS 2
#endif
#ifndef LOOKUPS
#define LOOKUPS 1
#endif
#ifndef UPDATES
#define UPDATES 2
#endif
#ifdef KEEPS_DUPLICATE
#define NO_PLACEHOLDER
#endif
#define REQUESTS (READERS + 1)
#define COPIES (REQUESTS + 2) /* one for each request, one for each slice */
#define NONE 255

mtype = { absent, loading, ready };      /* a slice in the directory */
mtype = { pinned, again, failed };       /* how a read ended for one who waited */

mtype directory[2] = absent;
byte copy_of[2] = NONE;
bool overtaken[2];       /* the slice was dropped while it was being read */
byte moved = 0;          /* a bit for each request: the version has changed since it began to read */

byte in_file[2];         /* number of the update that the file holds */
byte known[2];           /* of the latest that was acknowledged or seen */

bool live[COPIES];
bool detached[COPIES];
byte value[COPIES];
byte pins[COPIES];

byte waits_for[REQUESTS] = NONE; /* the slice whose read a request shares */
mtype outcome[REQUESTS];
byte given[REQUESTS] = NONE;     /* the copy that it was given */

/* All following inlines are used inside atomic steps. */

inline free_copy(c) {
    live[c] = false;
    detached[c] = false;
    value[c] = 0
}

inline evict(s) {
    directory[s] = absent;
    free_copy(copy_of[s]);
    copy_of[s] = NONE;
    moved = 255
}

#ifdef EVICTS_HELD
#define MAY_EVICT(s) true
#else
#define MAY_EVICT(s) (pins[copy_of[s]] == 0)
#endif

/* Evicts unpinned slices until the cache is within its budget, or all slices are pinned. */
inline shrink() {
    if
    :: directory[0] == ready && directory[1] == ready && MAY_EVICT(0) -> evict(0)
    :: directory[0] == ready && directory[1] == ready && MAY_EVICT(1) -> evict(1)
    :: else
    fi
}

inline new_copy(v, c) {
    c = 0;
    do
    :: live[c] -> c++
    :: else -> break
    od;
    assert(c < COPIES);
    live[c] = true;
    value[c] = v
}

inline unpin(c) {
    pins[c]--;
    if
    :: pins[c] == 0 && detached[c] -> free_copy(c)
    :: else
    fi;
    shrink();
    c = NONE
}

inline drop(s) {
    moved = 255;
    if
    :: directory[s] == ready ->
        directory[s] = absent;
        if
        :: pins[copy_of[s]] == 0 -> free_copy(copy_of[s])
        :: else -> detached[copy_of[s]] = true
        fi;
        copy_of[s] = NONE
    :: directory[s] == loading -> overtaken[s] = true
    :: else
    fi
}

/* Gives the result of the read of s to all requests that share it. */
inline end_read(s, how) {
    i = 0;
    do
    :: i < REQUESTS && waits_for[i] == s ->
        assert(outcome[i] == 0);
        outcome[i] = how;
        if
        :: how == pinned -> given[i] = copy_of[s]; pins[copy_of[s]]++
        :: else
        fi;
        waits_for[i] = NONE;
        i++
    :: i < REQUESTS && waits_for[i] != s -> i++
    :: i == REQUESTS -> break
    od;
    i = 0
}

inline commit(s) {
#ifdef NO_PLACEHOLDER
    if
    :: directory[s] == ready ->
#ifdef KEEPS_DUPLICATE
        new_copy(from_file, copy);
        pins[copy]++;
        live[copy] = false
#else
        copy = copy_of[s];
        pins[copy]++
#endif
    :: else ->
        new_copy(from_file, copy);
        pins[copy]++;
        copy_of[s] = copy;
        directory[s] = ready;
        shrink()
    fi
#else
    new_copy(from_file, copy);
    pins[copy]++; /* not to be evicted by its own insertion */
    copy_of[s] = copy;
    directory[s] = ready;
    end_read(s, pinned);
    shrink()
#endif
}

#ifdef NO_VERSION
#define IS_STILL_TRUE true
#else
#define IS_STILL_TRUE ((moved & (1 << me)) == 0)
#endif

inline commit_ahead() {
    if
    :: directory[1] == absent && IS_STILL_TRUE ->
        new_copy(ahead, copy_of[1]);
        directory[1] = ready;
        shrink()
    :: else /* a duplicate, or overtaken: dropped */
    fi
}

inline fail(s) {
    may_fail = false;
#ifndef NEVER_ENDS
#ifndef NO_PLACEHOLDER
    directory[s] = absent;
#endif
#ifdef ENDS_TWICE
    tell = waits_for[(me + 1) % REQUESTS];
    end_read(s, failed);
    waits_for[(me + 1) % REQUESTS] = tell;
    tell = 0;
#endif
    end_read(s, failed)
#endif
}

/* Steps: leaves the pinned slice in `copy`, or NONE if the read failed. */
inline pin(s) {
    skip;
try:
    atomic {
        if
        :: directory[s] == ready -> copy = copy_of[s]; pins[copy]++; goto has_ended
        :: directory[s] == loading -> waits_for[me] = s; goto waits
        :: directory[s] == absent ->
#ifndef NO_PLACEHOLDER
            directory[s] = loading;
            overtaken[s] = false;
#endif
            skip
        fi
    };
    moved = moved & ~(1 << me);
    /* One read of the file for the slice and the one that is read ahead. */
    atomic {
        from_file = in_file[s];
        if
        :: s == 0 -> ahead = in_file[1]
        :: else
        fi
    };
    atomic {
        if
        :: may_fail -> fail(s); goto has_ended
#ifndef NO_OVERTAKING
        :: overtaken[s] ->
            directory[s] = absent;
            overtaken[s] = false;
            from_file = 0;
            ahead = 0;
            end_read(s, again);
            goto try
        :: !overtaken[s] ->
#else
        :: true ->
#endif
            commit(s);
            from_file = 0;
            if
            :: s == 1 -> goto has_ended
            :: else
            fi
        fi
    };
    atomic { commit_ahead(); ahead = 0; goto has_ended };
waits:
    atomic {
        outcome[me] != 0;
        copy = given[me];
        given[me] = NONE;
        if
        :: outcome[me] == again -> outcome[me] = 0; goto try
        :: else -> outcome[me] = 0
        fi
    };
has_ended:
    skip
}

inline check(c) {
    assert(live[c]);
    assert(value[c] >= least);
    if
    :: value[c] > known[slice] -> known[slice] = value[c]
    :: else
    fi
}

inline choose() {
    if
    :: slice = 0
    :: slice = 1
    fi
}

proctype reader(byte me) {
    byte lookups, slice, least, from_file, ahead, i, copy = NONE;
    bool may_fail = (me == 0);
#ifdef ENDS_TWICE
    byte tell;
#endif
    do
    :: lookups < LOOKUPS ->
        atomic {
            lookups++;
            choose();
            least = known[slice];
            if
            :: directory[slice] == ready -> check(copy_of[slice]); goto next /* a hit: no pin */
            :: true
            fi
        };
        pin(slice);
next:   atomic {
            if
            :: copy != NONE -> check(copy); unpin(copy)
            :: else
            fi;
            slice = 0;
            least = 0;
            from_file = 0;
            ahead = 0
        }
    :: else -> break
    od
}

proctype writer(byte me) {
    byte updates, slice, from_file, ahead, i, copy = NONE, last[2];
    bool may_fail = false, can_fail = true;
#ifdef ENDS_TWICE
    byte tell;
#endif
    do
    :: updates < UPDATES ->
        atomic {
            updates++;
            choose();
            if
            :: true
            :: true -> /* another table takes the place of the slice's */
                last[slice]++;
                in_file[slice] = last[slice];
                known[slice] = last[slice];
                drop(slice);
                goto next
            fi
        };
        pin(slice);
        if
        :: copy == NONE -> goto next /* it shared a read that failed */
        :: else
        fi;
#ifdef NO_WRITE_THROUGH
        atomic { assert(live[copy]); value[copy] = last[slice] + 1 };
#endif
        if
        :: atomic { last[slice]++; in_file[slice] = last[slice] };
           atomic {
            assert(live[copy]);
            moved = 255;
            value[copy] = last[slice];
            known[slice] = last[slice]
           }
        :: can_fail ->
           /* The file's content after a failed write is unknown. */
           atomic {
            can_fail = false;
            last[slice]++;
            if
            :: in_file[slice] = last[slice]
            :: true
            fi
           };
#ifndef NO_DROP
           atomic { drop(slice) }
#endif
        fi;
        atomic { assert(live[copy]); unpin(copy) };
next:   atomic { slice = 0; from_file = 0; ahead = 0 }
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        do
        :: i < READERS -> run reader(i); i++
        :: else -> break
        od;
        run writer(READERS)
    };
    atomic {
        _nr_pr == 1; /* all requests have ended */
        i = 0;
        do
        :: i < COPIES ->
            assert(pins[i] == 0);
            assert(!live[i] || i == copy_of[0] || i == copy_of[1]);
            i++
        :: else -> break
        od;
        assert(directory[0] != ready || value[copy_of[0]] == in_file[0]);
        assert(directory[1] != ready || value[copy_of[1]] == in_file[1]);
        assert(directory[0] != loading && directory[1] != loading);
        assert(directory[0] != ready || directory[1] != ready)
    }
}
