// SPDX-License-Identifier: Apache-2.0
// What happens to a call whose file loses its name, by a rename, between the opening of the file
// and its lock: every opener of the library against every moment. And locks that cannot be taken.

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/check.hpp"
#include "qed/clone.hpp"
#include "qed/commit.hpp"
#include "qed/compact.hpp"
#include "qed/files.hpp"
#include "qed/image.hpp"
#include "qed/output_file.hpp"
#include "qed/rebase.hpp"
#include "qed/snapshot.hpp"
#include "support/lock_hook.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void create(const std::string& path, const char* backing, char byte) {
    CreateOptions options;
    options.image_bytes = 1 << 20;
    options.backing_name = backing;
    options.backing_format = BackingFormat::qed;
    options.check_backing = false;
    ASSERT_TRUE(Image::create(path, options));
    OpenOptions open;
    open.writable = true;
    const auto image = Image::open(path, open);
    ASSERT_TRUE(image) << image.error().message();
    ASSERT_TRUE((*image)->write_blocking(GuestOffset{0}, std::array{static_cast<std::byte>(byte)}));
    ASSERT_TRUE((*image)->close());
}

/// A folder with base.qed and over it disk.qed. At a chosen lock of the victim, other.qed takes its
/// name; the file that had the name is then called old.qed.
struct Replacement {
    explicit Replacement(const std::string& name, unsigned chosen) : victim(dir.file(name)) {
        create(dir.file("base.qed"), nullptr, 'b');
        create(dir.file("disk.qed"), "base.qed", 'd');
        create(dir.file("other.qed"), name == "disk.qed" ? "base.qed" : nullptr, 'o');
        fs::create_hard_link(victim, dir.file("old.qed"));
        test::before_lock = [this, chosen](int descriptor) {
            struct stat locked{};
            struct stat named{};
            if (happened || ::fstat(descriptor, &locked) != 0 ||
                ::stat(victim.c_str(), &named) != 0 || locked.st_ino != named.st_ino) {
                return;
            }
            if (locks++ != chosen) return;
            happened = true;
            // What a finished commit has written into the name's file is in the old one.
            before = content_of(dir.file("old.qed"));
            is_old = fs::equivalent(victim, dir.file("old.qed"));
            fs::rename(dir.file("other.qed"), victim);
        };
    }
    ~Replacement() { test::before_lock = nullptr; }
    Replacement(const Replacement&) = delete;
    Replacement& operator=(const Replacement&) = delete;

    std::string path(const std::string& name) const { return dir.file(name); }

    test::TempDir dir;
    std::string victim;
    unsigned locks = 0;
    bool happened = false;
    bool is_old = false;  ///< the file that lost its name is the one of the beginning
    std::string before;
};

using Call = std::function<Result<void>(const Replacement&)>;

struct Opener {
    const char* name;
    const char* victim;
    Call call;
};
void PrintTo(const Opener& opener, std::ostream* out) {
    *out << opener.name;
}

Result<void> write_byte(const std::string& path) {
    OpenOptions options;
    options.writable = true;
    auto image = Image::open(path, options);
    if (!image) return pass(image);
    QED_CHECK((*image)->write_blocking(GuestOffset{9}, std::array{std::byte{'w'}}));
    return (*image)->close();
}

template <class T>
Result<void> only_error(Result<T> result) {
    return result ? Result<void>{} : pass(result);
}

Result<void> read_over_base(const Replacement& in) {
    auto image = Image::open(in.path("disk.qed"), {});
    if (!image) return pass(image);
    std::array<std::byte, 1> byte{};
    QED_CHECK((*image)->backing()->read_blocking(GuestOffset{0}, byte));
    EXPECT_EQ(byte[0], in.happened ? std::byte{'o'} : std::byte{'b'});
    return {};
}

