// The version that was compiled, for programs that link the library when they start.
#include "octet/version.h"

const char* octet_version(void) { return OCTET_VERSION; }
