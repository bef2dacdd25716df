/* @NAME@: made by mnist_cnn @VERSION@; the model card beside it says what it is and how well it reads. */
#ifndef @GUARD@
#define @GUARD@

#include <stdint.h>

#define @GUARD@_PIXELS 784 /* 28 x 28, row by row, 0 to 255: prepared as the model card says */
#define @GUARD@_CLASSES @CLASSES@

#ifdef __cplusplus
extern "C" {
#endif

/* Reads one picture and returns its class, from 0 on.
 * logits: @LOGITS@ */
int @NAME@_read(const uint8_t pixels[@GUARD@_PIXELS], @TYPE@ logits[@GUARD@_CLASSES]);

#ifdef __cplusplus
}
#endif

#endif
