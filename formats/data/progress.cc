#include "formats/data/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "formats/data/system.h"
#include "formats/data/table.h"

namespace octet {

Progress::Progress(std::string what, int64_t total, bool rate)
    : what_(std::move(what)), total_(total), visible_(StandardErrorIsTerminal()), rate_(rate) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void Progress::Update(int64_t done) {
  if (!visible_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(100);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::fprintf(stderr, "\r\x1b[K%s%s", Line(what_, done, total_).c_str(),
               rate_ ? RateText(done, total_, seconds).c_str() : "");
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

std::string Progress::RateText(int64_t done, int64_t total, double seconds) {
  if (done < 1 || seconds <= 0.0) return "";
  const double rate = static_cast<double>(done) / seconds;
  std::string text = ", " + Fixed(rate, rate < 10.0 ? 1 : 0) + "/s";
  if (total <= done) return text;
  const int64_t left = static_cast<int64_t>(std::ceil(static_cast<double>(total - done) / rate));
  const auto two = [](int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  text += ", " + (left < 3600 ? std::to_string(left / 60)
                              : std::to_string(left / 3600) + ":" + two(left / 60 % 60));
  return text + ":" + two(left % 60) + " left";
}

}  // namespace octet
