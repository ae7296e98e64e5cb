#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang's thread-safety analysis understands base/mutex.hpp: it finds each planted fault."""

import os
import pathlib
import re
import subprocess
import unittest

SOURCE = pathlib.Path(os.environ["QED_SOURCE_DIR"])

# Lines that end with "// fault" must be found, and no others.
PROGRAM = """
#include "base/mutex.hpp"
#include "qed/task.hpp"

namespace qed {

class Planted {
public:
    int locked() {
        const ScopedLock lock(mutex_);
        return value_;
    }
    int unlocked() {
        return value_;  // fault
    }
    void calls_without_the_lock() {
        change();  // fault
    }
    void takes_it_twice() {
        const ScopedLock lock(mutex_);
        takes_it();  // fault
    }
    void in_a_lambda() {
        const ScopedLock lock(mutex_);
        const auto knows = [this]() QED_REQUIRES(mutex_) { ++value_; };
        knows();
        const auto does_not_know = [this] {
            ++value_;  // fault
        };
        does_not_know();
    }
    void after_letting_go() {
        ReleasableLock lock(mutex_);
        ++value_;
        lock.unlock();
        ++value_;  // fault
        lock.lock();
        ++value_;
    }
    void waits() {
        const ScopedLock lock(mutex_);
        while (value_ == 0) changed_.wait(mutex_);
    }
    void waits_without_the_lock() {
        changed_.wait(mutex_);  // fault
    }
    Task<Result<void>> in_a_coroutine() {
        {
            const ScopedLock lock(mutex_);
            ++value_;
        }
        Task<Result<void>> inner = in_a_coroutine();
        QED_CO_CHECK(co_await std::move(inner));
        ++value_;  // fault
        co_return {};
    }

private:
    void change() QED_REQUIRES(mutex_) { ++value_; }
    void takes_it() QED_EXCLUDES(mutex_) {
        const ScopedLock lock(mutex_);
        ++value_;
    }

    Mutex mutex_;
    ConditionVariable changed_;
    int value_ QED_GUARDED_BY(mutex_) = 0;
};

}  // namespace qed
"""


class ThreadSafetyTest(unittest.TestCase):
    def test_planted_faults_are_found_and_nothing_else(self):
        done = subprocess.run(
            ["clang++-19", "-std=c++23", "-fsyntax-only", "-Wthread-safety", "-I", SOURCE / "src",
             "-I", SOURCE / "include", "-x", "c++", "-"],
            input=PROGRAM, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = {int(line) for line in
                 re.findall(r"^<stdin>:(\d+):\d+: warning: .*thread-safety", done.stderr,
                            re.MULTILINE)}
        planted = {number for number, line in enumerate(PROGRAM.splitlines(), start=1)
                   if line.endswith("// fault")}
        self.assertEqual(found, planted, done.stderr)


if __name__ == "__main__":
    unittest.main()
