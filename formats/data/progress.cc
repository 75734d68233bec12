#include "formats/data/progress.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "formats/data/system.h"

namespace octet {

Progress::Progress(std::string what, int64_t total)
    : what_(std::move(what)), total_(total), visible_(StandardErrorIsTerminal()) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void Progress::Update(int64_t done) {
  if (!visible_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(100);
  std::fprintf(stderr, "\r\x1b[K%s", Line(what_, done, total_).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

std::string Progress::Line(const std::string& what, int64_t done, int64_t total) {
  if (total < 1) return what + " " + std::to_string(done);
  constexpr int64_t kWidth = 30;
  const int64_t filled = static_cast<int64_t>(
      kWidth * std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0));
  return what + " [" + std::string(static_cast<size_t>(filled), '#') +
         std::string(static_cast<size_t>(kWidth - filled), '.') + "] " + std::to_string(done) +
         "/" + std::to_string(total);
}

}  // namespace octet
