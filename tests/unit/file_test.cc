// Files in the same words on every system. What only POSIX has is in write_file_test and
// octet_file_test.
#include "formats/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "formats/base/write_file_impl.h"

namespace octet {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

std::span<const std::byte> AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fs::path(u8"octet_file_test \u00e9\u4e2d\U0001f33c");
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  /// In UTF-8, as all paths of the library.
  std::string File(std::string_view name) const {
    const std::u8string text = (folder_ / name).generic_u8string();
    return {text.begin(), text.end()};
  }
  std::vector<std::string> List() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_))
      names.push_back(entry.path().filename().generic_string());
    std::sort(names.begin(), names.end());
    return names;
  }
  static void ExpectText(const std::string& path, std::string_view text) {
    const Result<FileBytes> bytes = MapFile(path);
    ASSERT_TRUE(bytes.ok()) << bytes.status().message();
    EXPECT_EQ(bytes->text(), text);
  }
  static void ExpectError(const Status& status, StatusCode code, const std::string& message) {
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), message);
  }

  fs::path folder_;
};

TEST_F(FileTest, ReadsAtAnyOffset) {
  const std::string path = File("bytes");
  ASSERT_TRUE(WriteFileAtomically(path, AsBytes("a\r\n\x1a\nz")).ok());
  const Result<InputFile> file = InputFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->size(), 6);
  std::vector<uint8_t> two(2);
  ASSERT_TRUE(file->ReadAt(3, two).ok());
  EXPECT_THAT(two, ElementsAre(0x1a, '\n'));
  ASSERT_TRUE(file->ReadAt(0, two).ok());
  EXPECT_THAT(two, ElementsAre('a', '\r'));
  ExpectError(file->ReadAt(5, two), StatusCode::kCorrupt,
              path + ": ends at byte 6, expected 1 more bytes");
  ExpectText(path, "a\r\n\x1a\nz");
  const auto read = ReadFileBytes(path, 6);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->size(), 6u);
  ExpectError(ReadFileBytes(path, 5).status(), StatusCode::kInvalidArgument,
              path + ": is 6 bytes, at most 5 are read");
}

TEST_F(FileTest, MapsAPartOfADescriptorsFile) {
  std::FILE* stream = std::tmpfile();
  ASSERT_NE(stream, nullptr);
  std::string text(200000, ' ');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i * i % 23);
  ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), stream), text.size());
  ASSERT_EQ(std::fflush(stream), 0);
  Result<InputFile> file = InputFile::FromDescriptor(::fileno(stream));
  ASSERT_TRUE(file.ok()) << file.status().message();
  std::fclose(stream);
  EXPECT_EQ(file->size(), 200000);
  std::vector<FileBytes> parts;
  for (const int64_t offset : {0, 1, 64, 4095, 4096, 65535, 65536, 65540, 131072, 199999, 200000}) {
    for (const int64_t length : {int64_t{0}, int64_t{1}, int64_t{5000}, 200000 - offset}) {
      if (length > 200000 - offset) continue;
      Result<FileBytes> part = file->Map(offset, length);
      ASSERT_TRUE(part.ok()) << part.status().message();
      EXPECT_EQ(part->text(), std::string_view(text).substr(static_cast<size_t>(offset),
                                                            static_cast<size_t>(length)));
      if (length > 0) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(part->bytes.data()) % 4096,
                  static_cast<uintptr_t>(offset) % 4096);
      }
      std::vector<uint8_t> read(static_cast<size_t>(length));
      ASSERT_TRUE(file->ReadAt(offset, read).ok());
      EXPECT_TRUE(std::equal(read.begin(), read.end(), text.begin() + offset));
      parts.push_back(std::move(part).value());
    }
  }
  ExpectError(InputFile::FromDescriptor(-1).status(), StatusCode::kInvalidArgument,
              "descriptor -1: not an open file");
}

