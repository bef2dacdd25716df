/* Reads the pictures that @NAME@ was exported with: prints what it says of each, and returns 0 if all is as it was.
 * cc -std=c99 -O2 @NAME@.c @NAME@_try.c @LIBRARIES@-o try && ./try */
#include <stdio.h>
#include "@NAME@.h"

static const uint8_t pictures[@COUNT@][@GUARD@_PIXELS] = {
@PICTURES@};
static const @TYPE@ expected[@COUNT@][@GUARD@_CLASSES] = {
@EXPECTED@};
static const @WIDE@ tolerance = @TOLERANCE@; /* of a logit */

int main(void)
{
    @TYPE@ logits[@GUARD@_CLASSES];
    int different = 0;
    for (int i = 0; i < @COUNT@; i++) {
        const int answer = @NAME@_read(pictures[i], logits);
        int best = 0, apart = 0;
        for (int c = 0; c < @GUARD@_CLASSES; c++) {
            const @WIDE@ distance = (@WIDE@)logits[c] - expected[i][c];
            apart += !(distance <= tolerance && -distance <= tolerance); /* also of what is no number */
            best = expected[i][c] > expected[i][best] ? c : best;
        }
        printf("picture %d: class %d, expected %d; %d logits differ\n", i, answer, best, apart);
        different += apart > 0;
    }
    return different != 0;
}