Result<void> lock_and_write(const Replacement& in) {
    auto file = open_file(in.path("disk.qed"), {.writable = true, .lock = LockRole::writer});
    if (!file) return pass(file);
    CheckOptions check;
    check.repair = Repair::all;
    return only_error(sync_wait(check_file(**file, check)));
}

Result<void> rebase_onto_none(const Replacement& in) {
    return only_error(rebase(in.path("disk.qed"), nullptr, {}));
}

Result<void> rebase_onto_base(const Replacement& in) {
    RebaseOptions options;
    options.format = BackingFormat::qed;
    return only_error(rebase(in.path("disk.qed"), "base.qed", options));
}

Result<void> clone_base(const Replacement& in) {
    const std::array paths = {in.path("clone.qed")};
    return clone(in.path("base.qed"), paths, {});
}

Result<void> replace_by_output(const Replacement& in) {
    auto output = OutputFile::create(in.path("disk.qed"));
    if (!output) return pass(output);
    CreateOptions create;
    create.image_bytes = 1 << 20;
    QED_CHECK(sync_wait(Image::format((*output)->file(), create)));
    return (*output)->publish(Durability::content);
}

const Opener kOpeners[] = {
    {"open", "disk.qed", [](const auto& in) { return write_byte(in.path("disk.qed")); }},
    {"open_base", "base.qed", read_over_base},
    {"open_file", "disk.qed", lock_and_write},
    {"compact", "disk.qed",
     [](const auto& in) { return only_error(compact(in.path("disk.qed"), {})); }},
    {"commit", "disk.qed",
     [](const auto& in) { return only_error(commit(in.path("disk.qed"), {})); }},
    {"commit_base", "base.qed",
     [](const auto& in) { return only_error(commit(in.path("disk.qed"), {})); }},
    {"rebase", "disk.qed", rebase_onto_none},
    {"rebase_base", "base.qed", rebase_onto_base},
    {"snapshot", "disk.qed",
     [](const auto& in) { return snapshot(in.path("disk.qed"), in.path("frozen.qed"), {}); }},
    {"revert", "disk.qed", [](const auto& in) { return revert_to_snapshot(in.path("disk.qed")); }},
    {"clone", "base.qed", clone_base},
    {"output", "disk.qed", replace_by_output},
};

class ReplacedFileTest : public ::testing::TestWithParam<Opener> {};
INSTANTIATE_TEST_SUITE_P(Openers, ReplacedFileTest, ::testing::ValuesIn(kOpeners),
                         [](const auto& opener) { return opener.param.name; });

TEST_P(ReplacedFileTest, AFileThatLostItsNameIsNotWritten) {
    unsigned moments = 0;
    for (bool happened = true; happened; ++moments) {
        SCOPED_TRACE(moments);
        Replacement files(GetParam().victim, moments);
        const auto done = GetParam().call(files);
        happened = files.happened;
        if (!done) {
            EXPECT_EQ(done.error().code(), Errc::locked) << done.error().message();
        }
        if (happened && files.is_old) {
            EXPECT_EQ(content_of(files.path("old.qed")), files.before);
        }
        if (!happened) {
            EXPECT_TRUE(done) << done.error().message();
        }
        test::before_lock = nullptr;
        EXPECT_TRUE(Image::open(files.victim, {}));
    }
    EXPECT_GT(moments, 1U) << "the call locks its file";
}

TEST(ReplacedFileOnceTest, OpenFollowsTheNameToTheNewFile) {
    const Replacement files("disk.qed", 0);
    const auto image = Image::open(files.path("disk.qed"), {});
    ASSERT_TRUE(image) << image.error().message();
    std::array<std::byte, 1> byte{};
    ASSERT_TRUE((*image)->read_blocking(GuestOffset{0}, byte));
    EXPECT_EQ(byte[0], std::byte{'o'});
}

