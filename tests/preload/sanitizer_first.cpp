// SPDX-License-Identifier: Apache-2.0
// Loaded into nbdkit beside the runtime of a sanitizer, and initialised before every other library
// (-z initfirst). A runtime initialises itself at the first allocation. That would be inside
// newlocale(), which libp11-kit calls when it is loaded, and what the runtime does then unlocks
// libc's lock on locales under newlocale()'s feet: later some thread waits for it for ever.

#include <cstdlib>

namespace {

[[gnu::constructor]] void allocate_something() {
    void* volatile memory = std::malloc(1);
    std::free(memory);
}

}  // namespace
