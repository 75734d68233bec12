#include "formats/data/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "formats/base/file.h"
#include "formats/base/macros.h"

namespace octet {
namespace {

constexpr std::array<uint32_t, 64> kRounds{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t Big32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

}  // namespace

void Sha256::Compress(const uint8_t* block) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i) w[i] = Big32(block + 4 * i);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  std::array<uint32_t, 8> s = state_;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
    const uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
    const uint32_t t1 = s[7] + (std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25)) +
                        choice + kRounds[i] + w[i];
    const uint32_t t2 = (std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22)) + majority;
    s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
  }
  for (size_t i = 0; i < 8; ++i) state_[i] += s[i];
}

void Sha256::Add(std::span<const uint8_t> bytes) {
  const size_t kept = bytes_ % 64;
  bytes_ += bytes.size();
  if (kept > 0) {
    const size_t count = std::min(bytes.size(), 64 - kept);
    std::copy_n(bytes.data(), count, rest_.data() + kept);
    bytes = bytes.subspan(count);
    if (kept + count < 64) return;
    Compress(rest_.data());
  }
  for (; bytes.size() >= 64; bytes = bytes.subspan(64)) Compress(bytes.data());
  std::copy(bytes.begin(), bytes.end(), rest_.begin());
}

std::string Sha256::Hex() const {
  Sha256 end = *this;
  std::array<uint8_t, 72> padding{0x80};
  const size_t zeros = (119 - bytes_ % 64) % 64;
  for (size_t i = 0; i < 8; ++i)
    padding[1 + zeros + i] = static_cast<uint8_t>(bytes_ * 8 >> (56 - 8 * i));
  end.Add(std::span(padding).first(zeros + 9));
  std::string hex;
  for (const uint32_t word : end.state_)
    for (int shift = 28; shift >= 0; shift -= 4) hex += "0123456789abcdef"[word >> shift & 15];
  return hex;
}

Result<std::string> Sha256OfFile(const std::string& path,
                                 const std::function<Status(std::span<const uint8_t>)>& also) {
  OCTET_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  Sha256 hash;
  std::vector<uint8_t> piece(size_t{1} << 20);
  for (int64_t at = 0; at < file.size();) {
    const std::span<uint8_t> part = std::span(piece).first(
        static_cast<size_t>(std::min(file.size() - at, static_cast<int64_t>(piece.size()))));
    OCTET_RETURN_IF_ERROR(file.ReadAt(at, part));
    hash.Add(part);
    if (also) OCTET_RETURN_IF_ERROR(also(part));
    at += static_cast<int64_t>(part.size());
  }
  return hash.Hex();
}

}  // namespace octet
