/* The package's programs, which are in the package's library: so there is one copy of the engine. */
int octet_python_program(const char* name, int argc, char** argv);

int main(int argc, char** argv) { return octet_python_program(OCTET_PROGRAM, argc, argv); }
