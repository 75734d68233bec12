#include "engine/tools/commands.h"

int main(int argc, char** argv) { return octet::OctetProgram(argc, argv); }
