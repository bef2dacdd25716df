/* == head == */
/* @NAME@: made by mnist_cnn @VERSION@; the model card beside it says what it is and how well it reads.
 * C99, no heap, no library, whole numbers alone. Not reentrant: all calls share one workspace of @BYTES@ bytes. */
#include "@NAME@.h"

/* Images lie channel by channel, row by row; a number of an image is a byte, with or without a sign. */
typedef struct {
    uint16_t channels, height, width;         /* of the input */
    uint16_t filters, out_height, out_width;  /* of the output */
    uint8_t kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left;
} shape;

static uint8_t workspace[@BYTES@];
/* == requantize == */

/* sum * multiplier / 2^shift, rounded half up, between low and high. */
static int32_t requantize(int32_t sum, int32_t multiplier, int shift, int32_t low, int32_t high)
{
    const int64_t product = (int64_t)sum * multiplier + ((int64_t)1 << (shift - 1));
    const int64_t value = product < 0 ? ~(~product >> shift) : product >> shift; /* C leaves >> of a negative open */
    return (int32_t)(value < low ? low : value > high ? high : value);
}
/* == inside == */

/* Of a window that begins at `at`, the part [*from, *to) that lies in the image; the rest is 0. */
static void inside(int at, int kernel, int size, int *from, int *to)
{
    *from = at < 0 ? -at : 0;
    *to = at + kernel > size ? size - at : kernel;
}
/* == conv == */

static void convolve@OF@_@SUFFIX@(const shape *s, const @IN@ *in, @OUT@ *out, const int8_t *weights, const int32_t *bias,
                    const int32_t *multiplier, const uint8_t *shift, int32_t low, int32_t high)
{
    const int area = s->kernel_height * s->kernel_width;
    for (int f = 0; f < s->filters; f++, weights += @EACH@) {
        for (int y = 0; y < s->out_height; y++) {
            const int top = y * s->stride_y - s->pad_top;
            int i0, i1;
            inside(top, s->kernel_height, s->height, &i0, &i1);
            for (int x = 0; x < s->out_width; x++) {
                const int left = x * s->stride_x - s->pad_left;
                int32_t sum = bias[f];
                int j0, j1;
                inside(left, s->kernel_width, s->width, &j0, &j1);
                const int8_t *kernel = weights;
                for (int c = @FIRST@; c < @END@; c++, kernel += area) {
                    for (int i = i0; i < i1; i++) {
                        const int8_t *w = kernel + i * s->kernel_width;
                        const @IN@ *row = in + (c * s->height + top + i) * s->width;
                        for (int j = j0; j < j1; j++) {
                            sum += w[j] * row[left + j];
                        }
                    }
                }
                *out++ = (@OUT@)requantize(sum, multiplier[f], shift[f], low, high);
            }
        }
    }
}
/* == scale == */

static void scale_@SUFFIX@(const shape *s, const @IN@ *in, @OUT@ *out, const int8_t *factor, const int32_t *summand,
                 const int32_t *multiplier, const uint8_t *shift, int32_t low, int32_t high)
{
    for (int c = 0; c < s->channels; c++) {
        for (int i = s->height * s->width; i > 0; i--) {
            *out++ = (@OUT@)requantize(*in++ * factor[c] + summand[c], multiplier[c], shift[c], low, high);
        }
    }
}
/* == max == */

/* Also in place: no window that is still to be read begins before what has been written. */
static void max_pool_@SUFFIX@(const shape *s, const @IN@ *in, @OUT@ *out)
{
    for (int c = 0; c < s->channels; c++) {
        for (int y = 0; y < s->out_height; y++) {
            for (int x = 0; x < s->out_width; x++) {
                const @IN@ *window = in + (c * s->height + y * s->stride_y) * s->width + x * s->stride_x;
                @IN@ most = *window;
                for (int i = 0; i < s->kernel_height; i++) {
                    for (int j = 0; j < s->kernel_width; j++) {
                        most = window[i * s->width + j] > most ? window[i * s->width + j] : most;
                    }
                }
                *out++ = (@OUT@)most;
            }
        }
    }
}
/* == mean == */

/* Also in place, as the maximum. */
static void mean_pool_@SUFFIX@(const shape *s, const @IN@ *in, @OUT@ *out, int32_t multiplier, int shift, int32_t low,
                     int32_t high)
{
    for (int c = 0; c < s->channels; c++) {
        for (int y = 0; y < s->out_height; y++) {
            for (int x = 0; x < s->out_width; x++) {
                const @IN@ *window = in + (c * s->height + y * s->stride_y) * s->width + x * s->stride_x;
                int32_t sum = 0;
                for (int i = 0; i < s->kernel_height; i++) {
                    for (int j = 0; j < s->kernel_width; j++) {
                        sum += window[i * s->width + j];
                    }
                }
                *out++ = (@OUT@)requantize(sum, multiplier, shift, low, high);
            }
        }
    }
}
/* == activation == */

/* By a table of what becomes of each byte. */
static void look_up(uint8_t *image, int count, const uint8_t *table)
{
    for (int i = 0; i < count; i++) {
        image[i] = table[image[i]];
    }
}
