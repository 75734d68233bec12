#include "formats/data/sha256.h"

#include <gtest/gtest.h>

#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.

std::string Of(std::string_view text) {
  Sha256 hash;
  hash.Add(text);
  return hash.Hex();
}

// FIPS 180-2, appendix B, and the empty message.
TEST(Sha256Test, Examples) {
  EXPECT_EQ(Of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesOfAnySize) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 37);
  for (size_t size = 0; size <= text.size(); ++size) {
    Sha256 hash;
    const std::string_view all = std::string_view(text).substr(0, size);
    for (size_t at = 0, step = 1; at < size; at += step++) hash.Add(all.substr(at, step));
    EXPECT_EQ(hash.Hex(), Of(all)) << size;
    EXPECT_EQ(hash.Hex(), hash.Hex());
  }
}

TEST(Sha256Test, Files) {
  const TempDir dir;
  WriteFile(dir / "x", std::string(100000, 'a'));
  EXPECT_EQ(*Sha256OfFile(dir / "x"), Of(std::string(100000, 'a')));
  EXPECT_EQ(Sha256OfFile(dir / "y").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace octet
