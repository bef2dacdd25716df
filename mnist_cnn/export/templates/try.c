/* Reads the pictures that @NAME@ was exported with: prints what it says of each, and returns 0 if all is as it was.
 * cc -std=c99 -O2 @NAME@.c @NAME@_try.c @LIBRARIES@-o try && ./try */
#include <stdio.h>
#include "@NAME@.h"

static const uint8_t pictures[@COUNT@][@GUARD@_PIXELS] = {
@PICTURES@};
static const int answers[@COUNT@] = {@ANSWERS@};

int main(void)
{
    @TYPE@ logits[@GUARD@_CLASSES];
    int different = 0;
    for (int i = 0; i < @COUNT@; i++) {
        const int answer = @NAME@_read(pictures[i], logits);
        printf("picture %d: class %d, expected %d\n", i, answer, answers[i]);
        different += answer != answers[i];
    }
    return different != 0;
}
