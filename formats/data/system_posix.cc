// Processors and memory as Linux has them: other POSIX systems pin no threads and tell nothing.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "formats/data/system.h"
#ifdef __linux__
#include <sched.h>

#include <algorithm>
#include <fstream>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace octet {

void UseUtf8Arguments(int*, char***) {}

void PrepareStandardStreams() {
  // Opened for reading, so that writing to what was closed stays an error.
  int fd = 0;
  do {
    fd = open("/dev/null", O_RDONLY);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

int StandardOutputError() { return write(STDOUT_FILENO, "\n", 1) < 0 ? errno : 0; }

namespace {

volatile std::sig_atomic_t stop_signal = 0;

void NoteStop(int signal) {
  if (stop_signal != 0) {
    ::signal(signal, SIG_DFL);
    raise(signal);
  }
  stop_signal = signal;
}

}  // namespace

void WatchForStop() {
  struct sigaction action {};
  action.sa_handler = NoteStop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

int StopSignal() { return stop_signal; }

int64_t ReadStandardInput(void* buffer, size_t bytes) {
  // Another thread than the reading one may be told of a signal, so that waiting has an end.
  constexpr int kWaitMs = 100;
  pollfd input{STDIN_FILENO, POLLIN, 0};
  while (stop_signal == 0) {
    const int ready = poll(&input, 1, kWaitMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t n = ready < 0 ? -1 : read(STDIN_FILENO, buffer, bytes);
    if (n >= 0 || (errno != EINTR && errno != EAGAIN)) return n;
  }
  return 0;
}

bool StandardErrorIsTerminal() { return isatty(STDERR_FILENO) == 1; }

int TerminalColumns() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

double ThreadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double ProcessSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

BusyProcesses::BusyProcesses(int count) {
  ids_.reserve(static_cast<size_t>(count));
  const pid_t parent = getpid();
  for (int i = 0; i < count; ++i) {
    const pid_t id = fork();
    if (id < 0) return;
    if (id > 0) {
      ids_.push_back(id);
      continue;
    }
    // However the parent ends, the child finds that it has another.
    while (getppid() == parent) {
      for (volatile int spin = 0; spin < 1000000;) spin = spin + 1;
    }
    _exit(0);
  }
}

BusyProcesses::~BusyProcesses() {
  for (const int64_t id : ids_) {
    kill(static_cast<pid_t>(id), SIGKILL);
    waitpid(static_cast<pid_t>(id), nullptr, 0);
  }
}

#ifdef __linux__

static_assert(kMaxProcessors <= CPU_SETSIZE);

bool PinThread(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i : processors) CPU_SET(i, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

int64_t CacheBytes() {
  return std::max({sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE), 0L});
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0;
  if (!(statm >> size >> resident)) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

#else

bool PinThread(const std::vector<int>&) { return false; }
int64_t CacheBytes() { return 0; }
int64_t ResidentBytes() { return 0; }

#endif

void TrimHeap() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace octet
