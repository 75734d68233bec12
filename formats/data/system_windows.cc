// Consoles, arguments and memory of Windows.
#include "formats/base/windows.h"
#include "formats/data/system.h"
// Behind it.
#include <fcntl.h>
#include <io.h>
#include <psapi.h>
#include <shellapi.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>

namespace octet {

void UseUtf8Arguments(int* argc, char*** argv) {
  static std::vector<std::string> texts;
  static std::vector<char*> pointers;
  int count = 0;
  wchar_t** wide = ::CommandLineToArgvW(::GetCommandLineW(), &count);
  if (wide == nullptr) return;
  texts.clear();
  pointers.clear();
  for (int i = 0; i < count; ++i) texts.push_back(Utf8(wide[i]));
  ::LocalFree(wide);
  for (std::string& text : texts) pointers.push_back(text.data());
  *argc = count;
  pointers.push_back(nullptr);
  *argv = pointers.data();
}

void PrepareStandardStreams() {
  int fd = 0;
  do {
    fd = ::_open("NUL", _O_RDONLY);
  } while (fd >= 0 && fd <= 2);
  if (fd >= 0) ::_close(fd);
  ::_setmode(0, _O_BINARY);  // A photo may come in.
  ::_setmode(1, _O_BINARY);
  ::SetConsoleOutputCP(CP_UTF8);
  const HANDLE error = ::GetStdHandle(STD_ERROR_HANDLE);
  DWORD mode = 0;
  if (::GetConsoleMode(error, &mode))
    ::SetConsoleMode(error, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

int StandardOutputError() { return ::_write(1, "\n", 1) < 0 ? errno : 0; }

namespace {

volatile std::sig_atomic_t stop_signal = 0;

void NoteStop(int signal) { stop_signal = signal; }  // Windows has set the default again.

}  // namespace

void WatchForStop() {
  std::signal(SIGTERM, NoteStop);
  std::signal(SIGINT, NoteStop);
}

int StopSignal() { return stop_signal; }

int64_t ReadStandardInput(void* buffer, size_t bytes) {
  constexpr size_t kMost = 1 << 20;
  return stop_signal != 0 ? 0 : ::_read(0, buffer, static_cast<unsigned>(std::min(bytes, kMost)));
}

bool StandardErrorIsTerminal() { return ::_isatty(2) != 0; }

int TerminalColumns() {
  CONSOLE_SCREEN_BUFFER_INFO info;
  return ::GetConsoleScreenBufferInfo(::GetStdHandle(STD_OUTPUT_HANDLE), &info)
             ? info.srWindow.Right - info.srWindow.Left + 1
             : 0;
}

// Threads do not take over where the one that starts them may run, and OpenMP starts its own.
bool PinThread(const std::vector<int>&) { return false; }

namespace {

double Seconds(const FILETIME& t) { return 1e-7 * (0x1p32 * t.dwHighDateTime + t.dwLowDateTime); }

}  // namespace

double ThreadSeconds() {
  FILETIME created, exited, kernel{}, user{};
  ::GetThreadTimes(::GetCurrentThread(), &created, &exited, &kernel, &user);
  return Seconds(kernel) + Seconds(user);
}

double ProcessSeconds() {
  FILETIME created, exited, kernel{}, user{};
  ::GetProcessTimes(::GetCurrentProcess(), &created, &exited, &kernel, &user);
  return Seconds(kernel) + Seconds(user);
}

// There is no fork.
BusyProcesses::BusyProcesses(int) {}
BusyProcesses::~BusyProcesses() = default;

int64_t CacheBytes() { return 0; }

int64_t ResidentBytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  counters.cb = sizeof(counters);
  return ::K32GetProcessMemoryInfo(::GetCurrentProcess(), &counters, sizeof(counters))
             ? static_cast<int64_t>(counters.WorkingSetSize)
             : 0;
}

void TrimHeap() {}

}  // namespace octet
