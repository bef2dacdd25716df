/* == head == */
/* @NAME@: made by mnist_cnn @VERSION@; the model card beside it says what it is and how well it reads.
 * C99, no heap; needs @NEEDS@. Not reentrant: all calls share one workspace of @FLOATS@ floats. */
#include "@NAME@.h"
@INCLUDE@
/* Images lie channel by channel, row by row. */
typedef struct {
    int channels, height, width;           /* of the input */
    int filters, out_height, out_width;    /* of the output */
    int kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left;
} shape;

static float workspace[@FLOATS@];
/* == inside == */
/* Of a window that begins at `at`, the part [*from, *to) that lies in the image; the rest is 0. */
static void inside(int at, int kernel, int size, int *from, int *to)
{
    *from = at < 0 ? -at : 0;
    *to = at + kernel > size ? size - at : kernel;
}

/* == conv == */
static void convolve@OF@(const shape *s, const float *in, float *out, const float *weights, const float *bias, int relu)
{
    const int area = s->kernel_height * s->kernel_width;
    for (int f = 0; f < s->filters; f++, weights += @EACH@) {
        for (int y = 0; y < s->out_height; y++) {
            const int top = y * s->stride_y - s->pad_top;
            int i0, i1;
            inside(top, s->kernel_height, s->height, &i0, &i1);
            for (int x = 0; x < s->out_width; x++) {
                const int left = x * s->stride_x - s->pad_left;
                float sum = bias[f];
                int j0, j1;
                inside(left, s->kernel_width, s->width, &j0, &j1);
                const float *kernel = weights;
                for (int c = @FIRST@; c < @END@; c++, kernel += area) {
                    for (int i = i0; i < i1; i++) {
                        const float *w = kernel + i * s->kernel_width;
                        const float *row = in + (c * s->height + top + i) * s->width;
                        for (int j = j0; j < j1; j++) {
                            sum += w[j] * row[left + j];
                        }
                    }
                }
                *out++ = relu && sum < 0.0f ? 0.0f : sum;
            }
        }
    }
}
/* == scale == */
static void scale(const shape *s, float *image, const float *factor, const float *summand, int relu)
{
    for (int c = 0; c < s->channels; c++) {
        for (int i = s->height * s->width; i > 0; i--, image++) {
            const float value = *image * factor[c] + summand[c];
            *image = relu && value < 0.0f ? 0.0f : value;
        }
    }
}
/* == max == */
/* In place: no window that is still to be read begins before what has been written. */
static void max_pool(const shape *s, float *image)
{
    float *out = image;
    for (int c = 0; c < s->channels; c++) {
        for (int y = 0; y < s->out_height; y++) {
            for (int x = 0; x < s->out_width; x++) {
                const float *window = image + (c * s->height + y * s->stride_y) * s->width + x * s->stride_x;
                float most = *window;
                for (int i = 0; i < s->kernel_height; i++) {
                    for (int j = 0; j < s->kernel_width; j++) {
                        most = window[i * s->width + j] > most ? window[i * s->width + j] : most;
                    }
                }
                *out++ = most;
            }
        }
    }
}
/* == mean == */
/* In place, as max_pool. */
static void mean_pool(const shape *s, float *image)
{
    float *out = image;
    for (int c = 0; c < s->channels; c++) {
        for (int y = 0; y < s->out_height; y++) {
            for (int x = 0; x < s->out_width; x++) {
                const float *window = image + (c * s->height + y * s->stride_y) * s->width + x * s->stride_x;
                float sum = 0.0f;
                for (int i = 0; i < s->kernel_height; i++) {
                    for (int j = 0; j < s->kernel_width; j++) {
                        sum += window[i * s->width + j];
                    }
                }
                *out++ = sum / (float)(s->kernel_height * s->kernel_width);
            }
        }
    }
}
/* == relu == */
static float relu(float x) { return x > 0.0f ? x : 0.0f; }
/* == sigmoid == */
static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
/* == tanh == */
static float tangent(float x) { return tanhf(x); }
/* == gelu == */
static float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }
/* == silu == */
static float silu(float x) { return x / (1.0f + expf(-x)); }
/* == elu == */
static float elu(float x, float alpha) { return x > 0.0f ? x : alpha * expm1f(x); }
/* == leaky_relu == */
static float leaky_relu(float x, float slope) { return x > 0.0f ? x : slope * x; }
