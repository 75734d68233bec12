// The program octet_convert, for what has it inside.
#ifndef OCTET_CONVERTER_OCTET_CONVERT_H_
#define OCTET_CONVERTER_OCTET_CONVERT_H_

namespace octet {

/// All of its main: the exit code. Closes standard output.
int OctetConvertProgram(int argc, char** argv);

}  // namespace octet

#endif  // OCTET_CONVERTER_OCTET_CONVERT_H_
