// Choice of the instruction set at run time.
#ifndef OCTET_KERNELS_DISPATCH_H_
#define OCTET_KERNELS_DISPATCH_H_

#include <string>
#include <vector>

#include "formats/base/status.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {

/// How a table can be used on this machine.
enum class Availability { kNative, kEmulated, kUnavailable };

struct TableInfo {
  const KernelTable* table;  ///< Null when not compiled in.
  const char* name;
  Availability availability;
};

/// Every instruction set this project knows, best last.
std::vector<TableInfo> AllTables();

/// The table named `isa`, or the best native one when `isa` is empty. With an empty `isa` the
/// environment variable OCTET_ISA decides first. Errors: kInvalidArgument for an unknown name
/// (lists those that run here), kUnsupported when this processor lacks the instructions.
Result<const KernelTable*> SelectTable(const std::string& isa);

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_DISPATCH_H_
