#include "converter/octet_convert.h"

int main(int argc, char** argv) { return octet::OctetConvertProgram(argc, argv); }
