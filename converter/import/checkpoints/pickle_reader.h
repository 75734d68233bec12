// Python pickles, as data: nothing is imported, called or executed.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_PICKLE_READER_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_PICKLE_READER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// Index into Pickle::values. Values may refer to each other in circles: follow them with a limit.
using PickleId = int32_t;

struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,    ///< `integer`.
    kInt,     ///< `integer`; numbers of more than 64 bits have their little-endian bytes in `text`.
    kFloat,   ///< `real`.
    kString,  ///< `text`, UTF-8.
    kBytes,   ///< `text`.
    kTuple,   ///< `items`.
    kList,    ///< `items`.
    kSet,     ///< `items`.
    kDict,    ///< `items`: key, value, key, value... Also collections.OrderedDict and defaultdict.
    kGlobal,  ///< `text` is "module.name".
    kCall,    ///< items[0] applied to the tuple items[1]: an object that unpickling would make by
            ///< running code, which is never done. Whatever would change the object afterwards (its
            ///< state, items it is given) follows as items[2], ...
    kPersistent,  ///< items[0] is the identifier.
  };
  Kind kind = Kind::kNone;
  union {
    int64_t integer = 0;
    double real;
  };
  std::string_view text;
  std::vector<PickleId> items;
};

struct Pickle {
  std::vector<PickleValue> values;
  std::vector<std::string> names;  ///< What the text of globals points to.
  PickleId root = 0;

  const PickleValue& operator[](PickleId id) const { return values[id]; }
};

/// Reads one pickle from the front of `*bytes` and takes it off. Binary opcodes of protocols 2 to 5
/// are understood, apart from extensions and out-of-band buffers. Classes and functions stay names
/// and objects stay kCall, whatever they are: it is for the reader of a value to know which of them
/// it understands. Texts point into `*bytes`. Errors: kCorrupt; kUnsupported names the opcode.
Result<Pickle> ReadPickle(std::string_view* bytes);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_PICKLE_READER_H_
