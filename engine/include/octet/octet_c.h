/* octet for C and for anything that calls C. Conventions: handles are opaque and owned by the
 * caller, who destroys them; every function that can fail returns an octet_status and, when `error`
 * is not null, sets *error to a message that the caller frees with octet_free; strings returned as
 * const char* belong to the handle. Handles are not null, except for what destroys them and what
 * returns an octet_status and takes `error`. Thread safety is that of octet.h: models are shared
 * freely, a session is used by one thread at a time. */
#ifndef OCTET_OCTET_C_H_
#define OCTET_OCTET_C_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct octet_model octet_model;
typedef struct octet_session octet_session;

typedef enum {
  OCTET_OK = 0,
  OCTET_INVALID_ARGUMENT = 1,
  OCTET_NOT_FOUND = 2,
  OCTET_CORRUPT = 3,
  OCTET_UNSUPPORTED = 4,
  OCTET_IO = 5,
  OCTET_INTERNAL = 6
} octet_status;

typedef enum { OCTET_FLOAT32 = 0, OCTET_UINT8 = 2 } octet_dtype;

typedef struct {
  const char* name; /* Owned by the model. */
  octet_dtype dtype;
  int rank;
  int64_t shape[4]; /* NHWC or NC, batch written as 1. */
  float scale;      /* OCTET_UINT8: real = scale * (q - zero_point). */
  int32_t zero_point;
} octet_tensor;

/* Maps and validates an .octet file. */
octet_status octet_model_load(const char* path, octet_model** model, char** error);
/* The same for bytes in memory; see Model::FromMemory about their lifetime. */
octet_status octet_model_from_memory(const void* data, size_t size, octet_model** model,
                                     char** error);
void octet_model_destroy(octet_model* model);

const char* octet_model_name(const octet_model* model);
int octet_model_num_inputs(const octet_model* model);
int octet_model_num_outputs(const octet_model* model);
/* OCTET_INVALID_ARGUMENT when `index` is out of range. */
octet_status octet_model_input(const octet_model* model, int index, octet_tensor* tensor);
octet_status octet_model_output(const octet_model* model, int index, octet_tensor* tensor);
/* Number of labels, and label `index` (null when out of range). */
int octet_model_num_labels(const octet_model* model);
const char* octet_model_label(const octet_model* model, int index);

/* A session for `model`, which it keeps alive. num_threads is 1 to 1024, max_batch 1 to 65536; see
 * SessionOptions for both and for what the others' defaults are. */
octet_status octet_session_create(const octet_model* model, int num_threads, int max_batch,
                                  octet_session** session, char** error);
void octet_session_destroy(octet_session* session);

/* Runs `batch` images, 1 to max_batch; inputs and outputs are arrays of pointers to contiguous
 * tensors, one for each of the model's. */
octet_status octet_session_run(octet_session* session, const void* const* inputs,
                               void* const* outputs, int batch, char** error);

/* Classifies one image of interleaved 8-bit pixels (1, 3 or 4 channels; row_stride 0 = packed).
 * Writes the `count` best class indices and probabilities, best first; *written is how many there
 * were. */
octet_status octet_session_classify(octet_session* session, const uint8_t* pixels, int width,
                                    int height, int channels, int64_t row_stride, int count,
                                    int* indices, float* probabilities, int* written, char** error);

/* Frees a message. Null is fine. */
void octet_free(char* message);

#ifdef __cplusplus
}
#endif

#endif /* OCTET_OCTET_C_H_ */
