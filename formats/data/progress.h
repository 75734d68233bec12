// A progress bar for people.
#ifndef OCTET_FORMATS_DATA_PROGRESS_H_
#define OCTET_FORMATS_DATA_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace octet {

/// One line on stderr, redrawn at most ten times a second and erased at the end; silent when stderr
/// is not a terminal.
///
///   Progress progress("calibrating", total);
///   for (...) progress.Update(++done);
class Progress {
 public:
  /// `total` < 1 means unknown: only the count is shown. With `rate` also how many a second and how
  /// long the rest takes at that rate.
  Progress(std::string what, int64_t total, bool rate = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(int64_t done);

  /// The line without terminal control, e.g. "calibrating [#####.....] 50/100".
  static std::string Line(const std::string& what, int64_t done, int64_t total);
  /// What a rate adds to it after `seconds`, e.g. ", 312/s, 1:05 left".
  static std::string RateText(int64_t done, int64_t total, double seconds);

 private:
  std::string what_;
  int64_t total_;
  bool visible_, rate_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_{}, start_ = std::chrono::steady_clock::now();
};

/// Bars for one kind of work after the other.
class Bars {
 public:
  void Update(const std::string& what, int64_t done, int64_t total) {
    if (what != what_) bar_.reset();
    if (!bar_) bar_.emplace(what, total);
    what_ = what;
    bar_->Update(done);
  }

 private:
  std::string what_;
  std::optional<Progress> bar_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_PROGRESS_H_
