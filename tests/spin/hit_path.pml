/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hit of the table cache, load by load: version, leaf, word, payload, version again. Meanwhile the
 * owner of the lock evicts the slice and its leaf, reuses their memory, and loads them again. There
 * are two places in the directory, two leaves and two payloads; the reader looks up place 0. The
 * returned value must be the value of place 0 at a moment between the reader's first and last load.
 *
 * With -DNO_CHECK the reader does not check the version; with -DNO_ADVANCE memory is reused without
 * a new version; with -DADVANCES_FIRST the version changes before the word: all must fail. Steps are
 * sequentially consistent here; docs/cache.md proves that the program's acquires and releases
 * suffice.
 */
#define NONE 255
#ifndef CHANGES
#define CHANGES 4
#endif

byte version[2];     /* of each place; 0: has no leaf */
byte next_version = 1;
byte leaf[2] = NONE; /* of each place */
byte word[2] = NONE; /* of each leaf: the payload of its one slice */
byte payload[2];     /* content */
bool payload_used[2];
bool leaf_used[2];

byte truth = 0;      /* the value of place 0 in the file */
bool possible[16];   /* values that place 0 has had since the reader began */
byte next_value = 1;

inline advance(p) {
#ifndef NO_ADVANCE
    version[p] = next_version;
    next_version++
#else
    version[p] = 1
#endif
}

/* The steps of a writer are separate: readers see them one by one. */
inline load(p, v) {
    if
    :: leaf[p] == NONE ->
        if
        :: !leaf_used[0] -> l = 0
        :: leaf_used[0] && !leaf_used[1] -> l = 1
        fi;
        leaf_used[l] = true;
        word[l] = NONE;
        advance(p);
        leaf[p] = l
    :: else
    fi;
    if
    :: !payload_used[0] -> b = 0
    :: payload_used[0] && !payload_used[1] -> b = 1
    fi;
    payload_used[b] = true;
    payload[b] = v;
    word[leaf[p]] = b
}

inline evict(p) {
    b = word[leaf[p]];
#ifdef ADVANCES_FIRST
    advance(p);
    word[leaf[p]] = NONE;
#else
    word[leaf[p]] = NONE;
    advance(p);
#endif
    payload_used[b] = false
}

inline evict_leaf(p) {
    l = leaf[p];
    leaf[p] = NONE;
    advance(p);
    leaf_used[l] = false
}

proctype owner() {
    byte l, b, i, p;
    do
    :: i < CHANGES ->
        i++;
        if
        :: p = 0
        :: p = 1
        fi;
        if
        :: leaf[p] == NONE || word[leaf[p]] == NONE ->
            /* Place 1 holds values that place 0 never has. */
            if
            :: p == 0 -> load(0, truth)
            :: else -> load(1, 15)
            fi
        :: leaf[p] != NONE && word[leaf[p]] != NONE ->
            evict(p);
            if
            :: evict_leaf(p)
            :: skip
            fi;
            if
            :: p == 0 ->
                /* While it is not in memory, its entry changes in the file. */
                atomic { truth = next_value; possible[truth] = true; next_value++ }
            :: else
            fi
        fi
    :: else -> break
    od
}

proctype reader() {
    byte v, l, w, found;
    atomic { possible[truth] = true };
    v = version[0];
    l = leaf[0];
    if
    :: v == 0 || l == NONE -> goto miss
    :: else
    fi;
    w = word[l];
    if
    :: w == NONE -> goto miss
    :: else
    fi;
    found = payload[w];
#ifndef NO_CHECK
    if
    :: version[0] != v -> goto miss
    :: else
    fi;
#endif
    assert(possible[found]);
miss:
    skip
}

init {
    atomic { run owner(); run reader() }
}
