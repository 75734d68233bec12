// What programs ask of the system beside files: standard streams, the terminal, processors, memory.
// One *_posix.cc, one *_windows.cc.
#ifndef OCTET_FORMATS_DATA_SYSTEM_H_
#define OCTET_FORMATS_DATA_SYSTEM_H_

#include <cstdint>
#include <vector>

namespace octet {

/// Makes the program's arguments UTF-8 where they are something else.
void UseUtf8Arguments(int* argc, char*** argv);

/// Files that are opened from now on never take the place of standard streams that are closed, and
/// standard output passes bytes on as they are, UTF-8; terminals take control sequences.
void PrepareStandardStreams();
/// Why standard output cannot be written, an errno; 0 where a line break can.
int StandardOutputError();

/// From now on SIGTERM and SIGINT (Control-C) do not end the program but are told by StopSignal: 0,
/// or the signal's number. A second one ends it.
void WatchForStop();
int StopSignal();
/// Reads what there is of standard input, waiting for something; 0 at the end, or when the program
/// is to stop, -1 with an errno.
int64_t ReadStandardInput(void* buffer, size_t bytes);

bool StandardErrorIsTerminal();
/// Of the terminal that standard output is; 0 where it is none.
int TerminalColumns();

/// Processors that PinThread may know of.
inline constexpr int kMaxProcessors = 1024;
/// The calling thread, and those that it starts from now on where the system has it so, run on
/// these processors only. False where that cannot be.
bool PinThread(const std::vector<int>& processors);
/// Processor time that the calling thread has had, and that all threads of this process have.
double ThreadSeconds();
double ProcessSeconds();

/// Processes that do nothing but keep a processor busy, while this one and the object live.
class BusyProcesses {
 public:
  explicit BusyProcesses(int count);
  ~BusyProcesses();
  BusyProcesses(const BusyProcesses&) = delete;
  BusyProcesses& operator=(const BusyProcesses&) = delete;
  /// How many there are: fewer than asked for where the system has it so.
  int count() const { return static_cast<int>(ids_.size()); }

 private:
  std::vector<int64_t> ids_;
};

/// Memory of the largest cache; 0 where the system does not tell.
int64_t CacheBytes();
/// Resident memory of this process; 0 where the system does not tell.
int64_t ResidentBytes();
/// Gives memory that was freed back to the system, where the C library keeps it.
void TrimHeap();

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_SYSTEM_H_