TEST(ReplacedFileOnceTest, LockOfTheReplacedFileIsNoConflict) {
    const test::TempDir dir;
    create(dir.file("disk.qed"), nullptr, 'd');
    create(dir.file("other.qed"), nullptr, 'o');
    std::unique_ptr<BlockFile> holder;
    test::before_lock = [&](int) {
        test::before_lock = nullptr;
        auto held = open_file(dir.file("disk.qed"), {.writable = true, .lock = LockRole::writer});
        if (held) holder = std::move(*held);
        fs::rename(dir.file("other.qed"), dir.file("disk.qed"));
    };
    const auto image = Image::open(dir.file("disk.qed"), {});
    ASSERT_NE(holder, nullptr);
    EXPECT_TRUE(image) << image.error().message();
}

TEST(ReplacedFileOnceTest, NameThatIsReplacedAgainAndAgainIsLocked) {
    const test::TempDir dir;
    create(dir.file("disk.qed"), nullptr, 'd');
    test::before_lock = [&](int) {
        fs::copy_file(dir.file("disk.qed"), dir.file("next.qed"));
        fs::rename(dir.file("next.qed"), dir.file("disk.qed"));
    };
    const auto image = Image::open(dir.file("disk.qed"), {});
    test::before_lock = nullptr;
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code(), Errc::locked);
    EXPECT_THAT(image.error().message(), HasSubstr("was replaced by other processes"));
}

template <class Options>
Options without_locks() {
    Options options;
    options.lock = LockMode::none;
    return options;
}

class NoLocksTest : public ::testing::TestWithParam<int> {
protected:
    NoLocksTest() {
        create(dir.file("base.qed"), nullptr, 'b');
        create(dir.file("disk.qed"), "base.qed", 'd');
        test::lock_errno = GetParam();
    }
    ~NoLocksTest() override { test::lock_errno = 0; }

    static void expect_refused(const Result<void>& done) {
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code(), Errc::unsupported);
        EXPECT_EQ(done.error().sys_errno(), GetParam());
        EXPECT_THAT(done.error().message(), HasSubstr("cannot lock it"));
        EXPECT_THAT(done.error().message(), HasSubstr("--no-lock"));
    }

    test::TempDir dir;
};
INSTANTIATE_TEST_SUITE_P(Errors, NoLocksTest, ::testing::Values(ENOLCK, EOPNOTSUPP, ENOSYS));

TEST_P(NoLocksTest, OpeningIsRefusedUnlessNoLockIsWanted) {
    expect_refused(only_error(Image::open(dir.file("disk.qed"), {})));
    OpenOptions options;
    options.writable = true;
    options.lock = LockMode::none;
    EXPECT_TRUE(Image::open(dir.file("disk.qed"), options));
}

TEST_P(NoLocksTest, OperationsAreRefusedUnlessNoLockIsWanted) {
    const std::string disk = dir.file("disk.qed");
    expect_refused(only_error(compact(disk, {})));
    EXPECT_TRUE(compact(disk, without_locks<CompactOptions>()));
    expect_refused(only_error(commit(disk, {})));
    EXPECT_TRUE(commit(disk, without_locks<CommitOptions>()));
    expect_refused(snapshot(disk, dir.file("frozen.qed"), {}));
    EXPECT_TRUE(snapshot(disk, dir.file("frozen.qed"), without_locks<SnapshotOptions>()));
    expect_refused(revert_to_snapshot(disk));
    EXPECT_TRUE(revert_to_snapshot(disk, LockMode::none));
    expect_refused(only_error(rebase(disk, nullptr, {})));
    EXPECT_TRUE(rebase(disk, nullptr, without_locks<RebaseOptions>()));
    const std::array paths = {dir.file("clone.qed")};
    expect_refused(clone(disk, paths, {}));
    EXPECT_TRUE(clone(disk, paths, without_locks<CloneOptions>()));
    CreateOptions create;
    create.image_bytes = 1 << 20;
    expect_refused(Image::create(disk, create));
    create.lock = LockMode::none;
    EXPECT_TRUE(Image::create(disk, create));
}

}  // namespace
}  // namespace qed