TEST_F(FileTest, RefusesWhatIsNotThereOrNoFile) {
  for (const char* name : {"none", "none/below"})
    ExpectError(MapFile(File(name)).status(), StatusCode::kNotFound, File(name) + ": no such file");
  ASSERT_TRUE(WriteFileAtomically(File("file"), AsBytes("x")).ok());
  ExpectError(MapFile(File("file/below")).status(), StatusCode::kNotFound,
              File("file/below") + ": no such file");
  ExpectError(MapFile(File("")).status(), StatusCode::kIo, File("") + ": not a regular file");
  ExpectError(WriteFileAtomically(File("none/out"), AsBytes("x")), StatusCode::kIo,
              File("none/out") + ": cannot write: No such file or directory");
  fs::create_directories(folder_ / "folder");
  ExpectError(WriteFileAtomically(File("folder"), AsBytes("x")), StatusCode::kIo,
              File("folder") + ": cannot write: not a regular file");
  EXPECT_TRUE(IsWritableFolder(File("folder")));
  EXPECT_FALSE(IsWritableFolder(File("none")));
  EXPECT_THAT(List(), ElementsAre("file", "folder"));
}

TEST_F(FileTest, ReplacesFiles) {
  const std::string path = File("out");
  ASSERT_TRUE(WriteFileAtomically(path, AsBytes("first")).ok());
  ASSERT_TRUE(WriteFileAtomically(path, AsBytes("second")).ok());
  ExpectText(path, "second");
  {
    const Result<FileBytes> old = MapFile(path);
    ASSERT_TRUE(old.ok());
    const Status status = WriteFileAtomically(path, AsBytes("third"));
    EXPECT_EQ(old->text(), "second");
#ifdef _WIN32
    ExpectError(status, StatusCode::kIo, path + ": cannot write: Permission denied");
    ExpectText(path, "second");
#else
    EXPECT_TRUE(status.ok());
    ExpectText(path, "third");
#endif
  }
  ASSERT_TRUE(WriteFileAtomically(path, {}).ok());
  EXPECT_EQ(fs::file_size(folder_ / "out"), 0u);
  EXPECT_TRUE(MapFile(path).ok());
  EXPECT_THAT(List(), ElementsAre("out"));
}

TEST_F(FileTest, RemovesWhatTheDeadLeft) {
  for (const char* name : {"out.4000000.0.tmp", "out.1.tmp", "out.x.0.tmp", "other.4000000.0.tmp"})
    std::ofstream(folder_ / name) << "x";
  ASSERT_TRUE(WriteFileAtomically(File("out"), AsBytes("x")).ok());
  EXPECT_THAT(List(), ElementsAre("other.4000000.0.tmp", "out", "out.1.tmp", "out.x.0.tmp"));
  EXPECT_TRUE(IsTemporaryOf("a", NextTemporary("a", 7)));
}

TEST_F(FileTest, WritersDoNotMeet) {
  {
    std::vector<std::jthread> threads;
    for (char c : {'a', 'b', 'c'}) {
      threads.emplace_back([this, c] {
        for (int i = 0; i < 20; ++i) {
          const Status status = WriteFileAtomically(File("out"), AsBytes(std::string(5000, c)));
          EXPECT_TRUE(status.ok()) << status.message();
        }
      });
    }
  }
  const auto bytes = ReadFileBytes(File("out"), 5000);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(*bytes, std::vector<uint8_t>(5000, bytes->front()));
  EXPECT_THAT(List(), ElementsAre("out"));
}

TEST_F(FileTest, PagesAreZeroAndWhole) {
  Result<Pages> pages = Pages::Allocate(100);
  ASSERT_TRUE(pages.ok());
  EXPECT_TRUE(std::ranges::all_of(pages->bytes(), [](std::byte b) { return b == std::byte{0}; }));
  pages->bytes()[99] = std::byte{1};
  pages->MakeReadOnly();
  EXPECT_EQ(pages->bytes()[99], std::byte{1});
  EXPECT_EQ(Pages::Allocate(size_t{1} << 60).status().code(), StatusCode::kOutOfMemory);
}

}  // namespace
}  // namespace octet
